"""The audit log: what it says, that it finds what was altered, and that nothing goes without it."""

import json
import resource
import subprocess
import time

import pytest
from support.chat import RunningStream, body, check_error
from support.program import command, environment, program
from support.server import MODEL, Server, wait_for

CHAT = "/v1/chat/completions"


def test_a_call_has_an_intent_and_a_result(server: Server):
    with server.http(server.shared_key("user")) as client:
        answer = client.post(CHAT, json=body(max_tokens=5, ignore_eos=True),
                             headers={"x-deepmoat-data-class": "sensitive"})
    intent, result = server.audit_of(answer.headers["x-request-id"])
    assert (intent["phase"], intent["outcome"]) == ("intent", "pending")
    assert (result["phase"], result["outcome"]) == ("result", "success")
    assert result["intent_sequence"] == intent["sequence"] < result["sequence"]
    usage = answer.json()["usage"]
    assert result["tokens_in"] == usage["prompt_tokens"]
    assert result["tokens_out"] == usage["completion_tokens"] == 5
    assert result["bytes_out"] == len(answer.content)
    expected = {"operation": "EXECUTE", "action": "chat.completions", "resource": MODEL,
                "model": MODEL, "route": "local", "data_class": "sensitive", "status": 200,
                "tenant": "default", "operator": "test-user", "role": "user",
                "authentication": "api_key", "ip_address": "127.0.0.1"}
    assert {name: result.get(name) for name in expected} == expected
    assert result["key_id"].startswith("key_") and len(result["model_version"]) == 16
    assert len(result["input_fingerprint"]) == len(result["output_fingerprint"]) == 64
    assert result["first_token_ms"] <= result["duration_ms"]


def test_fingerprints_tell_equal_from_different(server: Server):
    seen: dict[str, set[str]] = {}
    inputs = {}
    for text in ("One question.", "One question.", "Another question entirely."):
        with server.http(server.shared_key("user")) as client:
            answer = client.post(CHAT, json=body(text, max_tokens=12))
        result = server.result_of(answer.headers["x-request-id"])
        content = answer.json()["choices"][0]["message"]["content"]
        seen.setdefault(content, set()).add(result["output_fingerprint"])
        inputs.setdefault(text, set()).add(result["input_fingerprint"])
    for by_text in (seen, inputs):
        assert all(len(prints) == 1 for prints in by_text.values())
        assert len(set.union(*by_text.values())) == len(by_text)


@pytest.mark.parametrize(("method", "path", "action", "role"), [
    ("GET", "/v1/models", "models.list", "user"),
    ("GET", f"/v1/models/{MODEL}", "models.show", "user"),
    ("GET", "/v1/usage", "usage.own", "user"),
    ("GET", "/admin/v1/status", "status", "operator"),
    ("GET", "/admin/v1/keys", "key.list", "admin"),
])
def test_reading_is_on_record(server: Server, method, path, action, role):
    with server.http(server.shared_key(role)) as client:
        answer = client.request(method, path)
    assert answer.status_code == 200
    intent, result = server.audit_of(answer.headers["x-request-id"])
    for record in (intent, result):
        assert (record["action"], record["operation"]) == (action, "READ")
    assert result["outcome"] == "success"


def test_admin_actions_name_the_key_and_the_operator(server: Server):
    with server.http(server.shared_key("admin")) as admin:
        made = admin.post("/admin/v1/keys", json={"client_id": "on-record"})
        key_id = made.json()["id"]
        revoked = admin.post(f"/admin/v1/keys/{key_id}/revoke", json={"reason": "end"})
    for answer, action in ((made, "key.create"), (revoked, "key.revoke")):
        intent, result = server.audit_of(answer.headers["x-request-id"])
        assert (result["action"], result["operation"]) == (action, "WRITE")
        assert (result["resource"], result["operator"]) == (key_id, "test-admin")
        assert result["intent_sequence"] == intent["sequence"]
    command("key", "show", key_id, "--data", server.data)
    last = [r for r in server.audit() if r["action"] == "key.show"][-1]
    assert last["authentication"] == "local_socket" and last["operator"].startswith("local:")


def test_unknown_addresses_are_on_record(server: Server):
    with server.http() as client:
        answer = client.get("/wp-admin")
    result = server.result_of(answer.headers["x-request-id"])
    assert (result["action"], result["status"]) == ("unknown_route", 404)


def test_tail_gives_the_newest(server: Server):
    records = server.audit()
    shown = command("audit", "tail", "-n", 3, "--data", server.data).stdout.splitlines()
    assert [json.loads(line)["sequence"] for line in shown] == [
        record["sequence"] for record in records[-3:]]
    assert [record["sequence"] for record in records] == list(range(1, len(records) + 1))


def test_follow_gives_what_comes(server: Server, tmp_path):
    output = tmp_path / "followed"
    with open(output, "wb") as file:
        follower = subprocess.Popen([program(), "audit", "tail", "-n", "1", "--follow", "--data",
                                     server.data], stdout=file, env=environment())
    try:
        wait_for("its first line", lambda: output.stat().st_size > 0)
        with server.http(server.shared_key("user")) as client:
            request_id = client.get("/v1/models").headers["x-request-id"]
        wait_for("the new records", lambda: output.read_text("utf-8").count(request_id) == 2)
    finally:
        follower.terminate()
        assert follower.wait(10) == 0
    assert all(json.loads(line) for line in output.read_text("utf-8").splitlines())


def test_verify_beside_a_running_server(server: Server):
    stream = RunningStream(server, server.shared_key("user"), 100)
    stream.wait_begun()
    for _ in range(5):
        assert "intact" in server.verify().splitlines()[-1]
    stream.join()


def test_verify_names_the_altered_record(make_server):
    server = make_server({"audit": {"segment_mib": 1}})
    key = server.key("user", "somebody")
    for _ in range(6):
        command("key", "show", key, "--data", server.data)
    count = len(server.audit())
    segment = next(file for file in sorted((server.data / "audit").iterdir())
                   if b"somebody" in file.read_bytes())
    good = segment.read_bytes()
    places = [good.index(b'"key.create"') + 1, good.index(b'"outcome":"success"') + 12]
    for place in places:
        segment.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1:])
        done = command("audit", "verify", "--data", server.data, check=False)
        last = done.stdout.splitlines()[-1]
        assert done.returncode == 1 and "NOT intact" in last, done.stdout
        assert segment.name in last and f"record {1 if place == places[0] else 2}," in last, last
    segment.write_bytes(good)
    assert f"{count} records" in server.verify().splitlines()[-1]


def test_an_altered_log_is_not_served(make_server):
    """A server must not go on writing behind a record that somebody changed."""
    server = make_server({"audit": {"segment_mib": 1}})
    key = server.key("user", "somebody")
    for _ in range(3):
        command("key", "show", key, "--data", server.data)
    segment = next(file for file in sorted((server.data / "audit").iterdir())
                   if b"somebody" in file.read_bytes())
    good = segment.read_bytes()
    place = good.index(b'"key.create"') + 1
    segment.write_bytes(good[:place] + b"K" + good[place + 1:])
    done = command("serve", "--data", server.data, "--config", server.config, check=False)
    assert done.returncode == 1 and "audit" in done.stderr, done.stderr


def test_nothing_is_answered_without_the_log(fresh_server: Server):
    """Its files may not grow or change any more, as on a disk that fails."""
    server = fresh_server
    user, admin = server.shared_key("user"), server.shared_key("admin")
    stream = RunningStream(server, user, 150)
    stream.wait_begun()
    before = server.audit()
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    with server.http(user) as client, server.http(admin) as administrator:
        for _ in range(2):
            answer = client.post(CHAT, json=body())
            check_error(answer, 503, "audit_unavailable")
            assert int(answer.headers["retry-after"]) > 0
        check_error(client.get("/v1/models"), 503, "audit_unavailable")
        check_error(client.post(CHAT, json=body(model="nobody-has-this")), 503,
                    "audit_unavailable")
        made = administrator.post("/admin/v1/keys", json={"client_id": "unrecorded"})
        assert "key" not in made.json()
        for answer in (made, administrator.get("/admin/v1/catalog"),
                       administrator.post("/admin/v1/keys", json={"colour": "red"})):
            check_error(answer, 503, "audit_unavailable")
            assert answer.headers["retry-after"] == "30"
            assert "segment" not in answer.text and str(server.data) not in answer.text
        assert client.get("/livez").status_code == 200
        ready = client.get("/readyz")
        assert ready.status_code == 503 and ready.json()["checks"]["audit_log"] == "failed"
    stream.join()
    assert not stream.done, "a stream ended as if its result had been recorded"
    server.kill()
    server.verify()
    server.start()
    assert server.audit()[:len(before)] == before
    with server.http(server.shared_key("user")) as client:
        assert client.post(CHAT, json=body()).status_code == 200
    assert not [r for r in server.audit() if r.get("resource") == "unrecorded"]
    server.stop()


def test_records_are_durable_before_the_answer(make_server):
    """What was answered is there after the power of SIGKILL."""
    server = make_server().start()
    with server.http(server.shared_key("user")) as client:
        ids = [client.get("/v1/models").headers["x-request-id"] for _ in range(20)]
    server.kill()
    time.sleep(0.1)
    recorded = {r["request_id"] for r in server.audit() if r["phase"] == "result"}
    assert set(ids) <= recorded
