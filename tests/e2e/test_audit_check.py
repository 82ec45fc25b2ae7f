"""What the checks of the audit log say to who names the wrong folder or file, has half a receipt,
or a log whose checkpoint was altered."""

import json
import subprocess

import pytest
from support.program import command, program
from support.server import Server, wait_for


def verify_program(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([program().with_name("deepmoat-verify"), *map(str, arguments)],
                          capture_output=True, text=True, timeout=120, check=False)


def both(data, *options: object) -> list[subprocess.CompletedProcess]:
    """The same check by the program apart and by the server's."""
    return [verify_program("log", data / "audit", *options),
            command("audit", "verify", "--data", data, *options, check=False)]


@pytest.fixture
def signed(make_server) -> Server:
    """A server that has ended, with some records and a checkpoint over them."""
    server = make_server().start()
    with server.http(server.shared_key("user")) as client:
        for _ in range(3):
            assert client.get("/v1/models").status_code == 200
    wait_for("a checkpoint", (server.data / "audit/checkpoint").exists)
    server.stop()
    return server


def test_a_folder_that_is_no_log_is_not_intact(signed: Server, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    done = verify_program("log", empty)
    assert done.returncode == 2 and "holds no audit log" in done.stderr, done.stdout + done.stderr
    assert 'name the folder "audit" in the data folder' in done.stderr
    done = verify_program("log", signed.data)
    assert done.returncode == 2 and f"{signed.data / 'audit'} does" in done.stderr, done.stderr
    for data in (empty, tmp_path / "none"):
        done = command("audit", "verify", "--data", data, check=False)
        assert done.returncode == 1 and "is not there" in done.stderr, done.stderr
        assert "--data" in done.stderr and "intact" not in done.stdout
    (empty / "audit").mkdir()
    done = command("audit", "verify", "--data", empty, check=False)
    assert done.returncode == 1 and "holds no audit log" in done.stderr, done.stderr
    done = command("audit", "verify", "--data", signed.data / "audit", check=False)
    assert done.returncode == 1 and "is an audit log itself" in done.stderr, done.stderr


def test_a_wrong_key_or_checkpoint_is_wrong_usage(signed: Server, tmp_path):
    key = signed.data / "audit/verifier.key"
    no_key = tmp_path / "no.key"
    no_key.write_text('{"object":"audit.receipt"}', encoding="utf-8")
    for done in both(signed.data, "--key", key, "--checkpoint", key):
        assert done.returncode == 2 and "NOT intact" not in done.stdout, done.stdout
        assert f"--checkpoint {key}: " in done.stderr, done.stderr
        assert "wanted is a signed checkpoint" in done.stderr
    for wrong in (no_key, signed.data / "audit/checkpoint", tmp_path / "none"):
        for done in both(signed.data, "--key", wrong):
            assert done.returncode == 2 and f"--key {wrong}" in done.stderr, done.stderr
            assert "wanted is the output of `deepmoat audit key`" in done.stderr
    for done in both(signed.data, "--key", key, "--checkpoint", signed.data / "audit/checkpoint"):
        assert done.returncode == 0, done.stdout + done.stderr


def test_an_altered_checkpoint_blames_no_record(signed: Server):
    path = signed.data / "audit/checkpoint"
    lines = path.read_text(encoding="utf-8").split("\n")
    lines[1] = str(int(lines[1]) - 1)
    path.write_text("\n".join(lines), encoding="utf-8")
    for done in both(signed.data, "--key", signed.data / "audit/verifier.key"):
        last = done.stdout.splitlines()[-1]
        assert done.returncode == 1 and "checkpoint is forged or damaged itself" in last, last
        assert "says nothing about the records" in last and "as it was signed" not in last


def test_the_servers_json_is_a_key_and_half_a_receipt_says_so(server: Server, tmp_path):
    with server.http(server.shared_key("user")) as client:
        request_id = client.get("/v1/models").headers["x-request-id"]
        receipt = client.get(f"/v1/audit/receipts/{request_id}").json()
        key = tmp_path / "key.json"
        key.write_text(client.get("/v1/audit/key").text, encoding="utf-8")
    path = tmp_path / "receipt.json"
    for records in (receipt["records"], receipt["records"][:1]):
        half = len(records) == 1
        path.write_text(json.dumps({**receipt, "records": records}), encoding="utf-8")
        for done in (verify_program("receipt", path, "--key", key),
                     command("audit", "check-receipt", path, "--key", key, check=False)):
            assert done.returncode == 0, done.stdout + done.stderr
            assert f"request {request_id}\n" in done.stdout
            assert f"record {records[0]['sequence']}, 2" in done.stdout
            assert ": intent, READ models.list, pending" in done.stdout
            assert ("status 200" in done.stdout) == (not half)
            assert ("no result in it" in done.stdout) == half
            assert ("intact: 1 record, " in done.stdout) == half
