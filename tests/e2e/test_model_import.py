"""`deepmoat model`: import, what is remembered, what a name means, and files that are refused."""

import hashlib
import json
import os
import signal
import struct
import subprocess
from pathlib import Path

import pytest
from support.chat import body
from support.program import command, environment, model_file, program
from support.server import Server, wait_for

IMPORT_WAIT_S = 600
TEXT = "The wind came from the south-west, and nobody in the harbour had counted the sacks. " * 12


def sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def import_model(data: Path, *arguments: object, **more) -> dict:
    done = command("model", "import", "--json", "--data", data, *arguments, wait_s=IMPORT_WAIT_S,
                   **more)
    return json.loads(done.stdout)


def listed(data: Path) -> list[dict]:
    return json.loads(command("model", "list", "--json", "--data", data).stdout)


def refusal(*arguments: object) -> str:
    done = command("model", *arguments, check=False, wait_s=IMPORT_WAIT_S)
    assert done.returncode == 1, done.stdout
    return done.stderr


def files_in(data: Path) -> list[str]:
    """Everything below the folder of models: nothing half may stay there."""
    return sorted(str(path.relative_to(data / "models"))
                  for path in (data / "models").rglob("*") if path.is_file())


def records(data: Path, action: str) -> list[dict]:
    shown = command("audit", "tail", "-n", 1000, "--data", data).stdout.splitlines()
    return [record for record in map(json.loads, shown) if record["action"] == action]


def test_a_file_is_copied_and_remembered(tmp_path: Path):
    data = tmp_path / "data"
    entry = import_model(data, model_file(), "--name", "smol", "--quantize", "none")
    digest = sha256_of(model_file())
    assert (entry["name"], entry["number"], entry["kind"]) == ("smol", 1, "model")
    assert entry["sha256"] == entry["provenance"]["source_sha256"] == digest
    assert entry["version"] == f"1-{digest[:16]}"
    assert (entry["architecture"], entry["quantisation"], entry["task"]) \
        == ("llama", "Q4_1", "generate")
    assert entry["parameters"] == 134_515_008
    assert entry["provenance"]["source"] == str(model_file())
    assert entry["provenance"]["imported_by"] == f"local:{os.getuid()}"
    stored = Path(entry["file"])
    assert stored == data / "models" / "smol" / f"1-{digest[:16]}.gguf"
    assert sha256_of(stored) == digest and stored.stat().st_mode & 0o777 == 0o600
    intent, result = records(data, "model.import")
    assert (intent["phase"], result["outcome"]) == ("intent", "success")
    assert result["resource"] == f"smol 1-{digest[:16]} sha256:{digest}"

    again = import_model(data, model_file(), "--name", "smol", "--quantize", "none")
    assert again["already_there"] and again["number"] == 1
    assert len(listed(data)) == 1 and files_in(data) == [f"smol/1-{digest[:16]}.gguf"]


def test_versions_pins_and_removal(tmp_path: Path):
    data = tmp_path / "data"
    import_model(data, model_file(), "--name", "smol", "--quantize", "none")
    again = refusal("import", "--data", data, model_file(), "--name", "smol", "--quantize", "Q8_0")
    assert "--allow-requantize" in again and "Q4_1" in again
    second = import_model(data, model_file(), "--name", "smol", "--quantize", "Q8_0",
                          "--allow-requantize")
    assert (second["number"], second["quantisation"]) == (2, "Q8_0")
    assert second["provenance"]["tool"].startswith("llama.cpp ")

    def meant() -> int:
        shown = command("model", "show", "smol", "--json", "--data", data).stdout
        return json.loads(shown)["number"]

    assert meant() == 2
    command("model", "pin", "smol", "1", "--data", data)
    assert meant() == 1
    assert "pinned" in command("model", "list", "--data", data).stdout
    assert "is pinned" in refusal("remove", "smol", "1", "--data", data)
    command("model", "unpin", "smol", "--data", data)
    assert meant() == 2
    command("model", "remove", "smol", "1", "--data", data)
    assert [entry["number"] for entry in listed(data)] == [2]
    assert files_in(data) == [f"smol/{second['version']}.gguf"]
    assert "no version 1" in refusal("remove", "smol", "1", "--data", data)
    removed = [r for r in records(data, "model.remove") if r["phase"] == "result"]
    assert [r["outcome"] for r in removed] == ["refused", "success", "refused"]


def test_auto_measures_and_keeps_the_best_within_the_limit(tmp_path: Path):
    data = tmp_path / "data"
    text = tmp_path / "text"
    text.write_text(TEXT, encoding="utf-8")
    entry = import_model(data, model_file(), "--name", "smol", "--allow-requantize", "--rounds", 1,
                         "--candidates", "Q8_0,Q4_0", "--text", text, "--quality-limit", 5)
    measured = entry["measurements"]
    rows = {row["quantisation"]: row for row in measured["candidates"]}
    assert list(rows) == ["Q4_1", "Q8_0", "Q4_0"]
    assert all(row["prompt_tokens_s"] > 0 and row["output_tokens_s"] > 0 for row in rows.values())
    assert all(1 < row["perplexity"] < 1000 for row in rows.values())
    # Q4_0 made of Q4_1 loses far more than 5 %; what is kept is the faster of the others.
    assert not rows["Q4_0"]["within_limit"] and rows["Q8_0"]["within_limit"]
    allowed = [row for row in rows.values() if row["within_limit"]]
    assert measured["quantisation"] == min(allowed, key=lambda row: row["seconds"])["quantisation"]
    assert entry["quantisation"] == measured["quantisation"]
    assert measured["text_sha256"] == sha256_of(text) and measured["machine"]
    assert len(files_in(data)) == 1
    assert "OUT/S" in command("model", "list", "--data", data).stdout


def gguf_head(keys: int, tensors: int) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, keys)


@pytest.mark.parametrize(("content", "why"), [
    (b"", "is empty"),
    (b"not a model at all", "no GGUF file"),
    (gguf_head(2**63, 0), "keys of metadata"),
    (gguf_head(0, 2**64 - 1), "tensors are more"),
    (gguf_head(1, 0) + struct.pack("<QQ", 2**64 - 1, 0), "key 0"),
    (gguf_head(1, 0) + struct.pack("<Q1sIQ", 1, b"x", 8, 2**63), "\"x\""),
])
def test_crafted_files_are_refused(tmp_path: Path, content: bytes, why: str):
    data, crafted = tmp_path / "data", tmp_path / "crafted.gguf"
    crafted.write_bytes(content)
    assert why in refusal("import", "--data", data, crafted)
    assert files_in(data) == []
    served = subprocess.run([program().parent / "deepmoat-worker", "--self-test", "--model",
                             crafted], capture_output=True, text=True, check=False, timeout=60,
                            env=environment())
    assert served.returncode == 1 and why in served.stderr


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def lora(architecture: str) -> bytes:
    """An adapter of rank 1 for one matrix of 32 x 32."""
    keys = {"general.architecture": architecture, "general.type": "adapter",
            "adapter.type": "lora"}
    head = gguf_head(len(keys), 2)
    for key, value in keys.items():
        head += text(key) + struct.pack("<I", 8) + text(value)
    for number, (half, shape) in enumerate((("a", (32, 1)), ("b", (1, 32)))):
        head += text(f"blk.0.attn_q.weight.lora_{half}") + struct.pack("<I2QIQ", 2, *shape, 0,
                                                                     number * 128)
    return head + bytes(-len(head) % 32) + bytes(2 * 128)


def test_an_adapter_belongs_to_a_model(tmp_path: Path):
    data, adapter, other = tmp_path / "data", tmp_path / "style.gguf", tmp_path / "other.gguf"
    adapter.write_bytes(lora("llama"))
    other.write_bytes(lora("gemma3"))
    base = ("--adapter", "--base", "smol")
    assert "smol" in refusal("import", "--data", data, adapter, *base)
    import_model(data, model_file(), "--name", "smol", "--quantize", "none")
    assert "--adapter" in refusal("import", "--data", data, adapter)
    assert "gemma3" in refusal("import", "--data", data, other, *base)
    entry = import_model(data, adapter, *base)
    assert (entry["name"], entry["kind"], entry["base"]) == ("style", "adapter", "smol")
    assert entry["parameters"] == 64 and sha256_of(Path(entry["file"])) == sha256_of(adapter)


def test_a_file_that_was_cut_is_refused(tmp_path: Path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(model_file().read_bytes()[:-4096])
    assert "copied completely" in refusal("import", "--data", tmp_path / "data", cut)


def test_ctrl_c_leaves_nothing(tmp_path: Path):
    data = tmp_path / "data"
    log = tmp_path / "log"
    with open(log, "wb") as output:
        running = subprocess.Popen([program(), "model", "import", model_file(), "--data", data,
                                    "--name", "smol", "--quantize", "Q4_K_M",
                                    "--allow-requantize"],
                                   stdout=output, stderr=output, env=environment())
    wait_for("the import writes", lambda: (data / "models").exists() and files_in(data))
    running.send_signal(signal.SIGINT)
    assert running.wait(60) == 1
    assert "nothing was imported" in log.read_text("utf-8")
    assert files_in(data) == [] and listed(data) == []


def test_an_imported_model_is_served_by_its_name(make_server):
    server: Server = make_server({"model": [{"name": "smol"}]})
    entry = import_model(server.data, model_file(), "--name", "smol", "--quantize", "none")
    server.start()
    with server.http(server.key("user")) as client:
        answer = client.post("/v1/chat/completions",
                             json={**body(max_tokens=4), "model": "smol"})
        assert answer.status_code == 200, answer.text
    result = server.result_of(answer.headers["x-request-id"])
    assert result["model_version"] == entry["sha256"][:16]

    # Beside the running server: through its socket, with the same words.
    assert [one["name"] for one in listed(server.data)] == ["smol"]
    assert "in use" in refusal("remove", "smol", "1", "--data", server.data)
    second = import_model(server.data, model_file(), "--name", "other", "--quantize", "none")
    assert second["provenance"]["imported_by"].startswith("local:")
    command("model", "pin", "other", "1", "--data", server.data)
    command("model", "unpin", "other", "--data", server.data)
    command("model", "remove", "other", "1", "--data", server.data)
    actions = [(r["action"], r["authentication"]) for r in server.audit()
               if r["phase"] == "result" and r["action"] in ("model.pin", "model.remove")]
    assert ("model.pin", "local_socket") in actions and ("model.remove", "local_socket") in actions
    server.stop()
