"""Embeddings and reranking with models made for them, against llama-server on the same files.

The models are tiny encoders with random weights: what they say means nothing, but every weight has
its part in it."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from support.chat import check_error
from support.llama_server import LlamaServer
from support.program import model_file
from support.server import Server

QUERY = "Who lights the lamp?"
DOCUMENTS = ["The keeper lights the lamp at dusk.", "Seven sacks of flour.", "x",
             "The sea is calm and the harbour sleeps.", "她每天傍晚点灯。"]
TEXTS = ["The sea is calm.", "A keeper wakes.", "七", "a b c d e f g " * 20]
CLOSE = 1e-2  # scores: llama-server's attention adds in F16
FAR = {"bert": 0.02, "demo": 0.05}  # of vectors of length one; Q4_1 rounds what it multiplies


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory, tiny_model):
    server = Server(tmp_path_factory.mktemp("vectors"), {"model": [
        {"name": "rank", "path": str(tiny_model("bert-rank")), "task": "rerank"},
        {"name": "form", "path": str(tiny_model("bert-rank-form"))},
        {"name": "bert", "path": str(tiny_model("bert")), "task": "embed"},
        {"name": "demo", "path": str(model_file()), "task": "embed", "pooling": "mean"}]})
    try:
        yield server.start()
        server.stop()
    finally:
        server.discard()


@pytest.fixture(scope="module")
def peer(vectors: Server, tmp_path_factory) -> Callable[..., LlamaServer]:
    """llama-server with one of the models."""
    variant = vectors.model_status()["cpu_variant"]

    def start(model: Path, *flags: str) -> LlamaServer:
        folder = tmp_path_factory.mktemp("llama")
        return LlamaServer(folder, model, variant, ("-np", "1", "-c", "512", "-b", "512", "-ub",
                                                    "512", *flags))
    return start


def post(server: Server, path: str, **body: object):
    with server.http(server.shared_key("user")) as client:
        return client.post(path, json=body)


def rerank(server: Server, model: str, **more: object) -> dict:
    answer = post(server, "/v1/rerank", **{"model": model, "query": QUERY,
                                           "documents": DOCUMENTS, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def scores(results: list[dict]) -> list[float]:
    """In the order of the documents."""
    return [one["relevance_score"] for one in sorted(results, key=lambda one: one["index"])]


@pytest.mark.parametrize(("name", "file"), [("rank", "bert-rank"), ("form", "bert-rank-form")])
def test_scores_are_those_of_llama_server(vectors: Server, peer, tiny_model, name, file):
    with peer(tiny_model(file), "--reranking") as llama:
        told = llama.post("/v1/rerank", {"query": QUERY, "documents": DOCUMENTS})["results"]
    ours = rerank(vectors, name)
    assert ours["model"] == name
    assert scores(ours["results"]) == pytest.approx(scores(told), abs=CLOSE)
    # They are scores of this query, not numbers that any text would get.
    assert max(scores(told)) - min(scores(told)) > 50 * CLOSE
    other = rerank(vectors, name, query="How many sacks?")
    assert scores(other["results"]) != pytest.approx(scores(told), abs=CLOSE)


def test_order_count_and_echo(vectors: Server):
    ours = rerank(vectors, "rank", return_documents=True)
    results = ours["results"]
    assert [one["relevance_score"] for one in results] \
        == sorted((one["relevance_score"] for one in results), reverse=True)
    assert sorted(one["index"] for one in results) == list(range(len(DOCUMENTS)))
    for one in results:
        assert one["document"] == {"text": DOCUMENTS[one["index"]]}
    assert ours["usage"]["total_tokens"] > len(DOCUMENTS)

    best = rerank(vectors, "rank", top_n=2, return_documents=False)["results"]
    assert [one["index"] for one in best] == [one["index"] for one in results[:2]]
    assert all("document" not in one for one in best)


def test_a_score_does_not_depend_on_the_others(vectors: Server):
    together = scores(rerank(vectors, "rank")["results"])
    for document, expected in zip(DOCUMENTS, together, strict=True):
        alone = rerank(vectors, "rank", documents=[document])["results"]
        assert alone[0]["relevance_score"] == pytest.approx(expected, abs=CLOSE)
    # More than one batch of the engine holds.
    many = scores(rerank(vectors, "rank", documents=DOCUMENTS * 30)["results"])
    assert many == pytest.approx(together * 30, abs=CLOSE)


def test_typed_control_texts_are_letters(vectors: Server):
    """Also in a form of the model's own, which is tokenised as one text."""
    def tokens(document: str) -> int:
        return rerank(vectors, "form", documents=[document])["usage"]["total_tokens"]
    assert tokens("<|im_end|>") > tokens("x") + 3
    assert abs(tokens("{query}") - tokens("[query]")) <= 2, "what is typed is not filled in"


def test_each_model_does_its_own_task(vectors: Server):
    refused = post(vectors, "/v1/rerank", model="bert", query=QUERY, documents=DOCUMENTS)
    assert refused.status_code == 400, refused.text
    refused = post(vectors, "/v1/embeddings", model="rank", input="x")
    assert refused.status_code == 400, refused.text
    too_long = post(vectors, "/v1/rerank", model="rank", query=QUERY, documents=["word " * 2000])
    assert too_long.status_code == 400 and "documents" in too_long.json()["error"]["param"]
    empty = post(vectors, "/v1/rerank", model="rank", query="", documents=DOCUMENTS)
    check_error(empty, 400, empty.json()["error"]["code"], "query")


@pytest.mark.parametrize(("name", "flags"), [("bert", ()), ("demo", ("--pooling", "mean"))])
def test_embeddings_are_those_of_llama_server(vectors: Server, peer, tiny_model, name, flags):
    file = tiny_model("bert") if name == "bert" else model_file()
    with peer(file, "--embeddings", *flags) as llama:
        told = llama.post("/v1/embeddings", {"input": TEXTS, "model": name})
    answer = post(vectors, "/v1/embeddings", model=name, input=TEXTS)
    assert answer.status_code == 200, answer.text
    for ours, theirs in zip(answer.json()["data"], told["data"], strict=True):
        assert ours["index"] == theirs["index"]
        assert math.dist(ours["embedding"], theirs["embedding"]) < FAR[name]
        assert math.hypot(*ours["embedding"]) == pytest.approx(1, abs=CLOSE)
    assert answer.json()["usage"]["prompt_tokens"] == told["usage"]["prompt_tokens"]
