#!/usr/bin/env python3
"""Makes tiny models as folders of safetensors, as model hubs hand them out, and beside each the
GGUF file that a converter must make of it.

Random BF16 weights; the tokenizer is the demo model's, whole, because the converter knows
tokenizers by what they make of a text. The same names give the same bytes everywhere.

    make_safetensors.py --demo DEMO.gguf --out FOLDER NAME...
"""

import argparse
import array
import json
import math
import random
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
import gguf_file  # noqa: E402
from gguf_file import BF16, F32, Tensor  # noqa: E402

WIDTH, FEED, LAYERS, CONTEXT = 64, 96, 2, 2048
HEADS, KV_HEADS, HEAD = 4, 2, 16
EXPERTS = 4
LATENT = {"heads": 2, "rank": 64, "rope": 32, "plain": 32, "value": 32, "query_rank": 64}
NORM = 1e-5
CONTROL = 3  # of tokenizer.ggml.token_type


class Matrix(NamedTuple):
    """BF16 numbers, row by row. `shape` has the slowest dimension first, as in safetensors."""
    shape: tuple[int, ...]
    values: array.array  # of unsigned 16-bit numbers


class Model:
    def __init__(self, name: str, vocabulary: int):
        self.name = name
        self.vocabulary = vocabulary
        self.hub: dict[str, Matrix] = {}    # as safetensors have it
        self.gguf: list[Tensor] = []        # as the converter must make it

    def draw(self, name: str, *shape: int) -> Matrix:
        """Uniform values that keep the size of what they are multiplied by."""
        reach = math.sqrt(12 / shape[-1])
        draw = random.Random(f"{self.name}/{name}").random
        return Matrix(shape, bf16(draw() * reach - reach / 2 for _ in range(math.prod(shape))))

    def same(self, hub: str, gguf: str, *shape: int, kind: int = BF16) -> None:
        """A tensor that is the same on both sides."""
        self.hub[hub] = self.draw(gguf, *shape)
        self.add(gguf, self.hub[hub], kind)

    def ones(self, hub: str, gguf: str, size: int) -> None:
        self.hub[hub] = Matrix((size,), bf16([1.0] * size))
        self.add(gguf, self.hub[hub], F32)

    def add(self, name: str, matrix: Matrix, kind: int = BF16) -> None:
        shape = tuple(reversed(matrix.shape))
        data = matrix.values.tobytes()
        if kind == F32:  # the upper half of each number is the BF16 one
            data = b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2))
        self.gguf.append(Tensor(name, shape, kind, data))


def bf16(values: Iterable[float]) -> array.array:
    """Cut, not rounded: what is written is what was meant."""
    halves = array.array("H", array.array("f", values).tobytes())
    return halves[1::2] if sys.byteorder == "little" else halves[0::2]


def rows(matrix: Matrix, order: Iterable[int]) -> array.array:
    width = matrix.shape[-1]
    out = array.array("H")
    for row in order:
        out += matrix.values[row * width:(row + 1) * width]
    return out


def add_rotated(model: Model, hub: str, gguf: str, heads: int) -> None:
    """Llama's queries and keys: hubs keep the two halves of a rotation apart, llama.cpp a pair
    together."""
    meant = model.draw(gguf, heads * HEAD, WIDTH)
    model.add(gguf, meant)
    order = [head * HEAD + pair * 2 + half
             for head in range(heads) for half in (0, 1) for pair in range(HEAD // 2)]
    model.hub[hub] = Matrix(meant.shape, rows(meant, order))


def add_feed_forward(model: Model, hub: str, block: str, ending: str = "") -> None:
    for name, first, second in (("gate", WIDTH, FEED), ("up", WIDTH, FEED), ("down", FEED, WIDTH)):
        model.same(f"{hub}.{name}_proj.weight", f"{block}.ffn_{name}{ending}.weight", second, first)


def add_experts(model: Model, hub: str, block: str) -> None:
    model.same(f"{hub}.gate.weight", f"{block}.ffn_gate_inp.weight", EXPERTS, WIDTH, kind=F32)
    for name, first, second in (("gate", WIDTH, FEED), ("up", WIDTH, FEED), ("down", FEED, WIDTH)):
        all_of_them = model.draw(f"{block}.ffn_{name}_exps.weight", EXPERTS, second, first)
        model.add(f"{block}.ffn_{name}_exps.weight", all_of_them)
        for expert in range(EXPERTS):
            size = first * second
            model.hub[f"{hub}.experts.{expert}.{name}_proj.weight"] = Matrix(
                (second, first), all_of_them.values[expert * size:(expert + 1) * size])
    add_feed_forward(model, f"{hub}.shared_experts", block, "_shexp")


def add_latent_attention(model: Model, hub: str, block: str) -> None:
    """DeepSeek's: one projection from the compressed row to keys and values, which llama.cpp keeps
    apart, the keys' turned over."""
    heads, rank, rope, plain, value, query = LATENT.values()
    model.same(f"{hub}.q_a_proj.weight", f"{block}.attn_q_a.weight", query, WIDTH)
    model.ones(f"{hub}.q_a_layernorm.weight", f"{block}.attn_q_a_norm.weight", query)
    model.same(f"{hub}.q_b_proj.weight", f"{block}.attn_q_b.weight", heads * (plain + rope), query)
    model.same(f"{hub}.kv_a_proj_with_mqa.weight", f"{block}.attn_kv_a_mqa.weight", rank + rope,
               WIDTH)
    model.ones(f"{hub}.kv_a_layernorm.weight", f"{block}.attn_kv_a_norm.weight", rank)
    keys = model.draw(f"{block}.attn_k_b.weight", heads, rank, plain)
    values = model.draw(f"{block}.attn_v_b.weight", heads, value, rank)
    model.add(f"{block}.attn_k_b.weight", keys)
    model.add(f"{block}.attn_v_b.weight", values)
    both = array.array("H")
    for head in range(heads):
        mine = keys.values[head * rank * plain:(head + 1) * rank * plain]
        for column in range(plain):
            both += mine[column::plain]
        both += values.values[head * value * rank:(head + 1) * value * rank]
    model.hub[f"{hub}.kv_b_proj.weight"] = Matrix((heads * (plain + value), rank), both)
    model.same(f"{hub}.o_proj.weight", f"{block}.attn_output.weight", WIDTH, heads * value)


def add_layer(model: Model, layer: int) -> None:
    hub, block = f"model.layers.{layer}", f"blk.{layer}"
    model.ones(f"{hub}.input_layernorm.weight", f"{block}.attn_norm.weight", WIDTH)
    if model.name == "deepseek2":
        add_latent_attention(model, f"{hub}.self_attn", block)
    else:
        add_rotated(model, f"{hub}.self_attn.q_proj.weight", f"{block}.attn_q.weight", HEADS)
        add_rotated(model, f"{hub}.self_attn.k_proj.weight", f"{block}.attn_k.weight", KV_HEADS)
        model.same(f"{hub}.self_attn.v_proj.weight", f"{block}.attn_v.weight", KV_HEADS * HEAD,
                   WIDTH)
        model.same(f"{hub}.self_attn.o_proj.weight", f"{block}.attn_output.weight", WIDTH,
                   HEADS * HEAD)
    model.ones(f"{hub}.post_attention_layernorm.weight", f"{block}.ffn_norm.weight", WIDTH)
    if model.name == "deepseek2" and layer > 0:
        add_experts(model, f"{hub}.mlp", block)
    else:
        add_feed_forward(model, f"{hub}.mlp", block)


def make_model(name: str, vocabulary: int) -> Model:
    model = Model(name, vocabulary)
    model.same("model.embed_tokens.weight", "token_embd.weight", vocabulary, WIDTH)
    for layer in range(LAYERS):
        add_layer(model, layer)
    model.ones("model.norm.weight", "output_norm.weight", WIDTH)
    model.same("lm_head.weight", "output.weight", vocabulary, WIDTH)
    return model


def hub_config(model: Model) -> dict:
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
        "vocab_size": model.vocabulary, "hidden_size": WIDTH, "intermediate_size": FEED,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "max_position_embeddings": CONTEXT,
        "rms_norm_eps": NORM, "rope_theta": 10000.0, "hidden_act": "silu",
        "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2,
    }
    if model.name == "deepseek2":
        heads, rank, rope, plain, value, query = LATENT.values()
        config |= {
            "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2",
            "num_attention_heads": heads, "num_key_value_heads": heads, "kv_lora_rank": rank,
            "qk_rope_head_dim": rope, "qk_nope_head_dim": plain, "v_head_dim": value,
            "q_lora_rank": query, "n_routed_experts": EXPERTS, "num_experts_per_tok": 2,
            "n_shared_experts": 1, "moe_intermediate_size": FEED, "first_k_dense_replace": 1,
            "routed_scaling_factor": 1.0, "norm_topk_prob": True, "scoring_func": "softmax",
            "topk_method": "greedy", "n_group": 1, "topk_group": 1, "moe_layer_freq": 1,
            "attention_bias": False,
        }
    return config


def gguf_metadata(model: Model, tokenizer: dict) -> dict:
    """What llama.cpp has to know, written by hand: the measure of what the converter writes."""
    key = model.name
    made = {
        "general.architecture": key, f"{key}.vocab_size": model.vocabulary,
        f"{key}.context_length": CONTEXT, f"{key}.embedding_length": WIDTH,
        f"{key}.block_count": LAYERS, f"{key}.feed_forward_length": FEED,
        f"{key}.attention.head_count": HEADS, f"{key}.attention.head_count_kv": KV_HEADS,
        f"{key}.attention.layer_norm_rms_epsilon": NORM, f"{key}.rope.freq_base": 10000.0,
        f"{key}.rope.dimension_count": HEAD,
    }
    if model.name == "deepseek2":
        heads, rank, rope, plain, value, query = LATENT.values()
        made |= {
            f"{key}.attention.head_count": heads, f"{key}.attention.head_count_kv": 1,
            f"{key}.attention.key_length": rank + rope, f"{key}.attention.value_length": rank,
            f"{key}.attention.key_length_mla": plain + rope,
            f"{key}.attention.value_length_mla": value, f"{key}.attention.q_lora_rank": query,
            f"{key}.attention.kv_lora_rank": rank, f"{key}.rope.dimension_count": rope,
            f"{key}.leading_dense_block_count": 1, f"{key}.expert_count": EXPERTS,
            f"{key}.expert_used_count": 2, f"{key}.expert_shared_count": 1,
            f"{key}.expert_feed_forward_length": FEED, f"{key}.expert_weights_scale": 1.0,
            f"{key}.expert_weights_norm": True, f"{key}.expert_gating_func": 1,
        }
    return made | tokenizer


def write_tokenizer(folder: Path, tokenizer: dict) -> None:
    """The demo model's tokenizer as the Transformers library keeps one."""
    tokens = tokenizer["tokenizer.ggml.tokens"].values
    kinds = tokenizer["tokenizer.ggml.token_type"].values
    added = [{"id": number, "content": token, "single_word": False, "lstrip": False,
              "rstrip": False, "normalized": False, "special": True}
             for number, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
             if kind == CONTROL]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": True}
    whole = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": True}, byte_level]},
        "post_processor": None, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {token: number for number, token in enumerate(tokens)},
                  "merges": tokenizer["tokenizer.ggml.merges"].values},
    }
    (folder / "tokenizer.json").write_text(json.dumps(whole), "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False, "bos_token": tokens[1],
        "eos_token": tokens[2], "unk_token": tokens[0], "pad_token": tokens[2],
        "clean_up_tokenization_spaces": False,
        "chat_template": tokenizer["tokenizer.chat_template"]}), "utf-8")


def write_safetensors(path: Path, tensors: dict[str, Matrix], storage: str = "BF16") -> None:
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, matrix in tensors.items():
        size = 2 * len(matrix.values)
        header[name] = {"dtype": storage, "shape": matrix.shape,
                        "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for matrix in tensors.values():
            file.write(matrix.values.tobytes())


def write_weights(folder: Path, model: Model) -> None:
    """Llama's in one file; the other in two with an index, as hubs keep the large ones."""
    if model.name == "llama":
        write_safetensors(folder / "model.safetensors", model.hub)
        return
    names = sorted(model.hub)
    halves = [names[: len(names) // 2], names[len(names) // 2:]]
    where = {}
    for number, half in enumerate(halves, 1):
        file = f"model-{number:05}-of-{len(halves):05}.safetensors"
        write_safetensors(folder / file, {name: model.hub[name] for name in half})
        where |= dict.fromkeys(half, file)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": where}), "utf-8")


def make(name: str, demo: Path, out: Path) -> tuple[Path, Path]:
    """The folder of safetensors, and the GGUF file with the same weights."""
    tokenizer = {key: value for key, value in gguf_file.read_metadata(demo).items()
                 if key.startswith("tokenizer.")}
    model = make_model(name, len(tokenizer["tokenizer.ggml.tokens"].values))
    folder = out / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(hub_config(model)), "utf-8")
    write_tokenizer(folder, tokenizer)
    write_weights(folder, model)
    file = out / f"{name}.gguf"
    gguf_file.write(file, gguf_metadata(model, tokenizer), model.gguf)
    return folder, file


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demo", type=Path, required=True, help="GGUF file of the demo model")
    parser.add_argument("--out", type=Path, required=True, help="folder for the models")
    parser.add_argument("names", nargs="+", choices=["llama", "deepseek2"])
    options = parser.parse_args()
    for name in options.names:
        print(*make(name, options.demo, options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
