"""Embeddings and rerank through the official SDK; the demo model stands in for an embedding model,
which shows shapes and arithmetic, not quality."""

import base64
import math
import struct

import openai
import pytest
from support.program import model_file
from support.sdk import openai_client
from support.server import Server

TEXTS = ["The sea is calm.", "A lighthouse keeper wakes.", "Seven"]


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory):
    file = str(model_file())
    server = Server(tmp_path_factory.mktemp("vectors"), {"model": [
        {"name": "embed", "path": file, "task": "embed", "pooling": "mean"}]})
    try:
        yield server.start()
        server.stop()
    finally:
        server.discard()


@pytest.fixture
def client(vectors: Server):
    with openai_client(vectors, vectors.shared_key("user")) as made:
        yield made


def embed(client: openai.OpenAI, inputs, **more):
    return client.embeddings.create(model="embed", input=inputs, **more)


def test_embeddings_have_length_one_and_their_order(client):
    answer = embed(client, TEXTS, encoding_format="float")
    assert [item.index for item in answer.data] == [0, 1, 2]
    for item in answer.data:
        assert math.sqrt(sum(value * value for value in item.embedding)) == pytest.approx(1, 1e-3)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > len(TEXTS)
    alone = embed(client, TEXTS[1], encoding_format="float").data[0].embedding
    assert alone == pytest.approx(answer.data[1].embedding, abs=2e-2)


def test_base64_is_the_same_numbers(client):
    floats = embed(client, TEXTS, encoding_format="float")
    packed = embed(client, TEXTS, encoding_format="base64")
    for number, item in enumerate(packed.data):
        data = base64.b64decode(item.embedding)
        values = struct.unpack(f"<{len(data) // 4}f", data)
        assert values == pytest.approx(floats.data[number].embedding, abs=1e-6)


def test_dimensions_cut_and_scale(client):
    whole = embed(client, TEXTS[0], encoding_format="float").data[0].embedding
    cut = embed(client, TEXTS[0], encoding_format="float", dimensions=64).data[0].embedding
    assert len(cut) == 64
    length = math.sqrt(sum(value * value for value in whole[:64]))
    assert cut == pytest.approx([value / length for value in whole[:64]], abs=2e-3)


def test_token_lists(client):
    answer = embed(client, [[504, 28], [504, 28, 30]], encoding_format="float")
    assert len(answer.data) == 2 and answer.usage.prompt_tokens >= 5


def test_chat_of_an_embedding_model_is_refused(client):
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="embed", max_tokens=1,
                                       messages=[{"role": "user", "content": "x"}])
