"""What the official SDK can ask beyond plain chats: tools, formats, logprobs, responses."""

import json

import openai
import pydantic
import pytest
from support.sdk import openai_client
from support.server import MODEL, Server

QUESTION = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER = {"name": "get_weather", "description": "The weather of a city.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string",
                                                                    "maxLength": 20}},
                          "required": ["city"], "additionalProperties": False}}
TOOLS = [{"type": "function", "function": WEATHER}]
NAMED = {"type": "function", "function": {"name": "get_weather"}}


class Colour(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    name: str = pydantic.Field(max_length=12)
    bright: bool


@pytest.fixture
def client(server: Server):
    with openai_client(server, server.shared_key("user")) as made:
        yield made


@pytest.fixture
def operator(server: Server):
    with openai_client(server, server.shared_key("operator")) as made:
        yield made


def ask(client: openai.OpenAI, **more):
    defaults = {"model": MODEL, "messages": QUESTION, "max_tokens": 80, "temperature": 0}
    return client.chat.completions.create(**{**defaults, **more})


@pytest.mark.parametrize("choice", ["required", NAMED], ids=["required", "named"])
def test_tool_call_and_its_answer(client, choice):
    answer = ask(client, tools=TOOLS, tool_choice=choice, parallel_tool_calls=False)
    assert answer.choices[0].finish_reason == "tool_calls"
    call, = answer.choices[0].message.tool_calls
    assert call.function.name == "get_weather" and call.id and call.type == "function"
    assert set(json.loads(call.function.arguments)) == {"city"}
    history = [*QUESTION, answer.choices[0].message.model_dump(exclude_none=True),
               {"role": "tool", "tool_call_id": call.id, "content": "Sunny, 25 degrees."}]
    spoken = ask(client, messages=history, tools=TOOLS, tool_choice="none", max_tokens=20)
    assert spoken.choices[0].message.content.strip()
    assert not spoken.choices[0].message.tool_calls


def test_streamed_tool_call_is_the_same(client):
    whole = ask(client, tools=TOOLS, tool_choice=NAMED).choices[0].message.tool_calls[0]
    chunks = list(ask(client, tools=TOOLS, tool_choice=NAMED, stream=True))
    pieces = [piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or []]
    assert pieces[0].id and pieces[0].function.name == "get_weather"
    assert {piece.index for piece in pieces} == {0}
    assert "".join(piece.function.arguments or "" for piece in pieces) == whole.function.arguments
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_unknown_tool_and_old_functions(client):
    for more, param in (({"tools": TOOLS, "tool_choice": {"type": "function",
                                                          "function": {"name": "other"}}},
                         "tool_choice"),
                        ({"functions": [WEATHER]}, "functions"),
                        ({"messages": [*QUESTION, {"role": "tool", "tool_call_id": "nobody",
                                                   "content": "x"}]}, "messages[1].tool_call_id")):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, **more)
        assert caught.value.param == param


def test_parse_into_a_model(client):
    answer = client.chat.completions.parse(
        model=MODEL, messages=[{"role": "user", "content": "Name a colour."}], max_tokens=60,
        temperature=0, response_format=Colour)
    assert isinstance(answer.choices[0].message.parsed, Colour)


def test_json_object(client):
    answer = ask(client, response_format={"type": "json_object"}, max_tokens=200,
                 messages=[{"role": "user", "content": "Answer as JSON with one key, colour."}])
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content), dict)
    else:
        assert answer.choices[0].message.content.lstrip().startswith("{")


def test_grammar(client):
    answer = ask(client, extra_body={"grammar": 'root ::= "red" | "blue"'})
    assert answer.choices[0].message.content in ("red", "blue")


def test_a_schema_that_cannot_be_compiled_is_refused(client):
    with pytest.raises(openai.BadRequestError):
        ask(client, response_format={"type": "json_schema", "json_schema": {
            "name": "bad", "schema": {"$ref": "#/$defs/nowhere"}}})


def test_a_schema_of_which_no_grammar_can_be_made_is_blamed_by_its_name(client):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, response_format={"type": "json_schema", "json_schema": {
            "name": "odd", "schema": {"type": "banana"}}})
    message = caught.value.body["message"]
    assert message.startswith("response_format.json_schema: ") and "banana" in message, message


def test_logprobs_need_the_permission(client, operator):
    with pytest.raises(openai.PermissionDeniedError) as caught:
        ask(client, logprobs=True)
    assert caught.value.code == "permission_denied" and caught.value.param == "logprobs"
    answer = ask(operator, logprobs=True, top_logprobs=3, max_tokens=4)
    tokens = answer.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == answer.choices[0].message.content
    for token in tokens:
        assert len(token.top_logprobs) == 3
        assert token.logprob == pytest.approx(token.top_logprobs[0].logprob)  # temperature 0
        assert token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob
    chunks = list(ask(operator, logprobs=True, top_logprobs=3, max_tokens=4, stream=True))
    streamed = [token for chunk in chunks if chunk.choices[0].logprobs
                for token in chunk.choices[0].logprobs.content]
    assert [token.token for token in streamed] == [token.token for token in tokens]


def test_completions_logprobs_echo_tokens_and_suffix(client, operator):
    prompt = "One, two, three,"
    answer = operator.completions.create(model=MODEL, prompt=prompt, max_tokens=4, temperature=0,
                                         logprobs=2, echo=True)
    choice = answer.choices[0]
    assert choice.text.startswith(prompt)
    assert choice.logprobs.text_offset[0] == len(prompt)
    assert len(choice.logprobs.tokens) == 4
    prompts = [prompt, "A, B, C,", [504, 28]]
    together = client.completions.create(model=MODEL, prompt=prompts, max_tokens=4, temperature=0)
    assert [choice.index for choice in together.choices] == [0, 1, 2]
    alone = [client.completions.create(model=MODEL, prompt=one, max_tokens=4, temperature=0)
             for one in prompts]
    assert [choice.text for choice in together.choices] == \
        [one.choices[0].text for one in alone]
    assert together.usage.total_tokens == sum(one.usage.total_tokens for one in alone)
    assert client.completions.create(model=MODEL, prompt=[504, 28], max_tokens=2,
                                     temperature=0).usage.prompt_tokens == 2
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model=MODEL, prompt="a", suffix="b", max_tokens=4)


def test_answer_that_is_begun(client):
    begun = "The capital of France is"
    answer = ask(client, max_tokens=6, messages=[
        {"role": "user", "content": "What is the capital of France?"},
        {"role": "assistant", "content": begun, "prefix": True}])
    assert "Paris" in answer.choices[0].message.content
    assert begun not in answer.choices[0].message.content


def test_pictures_are_refused(client):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, messages=[{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}])
    assert caught.value.code == "unsupported_parameter"


# /v1/responses

def respond(client: openai.OpenAI, **more):
    defaults = {"model": MODEL, "input": "Name the three primary colours.",
                "max_output_tokens": 24, "temperature": 0}
    return client.responses.create(**{**defaults, **more})


def test_response_is_the_chat_s_answer(client):
    answer = respond(client)
    chat = ask(client, max_tokens=24,
               messages=[{"role": "user", "content": "Name the three primary colours."}])
    assert answer.output_text == chat.choices[0].message.content
    assert answer.status in ("completed", "incomplete") and answer.object == "response"
    assert answer.usage.input_tokens == chat.usage.prompt_tokens
    assert answer.usage.output_tokens == chat.usage.completion_tokens
    cut = respond(client, max_output_tokens=2)
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_response_stream(client):
    whole = respond(client).output_text
    events = list(respond(client, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1].type in ("response.completed", "response.incomplete")
    assert events[-1].response.output_text == whole
    assert "".join(event.delta for event in events
                   if event.type == "response.output_text.delta") == whole


def test_response_with_tools_and_history(client):
    tool = {"type": "function", **WEATHER, "strict": True}
    first = respond(client, input=QUESTION, tools=[tool], tool_choice="required",
                    max_output_tokens=80, parallel_tool_calls=False)
    call, = [item for item in first.output if item.type == "function_call"]
    assert set(json.loads(call.arguments)) == {"city"}
    second = respond(client, tools=[tool], tool_choice="none", input=[
        *QUESTION, call.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny."}])
    assert second.output_text.strip()
    with pytest.raises(openai.BadRequestError) as caught:
        respond(client, previous_response_id=first.id)
    assert caught.value.param == "previous_response_id"


def test_response_parsed_into_a_model(client):
    answer = client.responses.parse(model=MODEL, input="Name a colour.", max_output_tokens=60,
                                    temperature=0, text_format=Colour)
    assert isinstance(answer.output_parsed, Colour)
