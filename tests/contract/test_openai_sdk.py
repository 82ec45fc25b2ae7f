"""The official SDK, as a user's program has it: nothing changed but the address and the key."""

import openai
import pytest
from support.chat import LONG_STORY, at_once
from support.sdk import openai_client
from support.server import MODEL, Server, wait_for

QUESTION = [{"role": "user", "content": "Name the three primary colours."}]


@pytest.fixture
def client(server: Server):
    with openai_client(server, server.shared_key("user")) as made:
        yield made


def ask(client: openai.OpenAI, **more):
    defaults = {"model": MODEL, "messages": QUESTION, "max_tokens": 16, "temperature": 0}
    return client.chat.completions.create(**{**defaults, **more})


def test_chat(client):
    answer = ask(client)
    assert answer.object == "chat.completion" and answer.model == MODEL
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content.strip()
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_stream_gives_the_same_text(client):
    whole = ask(client).choices[0].message.content
    chunks = list(ask(client, stream=True))
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert [reason for reason in reasons if reason] == ["length"]
    assert all(chunk.usage is None for chunk in chunks)


def test_stream_with_usage(client):
    whole = ask(client).usage
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert all(chunk.usage is None for chunk in chunks[:-1])
    usage = chunks[-1].usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (
        whole.prompt_tokens, whole.completion_tokens)


def test_models(client):
    listed = client.models.list().data
    assert [model.id for model in listed] == [MODEL]
    assert client.models.retrieve(MODEL) == listed[0]
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody-has-this")


def test_wrong_key(server: Server):
    key = server.shared_key("user")
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
    with openai_client(server, wrong) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            ask(client)
    assert caught.value.code == "invalid_api_key"
    assert caught.value.request_id


def test_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, model="nobody-has-this")
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"


def test_100_calls_at_once(client):
    def one(number: int):
        return ask(client, max_tokens=4, messages=[
            {"role": "user", "content": f"Count upwards from {number}."}])

    answers = at_once(100, one)
    assert all(answer.usage.completion_tokens <= 4 for answer in answers)
    assert all(answer.choices[0].message.content for answer in answers)
    assert len({answer.id for answer in answers}) == 100


def test_cancel_in_mid_stream(server: Server, client):
    stream = ask(client, messages=[{"role": "user", "content": LONG_STORY}], max_tokens=1500,
                 stream=True, extra_body={"ignore_eos": True})
    for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    request_id = stream.response.headers["x-request-id"]
    assert server.status()["calls_running"] == 1
    before = server.model_status()["tokens_generated"]
    stream.close()
    result = wait_for("the cancelled call's result", lambda: next(
        (r for r in server.audit_of(request_id) if r["phase"] == "result"), None))
    assert (result["outcome"], result["status"]) == ("cancelled", 499)
    assert result["tokens_out"] < 1500
    server.wait_idle()
    # What it still cost after we left: what ran in the step at hand, not the 1500 tokens.
    assert server.model_status()["tokens_generated"] - before < 300


def settle(server: Server, client: openai.OpenAI) -> None:
    """A drawn text is the same again when it is computed in the same way: nothing else runs, and
    the prompt is in the cache. Sums in another order differ in their last bits, and a draw on the
    edge between two tokens then falls on the other side."""
    server.wait_idle()
    ask(client, max_tokens=1)


def test_n_choices(server: Server, client):
    settle(server, client)
    answer = ask(client, n=2, temperature=1.2, seed=7, max_tokens=24)
    assert [choice.index for choice in answer.choices] == [0, 1]
    texts = [choice.message.content for choice in answer.choices]
    assert all(texts) and texts[0] != texts[1]
    assert answer.usage.completion_tokens > 24
    chunks = list(ask(client, n=2, temperature=1.2, seed=7, max_tokens=24, stream=True))
    for index in (0, 1):
        mine = [c.choices[0] for c in chunks if c.choices[0].index == index]
        assert "".join(choice.delta.content or "" for choice in mine) == texts[index]
        assert mine[-1].finish_reason


def test_stop_strings_are_not_in_the_answer(client):
    whole = ask(client, max_tokens=24).choices[0].message.content
    stop = whole.split()[3]
    answer = ask(client, max_tokens=24, stop=[stop, "never in this answer"])
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.content == whole[:whole.index(stop)]
    streamed = list(ask(client, max_tokens=24, stop=stop, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in streamed) == whole[:whole.index(stop)]


def test_seed_repeats(server: Server, client):
    settle(server, client)

    def text(seed: int) -> str:
        return ask(client, temperature=1.0, seed=seed, max_tokens=24).choices[0].message.content

    assert text(1) == text(1)
    assert len({text(seed) for seed in (1, 2, 3)}) > 1


def test_logit_bias_forces_a_token(client):
    answer = ask(client, logit_bias={"28": 100}, max_tokens=6, extra_body={"ignore_eos": True})
    content = answer.choices[0].message.content
    assert len(content) >= 6 and len(set(content)) == 1, content
    assert answer.usage.completion_tokens == 6


def test_max_completion_tokens_goes_over_max_tokens(client):
    answer = ask(client, max_tokens=50, max_completion_tokens=5)
    assert answer.usage.completion_tokens == 5
    assert answer.choices[0].finish_reason == "length"


def test_usage_is_the_engine_s(client):
    first = ask(client, max_tokens=10, extra_body={"ignore_eos": True}).usage
    again = ask(client, max_tokens=10, extra_body={"ignore_eos": True}).usage
    assert first.completion_tokens == again.completion_tokens == 10
    assert first.prompt_tokens == again.prompt_tokens > 5
    assert again.prompt_tokens_details.cached_tokens > 0
    longer = ask(client, messages=[{"role": "user", "content": QUESTION[0]["content"] * 2}]).usage
    assert longer.prompt_tokens > first.prompt_tokens


def test_completions(client):
    answer = client.completions.create(model=MODEL, prompt="One, two, three,", max_tokens=8,
                                       temperature=0)
    assert answer.object == "text_completion"
    assert "four" in answer.choices[0].text.lower()
    assert answer.usage.completion_tokens == 8
    chunks = list(client.completions.create(model=MODEL, prompt="One, two, three,", max_tokens=8,
                                            temperature=0, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == answer.choices[0].text
    assert chunks[-1].choices[0].finish_reason == "length"


def test_content_in_parts_and_system_prompt(client):
    parts = [{"type": "text", "text": text} for text in ("Name the three ", "primary colours.")]
    joined = ask(client, messages=[{"role": "system", "content": "Be brief."}, *QUESTION])
    split = ask(client, messages=[{"role": "system", "content": "Be brief."},
                                  {"role": "user", "content": parts}])
    assert split.choices[0].message.content == joined.choices[0].message.content
    assert split.usage.prompt_tokens == joined.usage.prompt_tokens


def test_too_long_for_the_context(client):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, messages=[{"role": "user", "content": "word " * 20_000}])
    assert caught.value.code == "context_length_exceeded"
