"""A model whose file lies in parts: checked together, joined on import, served as the whole."""

import hashlib
import json
from pathlib import Path

import gguf_file
import pytest
from support.chat import body
from support.program import command, model_file


def import_model(data: Path, source: Path, *arguments: object, check: bool = True):
    return command("model", "import", source, "--json", "--data", data, "--quantize", "none",
                   *arguments, check=check, wait_s=600)


@pytest.fixture(params=["tiny", "demo"])
def whole(request, tiny_model) -> Path:
    """A tiny model with F32 weights, and the demo model with quantised ones."""
    return tiny_model("llama") if request.param == "tiny" else model_file()


def split(whole: Path, folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    return gguf_file.write_parts(folder / "model.gguf", gguf_file.read_metadata(whole),
                                 gguf_file.read_tensors(whole), count)


def test_the_parts_are_joined_into_the_same_model(whole: Path, tmp_path: Path):
    parts = split(whole, tmp_path / "parts", 3)
    entry = json.loads(import_model(tmp_path / "data", parts[0]).stdout)
    assert entry["name"] == "model" and "joined" in entry["provenance"]["tool"]
    together = hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()
    assert entry["provenance"]["source_sha256"] == together
    made = Path(entry["file"])
    assert hashlib.sha256(made.read_bytes()).hexdigest() == entry["sha256"]
    assert {tensor.name: tensor for tensor in gguf_file.read_tensors(made)} \
        == {tensor.name: tensor for tensor in gguf_file.read_tensors(whole)}
    before, after = gguf_file.read_metadata(whole), gguf_file.read_metadata(made)
    assert {key: after[key] for key in before} == before
    assert after.get("split.count", 0) <= 1

    again = json.loads(import_model(tmp_path / "data", parts[0]).stdout)
    assert again["already_there"]


def test_the_joined_model_answers_as_the_whole_one(make_server, tiny_model, tmp_path: Path):
    whole = tiny_model("llama")
    server = make_server({"model": [{"name": "joined", "cells": 2048},
                                    {"name": "whole", "path": str(whole), "cells": 2048},
                                    {"name": "parts", "cells": 2048, "path": str(
                                        split(whole, tmp_path / "parts", 4)[0])}]})
    import_model(server.data, tmp_path / "parts" / "model-00001-of-00004.gguf",
                 "--name", "joined")
    server.start()
    with server.http(server.key("user")) as client:
        answers = [client.post("/v1/completions", json={
            "model": name, "prompt": "The sea", "max_tokens": 24, "temperature": 0,
            "ignore_eos": True}) for name in ("joined", "whole", "parts")]
    texts = [answer.json()["choices"][0]["text"] for answer in answers]
    assert texts[0] and texts[0] == texts[1] == texts[2]
    server.stop()


def test_what_is_not_a_whole_set_of_parts_is_refused(tiny_model, tmp_path: Path):
    parts = split(tiny_model("llama"), tmp_path / "parts", 3)
    data = tmp_path / "data"

    def refusal(source: Path) -> str:
        done = import_model(data, source, check=False)
        assert done.returncode == 1, done.stdout
        assert not [path for path in (data / "models").rglob("*") if path.is_file()]
        return done.stderr

    assert "00001" in refusal(parts[1])
    second = parts[1].read_bytes()
    parts[1].write_bytes(parts[2].read_bytes())
    assert "split.no" in refusal(parts[0])
    parts[1].write_bytes(second[: len(second) // 2])
    assert "part 2" in refusal(parts[0]) or "copied completely" in refusal(parts[0])
    parts[1].unlink()
    assert "3 parts" in refusal(parts[0])
