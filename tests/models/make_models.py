#!/usr/bin/env python3
"""Makes tiny models with random weights, one for each way in which llama.cpp keeps a sequence.

They know nothing, but they compute as the large ones do: the same tensors, the same memory. Their
tokenizer is the beginning of the demo model's. The same names give the same bytes everywhere. The
output head is scaled up, so that the most probable token seldom has a near rival.

    make_models.py --demo DEMO.gguf --out FOLDER NAME...      (prints the files' paths)
"""

import argparse
import array
import hashlib
import math
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import gguf_file  # noqa: E402
from gguf_file import F32, FLOAT32, I32, STRING, U32, Array, Tensor  # noqa: E402

VOCABULARY = 1024  # tokens of the demo model's tokenizer; the first ones are complete in themselves
WIDTH = 64
HEADS = 2
HEAD = WIDTH // HEADS
FEED = 96
CONTEXT = 8192
LOGIT_SPREAD = 6.0  # standard deviation of the logits
EXPERTS = 4
FILL_TOKENS = {"pre": 7, "suf": 8, "mid": 9}  # <gh_stars>, <issue_start>, <issue_comment>
THINKING_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.role == 'assistant' and message.reasoning_content -%}
<think>
{{ message.reasoning_content }}
</think>

{% endif -%}
{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
<think>
{% endif -%}
"""


class Builder:
    """Tensors of one model. Each draws its values from a generator seeded by its name."""

    def __init__(self, name: str):
        self.name = name
        self.tensors: list[Tensor] = []

    def random(self, name: str, *shape: int, spread: float | None = None) -> None:
        """Uniform values; by default so that a row keeps the size of what it is multiplied by."""
        spread = 1 / math.sqrt(shape[0]) if spread is None else spread
        draw = random.Random(f"{self.name}/{name}").random
        reach = spread * math.sqrt(12)
        values = array.array("f", ((draw() - 0.5) * reach for _ in range(math.prod(shape))))
        self._add(name, shape, F32, values)

    def constant(self, name: str, *shape: int, value: float = 1.0) -> None:
        self._add(name, shape, F32, array.array("f", [value]) * math.prod(shape))

    def integers(self, name: str, *shape: int, below: int) -> None:
        draw = random.Random(f"{self.name}/{name}").randrange
        values = array.array("i", (draw(below) for _ in range(math.prod(shape))))
        self._add(name, shape, I32, values)

    def _add(self, name: str, shape: tuple[int, ...], kind: int, values: array.array) -> None:
        if sys.byteorder != "little":
            values.byteswap()
        self.tensors.append(Tensor(name, shape, kind, values.tobytes()))

    def ends(self) -> None:
        self.random("token_embd.weight", WIDTH, VOCABULARY, spread=1.0)
        self.constant("output_norm.weight", WIDTH)
        self.random("output.weight", WIDTH, VOCABULARY, spread=LOGIT_SPREAD / math.sqrt(WIDTH))

    def attention(self, block: str, head: int = HEAD, query_factor: int = 1) -> None:
        self.random(f"{block}.attn_q.weight", WIDTH, head * HEADS * query_factor)
        self.random(f"{block}.attn_k.weight", WIDTH, head * HEADS)
        self.random(f"{block}.attn_v.weight", WIDTH, head * HEADS)
        self.random(f"{block}.attn_output.weight", head * HEADS, WIDTH)

    def feed_forward(self, block: str) -> None:
        self.random(f"{block}.ffn_gate.weight", WIDTH, FEED)
        self.random(f"{block}.ffn_up.weight", WIDTH, FEED)
        self.random(f"{block}.ffn_down.weight", FEED, WIDTH)

    def experts(self, block: str) -> None:
        self.random(f"{block}.ffn_gate_inp.weight", WIDTH, EXPERTS)
        for kind, first, second in (("gate", WIDTH, FEED), ("up", WIDTH, FEED),
                                    ("down", FEED, WIDTH)):
            self.random(f"{block}.ffn_{kind}_exps.weight", first, second, EXPERTS)
            self.random(f"{block}.ffn_{kind}_shexp.weight", first, second)

    def latent_attention(self, block: str, rank: int, rope: int, plain: int, value: int,
                         query_rank: int) -> None:
        """Multi-head latent attention of DeepSeek V2 and V3."""
        self.random(f"{block}.attn_q_a.weight", WIDTH, query_rank)
        self.constant(f"{block}.attn_q_a_norm.weight", query_rank)
        self.random(f"{block}.attn_q_b.weight", query_rank, HEADS * (plain + rope))
        self.random(f"{block}.attn_kv_a_mqa.weight", WIDTH, rank + rope)
        self.constant(f"{block}.attn_kv_a_norm.weight", rank)
        self.random(f"{block}.attn_k_b.weight", plain, rank, HEADS)
        self.random(f"{block}.attn_v_b.weight", rank, value, HEADS)
        self.random(f"{block}.attn_output.weight", HEADS * value, WIDTH)


def common(architecture: str, layers: int) -> dict:
    return {
        "general.architecture": architecture,
        f"{architecture}.context_length": CONTEXT,
        f"{architecture}.embedding_length": WIDTH,
        f"{architecture}.block_count": layers,
        f"{architecture}.feed_forward_length": FEED,
        f"{architecture}.attention.head_count": HEADS,
        f"{architecture}.attention.head_count_kv": HEADS,
        f"{architecture}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{architecture}.vocab_size": VOCABULARY,
    }


def with_experts(architecture: str) -> dict:
    return {
        f"{architecture}.expert_count": EXPERTS,
        f"{architecture}.expert_used_count": 2,
        f"{architecture}.expert_feed_forward_length": FEED,
        f"{architecture}.expert_shared_count": 1,
        f"{architecture}.expert_weights_scale": 1.0,
        f"{architecture}.expert_weights_norm": True,
    }


def make_llama(model: Builder) -> dict:
    model.ends()
    for layer in range(2):
        block = f"blk.{layer}"
        model.constant(f"{block}.attn_norm.weight", WIDTH)
        model.attention(block)
        model.constant(f"{block}.ffn_norm.weight", WIDTH)
        model.feed_forward(block)
    return common("llama", 2) | {"llama.rope.dimension_count": HEAD}


def make_gemma3(model: Builder) -> dict:
    """Sliding window: three layers of four see 32 tokens back."""
    model.ends()
    layers = 4
    for layer in range(layers):
        block = f"blk.{layer}"
        for norm in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            model.constant(f"{block}.{norm}.weight", WIDTH)
        for norm in ("attn_q_norm", "attn_k_norm"):
            model.constant(f"{block}.{norm}.weight", HEAD)
        model.attention(block)
        model.feed_forward(block)
    return common("gemma3", layers) | {
        "gemma3.attention.key_length": HEAD,
        "gemma3.attention.value_length": HEAD,
        "gemma3.attention.sliding_window": 32,
        "gemma3.attention.sliding_window_pattern": 4,
    }


def make_deepseek2(model: Builder) -> dict:
    """Compressed attention (MLA) and experts, as DeepSeek V2, V3 and R1."""
    model.ends()
    latent(model, 2)
    return latent_metadata("deepseek2", 2)


def latent(model: Builder, layers: int) -> None:
    for layer in range(layers):
        block = f"blk.{layer}"
        model.constant(f"{block}.attn_norm.weight", WIDTH)
        model.latent_attention(block, rank=64, rope=32, plain=32, value=32, query_rank=64)
        model.constant(f"{block}.ffn_norm.weight", WIDTH)
        if layer == 0:
            model.feed_forward(block)
        else:
            model.experts(block)


def latent_metadata(architecture: str, layers: int) -> dict:
    return common(architecture, layers) | with_experts(architecture) | {
        f"{architecture}.attention.head_count_kv": 1,
        f"{architecture}.attention.key_length": 96,
        f"{architecture}.attention.value_length": 64,
        f"{architecture}.attention.key_length_mla": 64,
        f"{architecture}.attention.value_length_mla": 32,
        f"{architecture}.attention.q_lora_rank": 64,
        f"{architecture}.attention.kv_lora_rank": 64,
        f"{architecture}.rope.dimension_count": 32,
        f"{architecture}.leading_dense_block_count": 1,
        f"{architecture}.expert_gating_func": 2,
    }


def make_deepseek32(model: Builder) -> dict:
    """As deepseek2, and an indexer that chooses what attention looks at: DeepSeek V3.2."""
    model.ends()
    latent(model, 2)
    for layer in range(2):
        block = f"blk.{layer}.indexer"
        model.constant(f"{block}.k_norm.weight", 64)
        model.constant(f"{block}.k_norm.bias", 64, value=0.0)
        model.random(f"{block}.proj.weight", WIDTH, HEADS)
        model.random(f"{block}.attn_k.weight", WIDTH, 64)
        model.random(f"{block}.attn_q_b.weight", 64, HEADS * 64)
    return latent_metadata("deepseek32", 2) | {
        "deepseek32.attention.indexer.head_count": HEADS,
        "deepseek32.attention.indexer.key_length": 64,
        "deepseek32.attention.indexer.top_k": CONTEXT,  # random scores have no margin
    }


def make_deepseek4(model: Builder) -> dict:
    """Compressed sequences and hyper-connections: DeepSeek V4."""
    streams, groups, rank, layers, indexer = 4, 2, 32, 4, 128
    mixed = (2 + streams) * streams
    ratios = [0, 0, 4, 128]
    model.ends()
    model.random("output_hc_fn.weight", streams * WIDTH, streams)
    model.constant("output_hc_base.weight", streams, value=0.0)
    model.constant("output_hc_scale.weight", 1)
    for layer, ratio in enumerate(ratios):
        block = f"blk.{layer}"
        model.constant(f"{block}.attn_norm.weight", WIDTH)
        model.constant(f"{block}.attn_sinks.weight", HEADS, value=0.0)
        model.random(f"{block}.attn_q_a.weight", WIDTH, 64)
        model.constant(f"{block}.attn_q_a_norm.weight", 64)
        model.random(f"{block}.attn_q_b.weight", 64, HEADS * HEAD)
        model.random(f"{block}.attn_kv.weight", WIDTH, HEAD)
        model.constant(f"{block}.attn_kv_a_norm.weight", HEAD)
        model.random(f"{block}.attn_output_a.weight", HEADS * HEAD // groups, rank * groups)
        model.random(f"{block}.attn_output_b.weight", groups * rank, WIDTH)
        for part in ("attn", "ffn"):
            model.random(f"{block}.hc_{part}_fn.weight", streams * WIDTH, mixed)
            model.constant(f"{block}.hc_{part}_base.weight", mixed, value=0.0)
            model.constant(f"{block}.hc_{part}_scale.weight", 3)
        if ratio:
            compressor(model, f"{block}.attn_compressor", HEAD, ratio)
        if ratio == 4:
            model.random(f"{block}.indexer.proj.weight", WIDTH, HEADS)
            model.random(f"{block}.indexer.attn_q_b.weight", 64, HEADS * indexer)
            compressor(model, f"{block}.indexer_compressor", indexer, ratio)
        model.constant(f"{block}.exp_probs_b.bias", EXPERTS, value=0.0)
        model.constant(f"{block}.ffn_norm.weight", WIDTH)
        model.experts(block)
    key = "deepseek4"
    return common(key, layers) | with_experts(key) | {
        f"{key}.attention.head_count_kv": 1,
        f"{key}.attention.key_length": HEAD,
        f"{key}.attention.value_length": HEAD,
        f"{key}.rope.dimension_count": HEAD // 2,
        f"{key}.attention.q_lora_rank": 64,
        f"{key}.attention.sliding_window": 64,
        f"{key}.attention.indexer.head_count": HEADS,
        f"{key}.attention.indexer.key_length": indexer,
        f"{key}.attention.indexer.top_k": 64,
        f"{key}.attention.output_group_count": groups,
        f"{key}.attention.output_lora_rank": rank,
        f"{key}.attention.compress_rope_freq_base": 160000.0,
        f"{key}.attention.compress_ratios": Array(U32, ratios),
        f"{key}.hyper_connection.count": streams,
        f"{key}.hyper_connection.sinkhorn_iterations": 2,
        f"{key}.hyper_connection.epsilon": 1e-6,
        f"{key}.hash_layer_count": 0,
        f"{key}.swiglu_clamp_exp": Array(FLOAT32, [10.0] * layers),
        f"{key}.swiglu_clamp_shexp": Array(FLOAT32, [10.0] * layers),
        f"{key}.expert_gating_func": 4,
    }


def compressor(model: Builder, block: str, width: int, ratio: int) -> None:
    factor = 2 if ratio == 4 else 1
    model.random(f"{block}_kv.weight", WIDTH, factor * width)
    model.random(f"{block}_gate.weight", WIDTH, factor * width)
    model.random(f"{block}_ape.weight", factor * width, ratio, spread=0.1)
    model.constant(f"{block}_norm.weight", width)


def make_qwen3next(model: Builder) -> dict:
    """Three recurrent layers of four and one with attention, and experts."""
    state, key_heads, value_heads, layers = 32, 2, 2, 4
    key_width, value_width = state * key_heads, state * value_heads
    model.ends()
    for layer in range(layers):
        block = f"blk.{layer}"
        model.constant(f"{block}.attn_norm.weight", WIDTH)
        model.constant(f"{block}.post_attention_norm.weight", WIDTH)
        if (layer + 1) % 4 == 0:
            model.attention(block, query_factor=2)
            model.constant(f"{block}.attn_q_norm.weight", HEAD)
            model.constant(f"{block}.attn_k_norm.weight", HEAD)
        else:
            model.random(f"{block}.attn_qkv.weight", WIDTH, key_width * 2 + value_width)
            model.random(f"{block}.attn_gate.weight", WIDTH, value_width)
            model.random(f"{block}.ssm_conv1d.weight", 4, key_width * 2 + value_width)
            model.constant(f"{block}.ssm_dt.bias", value_heads, value=0.5)
            model.constant(f"{block}.ssm_a", value_heads, value=-0.3)
            model.random(f"{block}.ssm_ba.weight", WIDTH, value_heads * 2)
            model.constant(f"{block}.ssm_norm.weight", state)
            model.random(f"{block}.ssm_out.weight", value_width, WIDTH)
        model.experts(block)
        model.random(f"{block}.ffn_gate_inp_shexp.weight", WIDTH, spread=0.1)
    key = "qwen3next"
    return common(key, layers) | with_experts(key) | {
        f"{key}.attention.key_length": HEAD,
        f"{key}.attention.value_length": HEAD,
        f"{key}.rope.dimension_count": HEAD // 2,
        f"{key}.expert_shared_feed_forward_length": FEED,
        f"{key}.ssm.conv_kernel": 4,
        f"{key}.ssm.inner_size": value_width,
        f"{key}.ssm.state_size": state,
        f"{key}.ssm.time_step_rank": value_heads,
        f"{key}.ssm.group_count": key_heads,
        f"{key}.full_attention_interval": 4,
    }


def make_mamba(model: Builder) -> dict:
    """A recurrent state and nothing else."""
    inner, state, rank = 2 * WIDTH, 16, 8
    model.ends()
    for layer in range(2):
        block = f"blk.{layer}"
        model.constant(f"{block}.attn_norm.weight", WIDTH)
        model.random(f"{block}.ssm_in.weight", WIDTH, 2 * inner)
        model.random(f"{block}.ssm_conv1d.weight", 4, inner)
        model.constant(f"{block}.ssm_conv1d.bias", inner, value=0.0)
        model.random(f"{block}.ssm_x.weight", inner, rank + 2 * state)
        model.random(f"{block}.ssm_dt.weight", rank, inner)
        model.constant(f"{block}.ssm_dt.bias", inner, value=-1.0)
        model.constant(f"{block}.ssm_a", state, inner, value=-0.5)
        model.constant(f"{block}.ssm_d", inner)
        model.random(f"{block}.ssm_out.weight", inner, WIDTH)
    return common("mamba", 2) | {
        "mamba.attention.head_count": 0,
        "mamba.attention.head_count_kv": 0,
        "mamba.feed_forward_length": 0,
        "mamba.ssm.conv_kernel": 4,
        "mamba.ssm.inner_size": inner,
        "mamba.ssm.state_size": state,
        "mamba.ssm.time_step_rank": rank,
    }


def make_bert(model: Builder, pooling: int = 1) -> dict:
    """An encoder that makes vectors."""
    model.random("token_embd.weight", WIDTH, VOCABULARY, spread=1.0)
    model.random("token_types.weight", WIDTH, 2, spread=0.1)
    model.random("position_embd.weight", WIDTH, 512, spread=0.5)
    model.constant("token_embd_norm.weight", WIDTH)
    model.constant("token_embd_norm.bias", WIDTH, value=0.0)
    for layer in range(2):
        block = f"blk.{layer}"
        model.attention(block)
        model.random(f"{block}.ffn_up.weight", WIDTH, FEED)
        model.random(f"{block}.ffn_down.weight", FEED, WIDTH)
        for norm in ("attn_output_norm", "layer_output_norm"):
            model.constant(f"{block}.{norm}.weight", WIDTH)
            model.constant(f"{block}.{norm}.bias", WIDTH, value=0.0)
    return common("bert", 2) | {
        "bert.context_length": 512,
        "bert.attention.causal": False,
        "bert.attention.layer_norm_epsilon": 1e-5,
        "bert.pooling_type": pooling,
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": True,
    }


def make_bert_rank(model: Builder) -> dict:
    """An encoder with a head that scores a query and a document."""
    metadata = make_bert(model, pooling=4)
    model.random("cls.weight", WIDTH, WIDTH)
    model.constant("cls.bias", WIDTH, value=0.0)
    model.random("cls.output.weight", WIDTH, 1, spread=1.0)
    model.constant("cls.output.bias", 1, value=0.0)
    return metadata


def make_bert_rank_form(model: Builder) -> dict:
    """The same with a form for query and document, as Qwen's rerankers have one."""
    return make_bert_rank(model) | {
        "tokenizer.chat_template.rerank": "Does the text answer? {query}\nText: {document}\n"}


def make_llama_fill(model: Builder) -> dict:
    """A llama with tokens for filling in the middle: three that its tokenizer has no use for."""
    return make_llama(model) | {f"tokenizer.ggml.fim_{name}_token_id": token
                                for name, token in FILL_TOKENS.items()}


def make_llama_thinks(model: Builder) -> dict:
    """A llama whose template has it think before each answer."""
    return make_llama(model) | {"tokenizer.chat_template": THINKING_TEMPLATE}


def make_llama_adapter(model: Builder) -> dict:
    """A LoRA adapter of the tiny llama."""
    rank = 4
    for layer in range(2):
        for name in ("attn_q", "attn_v"):
            model.random(f"blk.{layer}.{name}.weight.lora_a", WIDTH, rank)
            model.random(f"blk.{layer}.{name}.weight.lora_b", rank, HEAD * HEADS, spread=1.0)
    return {"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora",
            "adapter.lora.alpha": float(rank)}


MODELS: dict[str, Callable[[Builder], dict]] = {
    "llama": make_llama, "gemma3": make_gemma3, "deepseek2": make_deepseek2,
    "deepseek32": make_deepseek32, "deepseek4": make_deepseek4, "qwen3next": make_qwen3next,
    "llama-fill": make_llama_fill, "llama-thinks": make_llama_thinks,
    "mamba": make_mamba, "bert": make_bert, "bert-rank": make_bert_rank,
    "bert-rank-form": make_bert_rank_form,
    "llama-adapter": make_llama_adapter,
}


def tokenizer_of(demo: Path) -> dict:
    """The first tokens of the demo model's tokenizer: control tokens, bytes, earliest merges."""
    source = gguf_file.read_metadata(demo)
    tokens = source["tokenizer.ggml.tokens"].values[:VOCABULARY]
    known = set(tokens)
    merges = [merge for merge in source["tokenizer.ggml.merges"].values
              if merge.replace(" ", "") in known and set(merge.split(" ")) <= known]
    made = {key: value for key, value in source.items()
            if key.startswith("tokenizer.") and not isinstance(value, Array)}
    made["tokenizer.ggml.tokens"] = Array(STRING, tokens)
    made["tokenizer.ggml.token_type"] = Array(
        source["tokenizer.ggml.token_type"].kind,
        source["tokenizer.ggml.token_type"].values[:VOCABULARY])
    made["tokenizer.ggml.merges"] = Array(STRING, merges)
    return made


def make(name: str, demo: Path, folder: Path) -> Path:
    """The model's file, made unless this very one is there."""
    makers = [Path(__file__), Path(__file__).with_name("gguf_file.py")]
    version = hashlib.sha256(b"".join(file.read_bytes() for file in makers) +
                             str(demo.stat().st_size).encode()).hexdigest()[:12]
    path = folder / f"{name}-{version}.gguf"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        builder = Builder(name)
        metadata = MODELS[name](builder)
        if "adapter.type" not in metadata:
            metadata = tokenizer_of(demo) | metadata
        part = folder / f"{path.name}.{os.getpid()}"
        gguf_file.write(part, metadata, builder.tensors)
        part.replace(path)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demo", type=Path, required=True, help="GGUF file of the demo model")
    parser.add_argument("--out", type=Path, required=True, help="folder for the models")
    parser.add_argument("names", nargs="+", choices=list(MODELS))
    options = parser.parse_args()
    for name in options.names:
        print(make(name, options.demo, options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
