"""`deepmoat model import FOLDER`: safetensors as model hubs hand them out, through llama.cpp's
converter, compared number by number with a GGUF file of the same weights that was written by
hand, and then served beside it."""

import json
import os
from pathlib import Path

import gguf_file
import make_safetensors
import pytest
from support.chat import body
from support.program import command, model_file

IMPORT_WAIT_S = 1200  # the first one may install the converter's Python packages
DEFAULTS = {"general.name", "general.type", "general.file_type", "general.size_label",
            "general.quantization_version"}  # that the converter adds about itself
# Kept by the test; a command of the tests sees no other variable of ours.
PASSED_ON = {name: os.environ[name] for name in
             ("DEEPMOAT_CACHE", "DEEPMOAT_LLAMA_SOURCE", "DEEPMOAT_CONVERT_PYTHON")
             if name in os.environ}


def import_folder(data: Path, folder: Path, *arguments: object, check: bool = True):
    return command("model", "import", folder, "--json", "--data", data, "--quantize", "none",
                   *arguments, check=check, wait_s=IMPORT_WAIT_S, **PASSED_ON)


@pytest.mark.parametrize("name", ["llama", "deepseek2"])
def test_a_folder_of_safetensors_becomes_the_same_model(make_server, tmp_path: Path, name: str):
    folder, by_hand = make_safetensors.make(name, model_file(), tmp_path / "hub")
    server = make_server({"model": [
        {"name": "converted", "cells": 2048},
        {"name": "by-hand", "path": str(by_hand), "cells": 2048}]})
    entry = json.loads(import_folder(server.data, folder, "--name", "converted").stdout)
    assert (entry["architecture"], entry["quantisation"], entry["task"]) \
        == (name, "BF16", "generate")
    assert "converter to BF16" in entry["provenance"]["tool"]
    assert entry["provenance"]["source"] == str(folder)

    made = Path(entry["file"])
    tensors, expected = ({tensor.name: tensor for tensor in gguf_file.read_tensors(file)}
                         for file in (made, by_hand))
    assert tensors.keys() == expected.keys()
    for tensor in expected.values():
        assert tensors[tensor.name] == tensor, tensor.name
    facts, wanted = gguf_file.read_metadata(made), gguf_file.read_metadata(by_hand)
    assert {key: facts[key] for key in wanted.keys() & facts.keys()} \
        == {key: wanted[key] for key in wanted.keys() & facts.keys()}
    assert {key for key in wanted.keys() - facts.keys() if wanted[key]} == set()
    assert DEFAULTS <= facts.keys()

    server.start()
    with server.http(server.key("user")) as client:
        answers = [client.post("/v1/chat/completions", json=body(
            "The harbour at night", model=model, max_tokens=16, ignore_eos=True)).json()
            for model in ("converted", "by-hand")]
    texts = [answer["choices"][0]["message"]["content"] for answer in answers]
    assert texts[0] and texts[0] == texts[1]
    assert answers[0]["usage"]["completion_tokens"] == 16
    server.stop()


def test_importing_the_same_folder_again_does_nothing(tmp_path: Path):
    folder, _ = make_safetensors.make("llama", model_file(), tmp_path / "hub")
    first = json.loads(import_folder(tmp_path / "data", folder).stdout)
    again = json.loads(import_folder(tmp_path / "data", folder).stdout)
    assert first["name"] == again["name"] == "llama" and again["already_there"]


def left_in(data: Path) -> list[str]:
    return [str(path) for path in (data / "models").rglob("*") if path.is_file()]


def test_code_that_came_with_a_model_is_not_run(tmp_path: Path):
    """`auto_map` is how a model asks for Python of its own, and llama.cpp's converter of DeepSeek
    trusts it. Here it would leave a file behind."""
    folder, _ = make_safetensors.make("deepseek2", model_file(), tmp_path / "hub")
    marker = tmp_path / "ran"
    (folder / "tokenization_own.py").write_text(
        f"open({str(marker)!r}, 'w').close()\n"
        "from transformers import GPT2TokenizerFast\n"
        "class OwnTokenizer(GPT2TokenizerFast): pass\n", "utf-8")
    settings = folder / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text("utf-8")) | {
        "tokenizer_class": "OwnTokenizer",
        "auto_map": {"AutoTokenizer": [None, "tokenization_own.OwnTokenizer"]}}), "utf-8")
    refused = import_folder(tmp_path / "data", folder, check=False)
    assert not marker.exists(), "the model's code ran"
    assert refused.returncode == 1 and "such code is not run" in refused.stderr, refused.stderr
    assert left_in(tmp_path / "data") == []


def test_a_broken_folder_is_refused_and_leaves_nothing(tmp_path: Path):
    folder, _ = make_safetensors.make("llama", model_file(), tmp_path / "hub")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    refused = import_folder(tmp_path / "data", folder, check=False)
    assert refused.returncode == 1 and "refused the folder" in refused.stderr, refused.stderr
    assert left_in(tmp_path / "data") == []

    (folder / "config.json").unlink()
    refused = import_folder(tmp_path / "data", folder, check=False)
    assert refused.returncode == 1 and "config.json" in refused.stderr
    assert left_in(tmp_path / "data") == []


def test_eight_bit_floats_are_refused_by_name(tmp_path: Path):
    folder, _ = make_safetensors.make("llama", model_file(), tmp_path / "hub")
    half = make_safetensors.Matrix((2, 2), make_safetensors.bf16([0.0, 0.0]))
    make_safetensors.write_safetensors(folder / "model.safetensors", {"x": half}, "F8_E4M3")
    refused = import_folder(tmp_path / "data", folder, check=False)
    if "DEEPMOAT_CONVERT_PYTHON" not in PASSED_ON:  # another PyTorch may know them
        assert "F8_E4M3" in refused.stderr and "DEEPMOAT_CONVERT_PYTHON" in refused.stderr
    assert refused.returncode == 1 and left_in(tmp_path / "data") == []
