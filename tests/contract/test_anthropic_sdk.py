"""The official Anthropic SDK, nothing changed but the address and the key."""

import anthropic
import pytest
from support.sdk import anthropic_client
from support.server import MODEL, Server

QUESTION = [{"role": "user", "content": "Name the three primary colours."}]
WEATHER = {"name": "get_weather", "description": "The weather of a city.",
           "input_schema": {"type": "object", "properties": {"city": {"type": "string",
                                                                      "maxLength": 20}},
                            "required": ["city"], "additionalProperties": False}}


@pytest.fixture
def client(server: Server):
    with anthropic_client(server, server.shared_key("user")) as made:
        yield made


def ask(client: anthropic.Anthropic, **more):
    defaults = {"model": MODEL, "messages": QUESTION, "max_tokens": 24}
    return client.messages.create(**{**defaults, **more}, extra_body={"temperature": 0})


def test_message(client):
    answer = ask(client, system="You are brief.")
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", MODEL)
    assert answer.content[0].type == "text" and answer.content[0].text.strip()
    assert answer.stop_reason in ("end_turn", "max_tokens")
    assert answer.usage.output_tokens <= 24
    assert answer.id.startswith("msg_")


def test_stop_sequence(client):
    text = ask(client).content[0].text
    stop = text.split()[3]
    answer = ask(client, stop_sequences=[stop])
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", stop)
    assert answer.content[0].text == text[:text.index(stop)]


def test_stream_gives_the_same_message(client):
    whole = ask(client)
    with client.messages.stream(model=MODEL, messages=QUESTION, max_tokens=24,
                                extra_body={"temperature": 0}) as stream:
        events = [event.type for event in stream]
        final = stream.get_final_message()
    assert final.content[0].text == whole.content[0].text
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.stop_reason == whole.stop_reason
    assert events[0] == "message_start" and events[-1] == "message_stop"


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}],
                         ids=["any", "named"])
def test_tools(client, choice):
    question = [{"role": "user", "content": "What is the weather in Paris?"}]
    answer = ask(client, messages=question, tools=[WEATHER], tool_choice=choice, max_tokens=80)
    assert answer.stop_reason == "tool_use"
    call = next(block for block in answer.content if block.type == "tool_use")
    assert call.name == "get_weather" and set(call.input) == {"city"}
    spoken = ask(client, tools=[WEATHER], tool_choice={"type": "none"}, messages=[
        *question, {"role": "assistant", "content": [
            block.model_dump(exclude_none=True) for block in answer.content]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id,
                                      "content": "Sunny, 25 degrees."}]}])
    assert spoken.content[0].type == "text"


def test_streamed_tool_call(client):
    with client.messages.stream(
            model=MODEL, messages=[{"role": "user", "content": "What is the weather in Paris?"}],
            max_tokens=80, tools=[WEATHER], tool_choice={"type": "any"},
            extra_body={"temperature": 0}) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    call = next(block for block in final.content if block.type == "tool_use")
    assert set(call.input) == {"city"} and "input_json" in kinds


def test_count_tokens(client):
    counted = client.messages.count_tokens(model=MODEL, messages=QUESTION)
    answer = ask(client)
    usage = answer.usage
    assert counted.input_tokens == usage.input_tokens + usage.cache_read_input_tokens > 5
    more = client.messages.count_tokens(model=MODEL, messages=QUESTION, tools=[WEATHER])
    assert more.input_tokens > counted.input_tokens


def test_begun_answer_goes_on(client):
    answer = ask(client, max_tokens=6, messages=[
        {"role": "user", "content": "What is the capital of France?"},
        {"role": "assistant", "content": "The capital of France is"}])
    assert "Paris" in answer.content[0].text


def test_errors_have_anthropic_s_shape(server: Server, client):
    with pytest.raises(anthropic.NotFoundError) as caught:
        ask(client, model="nobody-has-this")
    assert caught.value.body["type"] == "error"
    assert caught.value.body["error"]["type"] == "not_found_error"
    assert caught.value.body["request_id"] == caught.value.response.headers["x-request-id"]
    with pytest.raises(anthropic.BadRequestError):
        ask(client, messages=[{"role": "user", "content": [{"type": "image", "source": {
            "type": "base64", "media_type": "image/png", "data": "AAAA"}}]}])
    with anthropic_client(server, "dmk_usr_wrong") as stranger, \
            pytest.raises(anthropic.AuthenticationError) as refused:
        ask(stranger)
    assert refused.value.body["error"]["type"] == "authentication_error"
