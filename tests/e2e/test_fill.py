"""Filling in the middle: `suffix` of /v1/completions, with a tiny model whose vocabulary has the
tokens for it."""

import json

import gguf_file
import pytest
from make_models import FILL_TOKENS
from support.chat import check_error
from support.llama_server import LlamaServer
from support.server import Server

PREFIX, SUFFIX = "a", "b"


@pytest.fixture(scope="module")
def fill(tmp_path_factory: pytest.TempPathFactory, tiny_model):
    server = Server(tmp_path_factory.mktemp("fill"), {"model": [
        {"name": "fill", "path": str(tiny_model("llama-fill")), "cells": 2048},
        {"name": "plain", "path": str(tiny_model("llama")), "cells": 2048}]})
    try:
        yield server.start()
        server.stop()
    finally:
        server.discard()


def complete(server: Server, prompt, model: str = "fill", **more):
    with server.http(server.shared_key("user")) as client:
        return client.post("/v1/completions", json={
            "model": model, "prompt": prompt, "max_tokens": 16, "temperature": 0,
            "ignore_eos": True, **more})


def text(answer) -> str:
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["text"]


def spelled(tiny_model, *words: object) -> list[int]:
    """Token ids: numbers as they are, characters by their place in the vocabulary."""
    tokens = gguf_file.read_metadata(tiny_model("llama-fill"))["tokenizer.ggml.tokens"].values
    return [word if isinstance(word, int) else tokens.index(word) for word in words]


def test_the_prompt_is_prefix_suffix_and_the_place_between(fill: Server, tiny_model):
    before, after, middle = (FILL_TOKENS[name] for name in ("pre", "suf", "mid"))
    filled = complete(fill, PREFIX, suffix=SUFFIX)
    assert filled.json()["usage"]["prompt_tokens"] == 5
    as_tokens = complete(fill, spelled(tiny_model, before, PREFIX, after, SUFFIX, middle))
    assert text(filled) and text(filled) == text(as_tokens)

    # Each part counts.
    assert text(complete(fill, PREFIX, suffix="c")) != text(filled)
    assert text(complete(fill, "c", suffix=SUFFIX)) != text(filled)
    assert text(complete(fill, PREFIX)) != text(filled)


def test_an_empty_prefix_and_typed_control_tokens(fill: Server, tiny_model):
    before, after, middle = (FILL_TOKENS[name] for name in ("pre", "suf", "mid"))
    nothing_before = complete(fill, "", suffix=SUFFIX)
    assert text(nothing_before) \
        == text(complete(fill, spelled(tiny_model, before, after, SUFFIX, middle)))
    # A caller who types the text of a control token gets its letters, not its power.
    typed = complete(fill, PREFIX, suffix="<issue_comment>")
    assert typed.json()["usage"]["prompt_tokens"] > 5


def test_streaming_and_constraints_work_in_the_middle(fill: Server):
    held = complete(fill, PREFIX, suffix=SUFFIX, grammar='root ::= "x" | "yy"')
    assert text(held) in ("x", "yy")
    whole = text(complete(fill, PREFIX, suffix=SUFFIX))
    streamed = complete(fill, PREFIX, suffix=SUFFIX, stream=True)
    assert streamed.status_code == 200 and "data: [DONE]" in streamed.text
    pieces = [json.loads(line[6:]) for line in streamed.text.splitlines()
              if line.startswith("data: {")]
    assert whole == "".join(choice["text"] for piece in pieces for choice in piece["choices"])


def test_a_model_without_the_tokens_says_so(fill: Server):
    refused = complete(fill, PREFIX, model="plain", suffix=SUFFIX)
    assert "vocabulary has no tokens" in \
        check_error(refused, 400, "unsupported_parameter", "suffix")["message"]


def test_llama_server_fills_the_same(fill: Server, tiny_model, tmp_path):
    """Its own /infill adds the names of a project and a file; so it gets our tokens."""
    before, after, middle = (FILL_TOKENS[name] for name in ("pre", "suf", "mid"))
    variant = fill.model_status()["cpu_variant"]
    with LlamaServer(tmp_path, tiny_model("llama-fill"), variant, ("-c", "2048")) as peer:
        told = peer.post("/completion", {
            "prompt": spelled(tiny_model, before, PREFIX, after, SUFFIX, middle), "n_predict": 16,
            "temperature": 0, "ignore_eos": True})
    assert told["content"] == text(complete(fill, PREFIX, suffix=SUFFIX))
