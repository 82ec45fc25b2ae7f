"""Receipts, exports and reports of a running server, checked with a key that was taken before."""

import json

import pytest
from support.program import command
from support.server import Server


@pytest.fixture
def key_file(server: Server, tmp_path):
    path = tmp_path / "server.key"
    path.write_text(command("audit", "key", "--data", server.data).stdout, encoding="utf-8")
    return path


def check(what, path, key_file):
    done = command("audit", f"check-{what}", path, "--key", key_file, "--data", path.parent,
                   check=False)
    return done.returncode, done.stdout


def altered(path):
    """The same file with one letter of a record changed."""
    text = path.read_text(encoding="utf-8")
    at = text.index('"leaf":"') + 100
    other = "A" if text[at] != "A" else "B"
    path.write_text(text[:at] + other + text[at + 1:], encoding="utf-8")
    return path


def test_a_receipt_over_http_and_one_on_the_machine_hold(server: Server, key_file, tmp_path):
    with server.http(server.shared_key("user")) as client:
        call = client.get("/v1/models")
        request_id = call.headers["x-request-id"]
        answer = client.get(f"/v1/audit/receipts/{request_id}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["records"][0]["sequence"] == int(call.headers["x-audit-record"])
    path = tmp_path / "receipt.json"
    path.write_text(answer.text, encoding="utf-8")
    assert check("receipt", path, key_file)[0] == 0
    assert check("receipt", altered(path), key_file)[0] == 1
    command("audit", "receipt", request_id, "-o", path, "--data", server.data)
    status, said = check("receipt", path, key_file)
    assert status == 0 and "2 records" in said


def test_an_export_over_http_and_one_on_the_machine_hold(server: Server, key_file, tmp_path):
    path = tmp_path / "export.ndjson"
    with server.http(server.shared_key("auditor")) as client:
        answer = client.get("/admin/v1/audit/export")
    assert answer.status_code == 200, answer.text
    path.write_bytes(answer.content)
    status, said = check("export", path, key_file)
    assert status == 0 and "left out" in said
    command("audit", "export", "-o", path, "--data", server.data, "--config", server.config)
    assert check("export", path, key_file)[0] == 0
    assert check("export", altered(path), key_file)[0] == 1


def test_nothing_is_proved_without_a_key(tmp_path):
    path = tmp_path / "receipt.json"
    path.write_text("{}", encoding="utf-8")
    done = command("audit", "check-receipt", path, "--data", tmp_path, check=False)
    assert done.returncode == 2 and "--key" in done.stderr


def test_a_month_is_reported_on_the_machine(server: Server, tmp_path):
    path = tmp_path / "report.json"
    command("audit", "report", "--month", "2001-02", "--format", "json", "-o", path, "--data",
            server.data)
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report["figures"]["month"] == "2001-02" and report["figures"]["records"] == 0
    with server.http(server.shared_key("auditor")) as client:
        shown = client.get("/admin/v1/audit/reports/2001-02").json()
    assert shown["figures_sha256"] == report["figures_sha256"]
