"""Thinking and its budget, over HTTP, with a tiny model whose template opens a thought before each
answer. Its weights are random: left alone it never ends a thought."""

import pytest
from support.server import Server

TOKENS = 40


@pytest.fixture(scope="module")
def thinks(tmp_path_factory: pytest.TempPathFactory, tiny_model):
    server = Server(tmp_path_factory.mktemp("thinks"), {"model": [
        {"name": "thinks", "path": str(tiny_model("llama-thinks")), "cells": 4096}]})
    try:
        yield server.start()
        server.stop()
    finally:
        server.discard()


def ask(server: Server, path: str = "/v1/chat/completions", **more) -> dict:
    with server.http(server.shared_key("user")) as client:
        answer = client.post(path, json={
            "model": "thinks", "messages": [{"role": "user", "content": "How deep is the sea?"}],
            "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def thought(answer: dict) -> str:
    return answer["choices"][0]["message"].get("reasoning_content") or ""


def said(answer: dict) -> str:
    return answer["choices"][0]["message"]["content"] or ""


def thought_tokens(answer: dict) -> int:
    return answer["usage"]["completion_tokens_details"]["reasoning_tokens"]


def test_left_alone_it_only_thinks(thinks: Server):
    answer = ask(thinks)
    assert thought(answer) and said(answer) == ""
    assert thought_tokens(answer) == TOKENS
    assert answer["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("field", ["reasoning_budget_tokens", "thinking_token_budget"])
def test_the_thought_ends_with_its_budget(thinks: Server, field: str):
    whole = thought(ask(thinks))
    answer = ask(thinks, **{field: 10})
    assert thought(answer) and whole.startswith(thought(answer)), "the same thought, cut"
    assert said(answer), "what is left is the answer"
    # The budget, what completes a character, and the tokens of the closing tag.
    assert 10 <= thought_tokens(answer) <= 10 + 4 + len("</think>")
    assert answer["usage"]["completion_tokens"] == TOKENS
    assert "think>" not in said(answer) + thought(answer)


def test_a_larger_budget_is_a_longer_thought(thinks: Server):
    lengths = [thought_tokens(ask(thinks, reasoning_budget_tokens=budget))
               for budget in (0, 5, 20, 1000)]
    assert lengths == sorted(lengths) and lengths[0] < 10 and lengths[-1] == TOKENS
    assert len(set(lengths)) == 4


def test_no_budget_at_all_answers_at_once(thinks: Server):
    answer = ask(thinks, reasoning_budget_tokens=0)
    assert thought(answer) == "" and said(answer)


def test_an_answer_is_held_to_its_format_after_the_thought(thinks: Server):
    answer = ask(thinks, reasoning_budget_tokens=8, grammar='root ::= "yes" | "no"')
    assert thought(answer) and said(answer) in ("yes", "no")


def test_anthropics_budget_is_the_same(thinks: Server):
    with thinks.http(thinks.shared_key("user")) as client:
        answer = client.post("/v1/messages", json={
            "model": "thinks", "max_tokens": TOKENS, "temperature": 0,
            "messages": [{"role": "user", "content": "How deep is the sea?"}],
            "thinking": {"type": "enabled", "budget_tokens": 10}})
    assert answer.status_code == 200, answer.text
    blocks = {block["type"]: block for block in answer.json()["content"]}
    assert blocks["thinking"]["thinking"] == thought(ask(thinks, reasoning_budget_tokens=10))
    assert blocks["text"]["text"]
