"""Tools that the model may call (`tool_choice` auto): plain answers are free, and from the mark of
a call on the answer is a valid call, at any temperature.

A small model does as it was shown: two earlier turns with calls make it call again."""

import json

import pytest
from support.chat import body
from support.server import Server

TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "The weather of a city",
    "parameters": {"type": "object", "additionalProperties": False, "required": ["city", "days"],
                   "properties": {"city": {"type": "string", "maxLength": 20},
                                  "days": {"type": "integer", "minimum": 1, "maximum": 7},
                                  "unit": {"enum": ["celsius", "fahrenheit"]}}}}}]
HOT = 1.6  # unbound, this writes gibberish
SEEDS = range(1, 9)


def turn(number: int, city: str, days: int) -> list[dict]:
    """A question that was answered by a call."""
    return [
        {"role": "user", "content": f"What is the weather in {city} for {days} days?"},
        {"role": "assistant", "content": None, "tool_calls": [{
            "id": f"call_{number}", "type": "function", "function": {
                "name": "get_weather",
                "arguments": json.dumps({"city": city, "days": days})}}]},
        {"role": "tool", "tool_call_id": f"call_{number}", "content": '{"sky": "clear"}'},
        {"role": "assistant", "content": f"The sky over {city} is clear."}]


SHOWN = [message for number, (city, days) in enumerate(
    [("Oslo", 2), ("Rome", 3), ("Kyoto", 1), ("Lima", 5)]) for message in turn(number, city, days)]


def ask(server: Server, question: str, messages: list[dict] = (), **more) -> dict:
    with server.http(server.shared_key("user")) as client:
        answer = client.post("/v1/chat/completions", json={
            **body(max_tokens=120), "messages": [*messages, {"role": "user", "content": question}],
            "tools": TOOLS, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]


def check_call(call: dict) -> dict:
    assert call["function"]["name"] == "get_weather" and call["id"]
    arguments = json.loads(call["function"]["arguments"])
    assert {"city", "days"} <= arguments.keys() <= {"city", "days", "unit"}, arguments
    assert isinstance(arguments["city"], str) and len(arguments["city"]) <= 20
    assert isinstance(arguments["days"], int) and 1 <= arguments["days"] <= 7
    assert arguments.get("unit", "celsius") in ("celsius", "fahrenheit")
    return arguments


def test_the_model_calls_when_it_was_shown_how(server: Server):
    choice = ask(server, "What is the weather in Paris for 4 days?", SHOWN)
    assert choice["finish_reason"] == "tool_calls", choice
    arguments = check_call(choice["message"]["tool_calls"][0])
    assert (arguments["city"], arguments["days"]) == ("Paris", 4)
    assert "tool_call>" not in (choice["message"]["content"] or "")


@pytest.mark.parametrize("parallel", [True, False])
def test_what_follows_the_mark_is_valid_at_any_temperature(server: Server, parallel: bool):
    called = 0
    for seed in SEEDS:
        choice = ask(server, "What is the weather in Paris for 4 days?", SHOWN, seed=seed,
                     temperature=HOT, parallel_tool_calls=parallel)
        calls = choice["message"].get("tool_calls") or []
        called += 1 if calls else 0
        if choice["finish_reason"] == "tool_calls":
            assert parallel or len(calls) == 1
            for call in calls:
                check_call(call)
        else:
            assert choice["finish_reason"] in ("stop", "length")
    assert called > 0, "no seed called: the test shows nothing"


def test_plain_answers_stay_free(server: Server):
    choice = ask(server, "Write one sentence about the sea.")
    assert choice["finish_reason"] in ("stop", "length")
    assert not choice["message"].get("tool_calls")
    assert len(choice["message"]["content"].split()) > 3
    # Braces and marks of other formats bind nothing.
    quoted = ask(server, 'Repeat exactly: {"name": 7, <b>, }} and then stop.', temperature=0)
    assert not quoted["message"].get("tool_calls") and quoted["message"]["content"]


def test_none_hides_the_tools(server: Server):
    choice = ask(server, "What is the weather in Paris for 4 days?", tool_choice="none")
    assert not choice["message"].get("tool_calls")
    assert choice["finish_reason"] in ("stop", "length")


def test_streamed_calls_are_the_whole_ones(server: Server):
    whole = ask(server, "What is the weather in Paris for 4 days?", SHOWN)
    with server.http(server.shared_key("user")) as client:
        answer = client.post("/v1/chat/completions", json={
            **body(max_tokens=120), "stream": True, "tools": TOOLS, "messages": [
                *SHOWN, {"role": "user", "content": "What is the weather in Paris for 4 days?"}]})
    assert answer.status_code == 200, answer.text
    name, arguments, reason = "", "", None
    for line in answer.text.splitlines():
        if not line.startswith("data: {"):
            continue
        for choice in json.loads(line.removeprefix("data: "))["choices"]:
            reason = choice["finish_reason"] or reason
            for delta in choice["delta"].get("tool_calls") or []:
                name += delta["function"].get("name") or ""
                arguments += delta["function"].get("arguments") or ""
    function = whole["message"]["tool_calls"][0]["function"]
    assert (name, json.loads(arguments), reason) \
        == (function["name"], json.loads(function["arguments"]), "tool_calls")
