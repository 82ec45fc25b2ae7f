#!/usr/bin/env python3
"""Makes a model of 1.2 billion random weights (Llama's shape, Q4_0, 0.7 GB) for measuring.

A small model exaggerates what attention costs, and speed does not care what a model knows. The
tokenizer and the chat template are the demo model's. The same bytes come out everywhere.

    big_model.py OUT.gguf --like DEMO.gguf [--layers 22]
"""

import argparse
import array
import math
import os
import random
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "models"))
sys.dont_write_bytecode = True
import gguf_file  # noqa: E402

WIDTH, HEADS, KV_HEADS, FEED = 2048, 32, 4, 5632
CONTEXT = 8192
Q4_0, BLOCK_WEIGHTS, BLOCK_BYTES = 2, 32, 18
Q4_SPREAD = 4.6  # standard deviation of uniform 4-bit values, in units of the block's scale
LOGIT_SPREAD = 4.0
REPEAT_BYTES = 1 << 22  # random bytes are drawn once for so many, then again from another seed


class RandomQ4:
    """A matrix whose bytes are made when they are asked for, so that no more than one is held."""

    kind = Q4_0

    def __init__(self, name: str, columns: int, rows: int, spread: float = 1.0):
        self.name, self.shape = name, (columns, rows)
        self._scale = struct.pack("<e", spread / math.sqrt(columns) / Q4_SPREAD)

    @property
    def data(self) -> bytes:
        blocks = self.shape[0] * self.shape[1] // BLOCK_WEIGHTS
        draw = random.Random(self.name)
        made = bytearray()
        while len(made) < blocks * BLOCK_BYTES:
            made += draw.randbytes(REPEAT_BYTES)
        del made[blocks * BLOCK_BYTES:]
        made[0::BLOCK_BYTES] = self._scale[:1] * blocks
        made[1::BLOCK_BYTES] = self._scale[1:] * blocks
        return bytes(made)


def ones(name: str, size: int) -> gguf_file.Tensor:
    values = array.array("f", [1.0]) * size
    if sys.byteorder != "little":
        values.byteswap()
    return gguf_file.Tensor(name, (size,), gguf_file.F32, values.tobytes())


def tensors(layers: int, vocabulary: int) -> list:
    kv_width = WIDTH // HEADS * KV_HEADS
    made = [RandomQ4("token_embd.weight", WIDTH, vocabulary, math.sqrt(WIDTH))]
    for layer in range(layers):
        block = f"blk.{layer}"
        made += [ones(f"{block}.attn_norm.weight", WIDTH),
                 RandomQ4(f"{block}.attn_q.weight", WIDTH, WIDTH),
                 RandomQ4(f"{block}.attn_k.weight", WIDTH, kv_width),
                 RandomQ4(f"{block}.attn_v.weight", WIDTH, kv_width),
                 RandomQ4(f"{block}.attn_output.weight", WIDTH, WIDTH),
                 ones(f"{block}.ffn_norm.weight", WIDTH),
                 RandomQ4(f"{block}.ffn_gate.weight", WIDTH, FEED),
                 RandomQ4(f"{block}.ffn_up.weight", WIDTH, FEED),
                 RandomQ4(f"{block}.ffn_down.weight", FEED, WIDTH)]
    return [*made, ones("output_norm.weight", WIDTH),
            RandomQ4("output.weight", WIDTH, vocabulary, LOGIT_SPREAD)]


def metadata(layers: int, demo: dict) -> dict:
    own = {"general.architecture": "llama", "general.name": "random weights",
           "general.file_type": 2, "llama.context_length": CONTEXT,
           "llama.embedding_length": WIDTH, "llama.block_count": layers,
           "llama.feed_forward_length": FEED, "llama.attention.head_count": HEADS,
           "llama.attention.head_count_kv": KV_HEADS,
           "llama.attention.layer_norm_rms_epsilon": 1e-5,
           "llama.rope.dimension_count": WIDTH // HEADS, "llama.rope.freq_base": 10000.0,
           "llama.vocab_size": len(demo["tokenizer.ggml.tokens"].values)}
    return own | {key: value for key, value in demo.items() if key.startswith("tokenizer.")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--like", type=Path, default=os.environ.get("DEEPMOAT_MODEL"),
                        help="the model whose tokenizer it gets (DEEPMOAT_MODEL)")
    parser.add_argument("--layers", type=int, default=22)
    options = parser.parse_args()
    if options.like is None:
        parser.error("--like FILE or DEEPMOAT_MODEL must name the demo model")
    demo = gguf_file.read_metadata(options.like)
    described = metadata(options.layers, demo)
    gguf_file.write(options.out, described, tensors(options.layers, described["llama.vocab_size"]))
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
