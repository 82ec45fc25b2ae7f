"""A key is in the wrong hands: what is cut and how soon, what is on record, and that it is true."""

import json
import os
import shutil
import subprocess
import threading
import time

import httpx
from support.chat import RunningStream, body, check_error, events
from support.program import command
from support.server import Server, every_byte_under, wait_for

CHAT = "/v1/chat/completions"


def leak(server: Server, key: str, reason: str = "posted in a forum") -> dict:
    done = command("key", "leak", key, "--reason", reason, "--json", "--data", server.data)
    return json.loads(done.stdout)


def key_id(server: Server, key: str) -> str:
    return json.loads(command("key", "show", key, "--json", "--data", server.data).stdout)["id"]


def counts(report: dict, dimension: str) -> dict[str, int]:
    return {one["value"]: one["calls"] for one in report[dimension]}


def test_a_leak_from_beginning_to_end(fresh_server: Server):
    server = fresh_server
    key = server.key("user", "shop", "--tenant", "finance")
    ident = key_id(server, key)
    with server.http(key) as client:
        for text in ("one", "two", "three"):
            assert client.post(CHAT, json=body(text)).status_code == 200
        assert client.post(CHAT, json=body(model="nobody-has-this")).status_code == 404
        client.get("/v1/models")
        sensitive = client.post(CHAT, json=body(), headers={"x-deepmoat-data-class": "sensitive"})
        assert sensitive.status_code == 200
    stream = RunningStream(server, key, 1500)
    stream.wait_begun()
    answer = leak(server, key)
    stream.join(30)
    assert not stream.done and stream.error["code"] == "key_withdrawn"
    with server.http(key) as client:
        check_error(client.get("/v1/models"), 401, "key_revoked")

    incident = answer["incident"]
    assert incident["key"]["id"] == ident and incident["key"]["state_before"] == "active"
    assert incident["reason"] == "posted in a forum"
    assert incident["reported_by"]["operator"] == f"local:{os.getuid()}"
    report = incident["report"]
    assert report["complete"] and report["egress"] == []
    assert counts(report, "by_address") == {"127.0.0.1": report["total"]["calls"]}
    assert counts(report, "by_outcome")["success"] == 5
    assert counts(report, "by_outcome")["refused"] == 1
    assert counts(report, "by_action")["models.list"] == 1
    assert counts(report, "by_data_class")["sensitive"] == 1
    assert set(counts(report, "by_route")) == {"local"}
    assert report["total"]["tokens_out"] > 0
    # The stream ended while the report was made: it counts as cut, or as not finished yet.
    assert counts(report, "by_outcome").get("cancelled", 0) + report["unfinished_calls"] == 1
    results = [r for r in server.audit() if r.get("key_id") == ident and r["phase"] == "result"]
    assert 0 <= len(results) - report["total"]["calls"] <= 2  # the stream's, and the refused call
    check_audit(server, ident, incident)
    check_record(server, incident)
    server.stop()


def check_audit(server: Server, ident: str, incident: dict) -> None:
    """Intent and result of both steps, and the place in the log that the incident names."""
    records = server.audit()
    steps = [(r["action"], r["phase"]) for r in records
             if r["action"] in ("key.leak", "incident.record")]
    assert steps == [("key.leak", "intent"), ("key.leak", "result"),
                     ("incident.record", "intent"), ("incident.record", "result")]
    revocation = next(r for r in records
                      if r["sequence"] == incident["audit_log"]["revocation_record"])
    assert (revocation["action"], revocation["resource"], revocation["outcome"]) == \
        ("key.leak", ident, "success")
    assert incident["audit_log"]["last_record"] >= revocation["sequence"]


def check_record(server: Server, incident: dict) -> None:
    """The file says the same, is for its owner alone, and verifies with nothing but itself."""
    file = server.data / "incidents" / f"{incident['id']}.json"
    assert json.loads(file.read_text(encoding="utf-8"))["incident"] == incident
    assert os.stat(file).st_mode & 0o077 == 0
    listed = json.loads(command("incident", "list", "--json", "--data", server.data).stdout)
    assert [one["id"] for one in listed] == [incident["id"]]
    assert listed[0]["client_id"] == "shop"
    shown = command("incident", "show", incident["id"], "--json", "--data", server.data).stdout
    assert shown == file.read_text(encoding="utf-8")


def test_the_record_verifies_elsewhere_and_only_unaltered(make_server, tmp_path):
    server = make_server()
    answer = leak(server, server.key("user", "shop"))
    name = f"{answer['incident']['id']}.json"
    away = tmp_path / "away"
    away.mkdir()
    shutil.copy(server.data / "incidents" / name, away / name)
    pem = command("key", "leak", "--public-key", "--data", server.data).stdout
    (away / "key.pem").write_text(pem, encoding="utf-8")
    verify = ("incident", "verify", away / name, "--public-key", away / "key.pem")
    assert "intact" in command(*verify).stdout
    assert command("incident", "verify", server.data / "incidents" / name).returncode == 0
    assert command("incident", "verify", away / name, check=False).returncode == 1  # no key there

    whole = (away / name).read_text(encoding="utf-8")
    for before, after in (('"shop"', '"till"'), ('"calls":0', '"calls":1'), ("}", "} "),
                          ("posted", "p0sted")):
        assert before in whole
        (away / name).write_text(whole.replace(before, after, 1), encoding="utf-8")
        altered = command(*verify, check=False)
        assert altered.returncode == 1 and altered.stderr.startswith("deepmoat: "), before
    other = make_server()
    other.key("admin")
    strange = command("key", "leak", "--public-key", "--data", other.data).stdout
    (away / "key.pem").write_text(strange, encoding="utf-8")
    (away / name).write_text(whole, encoding="utf-8")
    assert "signed with key" in command(*verify, check=False).stderr


def test_openssl_verifies_the_signature(make_server, tmp_path):
    """No program of ours is needed: the signed bytes are the incident in canonical JSON."""
    server = make_server()
    answer = leak(server, server.key("user", "shop"), "found by a scanner: 密钥")
    incident = json.dumps(answer["incident"], sort_keys=True, separators=(",", ":"),
                          ensure_ascii=False)
    (tmp_path / "message").write_bytes(incident.encode())
    (tmp_path / "signature").write_bytes(bytes.fromhex(answer["signature"]["value"]))
    pem = command("key", "leak", "--public-key", "--data", server.data).stdout
    (tmp_path / "key.pem").write_text(pem, encoding="utf-8")
    done = subprocess.run(["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin",
                           "-in", "message", "-sigfile", "signature"], cwd=tmp_path,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_refusals_and_a_second_time(make_server):
    server = make_server().start()
    data = ("--data", server.data)
    theirs = server.key("user", "shop", "--tenant", "finance")
    ident = key_id(server, theirs)
    for arguments in ((ident,), (ident, "--reason", ""), ("nonsense", "--reason", "x"),
                      ("key_ffffffffffff", "--reason", "x")):
        refused = command("key", "leak", *arguments, *data, check=False)
        assert refused.returncode == 1 and refused.stderr.startswith("deepmoat: "), arguments
    with server.http(server.shared_key("user")) as user:
        check_error(user.post(f"/admin/v1/keys/{ident}/leak", json={"reason": "x"}), 403,
                    "permission_denied")
    with server.http(server.key("admin", "hr-admin", "--tenant", "hr")) as admin:
        check_error(admin.post(f"/admin/v1/keys/{ident}/leak", json={"reason": "x"}), 404,
                    "not_found")
        check_error(admin.get("/admin/v1/incidents/../../etc/passwd"), 404, "unknown_url")
        check_error(admin.get("/admin/v1/incidents/inc_nothing"), 400, "invalid_value", "incident")
        check_error(admin.post(f"/admin/v1/keys/{ident}/leak", content="{"), 400, "invalid_json")
        check_error(admin.post(f"/admin/v1/keys/{ident}/leak", json={"reason": 1}), 400,
                    "invalid_type", "reason")
    first = leak(server, ident[:12])
    second = leak(server, theirs, "again")
    assert second["incident"]["key"]["state_before"] == "revoked"
    assert second["incident"]["id"] != first["incident"]["id"]
    assert second["key"]["revoke_reason"] == "posted in a forum"
    with server.http(server.key("admin", "hr-admin", "--tenant", "hr")) as admin:
        assert admin.get("/admin/v1/incidents").json()["data"] == []
        check_error(admin.get(f"/admin/v1/incidents/{first['incident']['id']}"), 404, "not_found")
    with server.http(server.shared_key("admin")) as admin:
        assert len(admin.get("/admin/v1/incidents").json()["data"]) == 2
        assert "BEGIN PUBLIC KEY" in admin.get("/admin/v1/incident-key").json()["public_key"]
    assert theirs.encode() not in every_byte_under(server.data / "incidents", server.log)
    server.stop()


def test_a_leak_that_came_to_no_record_is_finished_by_the_next_start(make_server, tmp_path):
    server = make_server().start()
    data = ("--data", server.data)
    url = "https://hooks.invalid/"
    command("webhook", "add", url, "--event", "key.leaked", *data)
    command("client-certificate", "issue", "--client-id", "shop", "--out", tmp_path, *data)
    key = server.key("user", "shop")
    ident = key_id(server, key)
    in_the_way = server.data / "incidents"
    in_the_way.write_text("no folder", encoding="utf-8")
    failed = command("key", "leak", key, "--reason", "posted", *data, check=False)
    assert failed.returncode != 0
    with server.http(key) as client:
        check_error(client.get("/v1/models"), 401, "key_revoked")
    server.kill()
    in_the_way.unlink()
    server.start()

    def incidents() -> list[dict]:
        return json.loads(command("incident", "list", "--json", *data).stdout)

    wait_for("the record is made", incidents)
    incident, = incidents()
    shown = json.loads(command("incident", "show", incident["id"], *data).stdout)
    assert shown["key"]["id"] == ident and shown["key"]["state_before"] == "active"
    assert shown["reason"] == "posted"
    wait_for("the leak is over", lambda: any(
        r["action"] == "incident.record" and r["phase"] == "result" and r["outcome"] == "success"
        for r in server.audit()))
    sent, = json.loads(command("webhook", "deliveries", "--json", *data).stdout)
    assert sent["event"] == "key.leaked" and sent["subject"] == incident["id"]
    keys = json.loads(command("key", "list", "--json", *data).stdout)
    assert [k["state"] for k in keys if k["client_id"] == "shop"] == ["revoked", "active"]
    server.stop()
    server.start()
    server.stop()  # which waits for what the start has begun
    assert len(incidents()) == 1


def test_an_altered_record_hides_no_other(make_server):
    server = make_server().start()
    data = ("--data", server.data)
    theirs = leak(server, server.key("user", "shop", "--tenant", "hr"))["incident"]["id"]
    altered = leak(server, server.key("user", "till", "--tenant", "hr"))["incident"]["id"]
    unreadable = leak(server, server.key("user", "bar", "--tenant", "hr"))["incident"]["id"]
    copied = leak(server, server.key("user", "pub", "--tenant", "hr"))["incident"]["id"]
    folder = server.data / "incidents"
    text = (folder / f"{altered}.json").read_text(encoding="utf-8")
    (folder / f"{altered}.json").write_text(text.replace('"till"', '"tell"'), encoding="utf-8")
    (folder / f"{unreadable}.json").unlink()
    (folder / f"{unreadable}.json").mkdir()
    shutil.copy(folder / f"{theirs}.json", folder / f"{copied}.json")
    with server.http(server.key("admin")) as admin:
        rows = {r["id"]: r for r in admin.get("/admin/v1/incidents").json()["data"]}
        assert set(rows) == {theirs, altered, unreadable, copied}
        assert rows[theirs]["client_id"] == "shop" and "fault" not in rows[theirs]
        assert "altered" in rows[altered]["fault"] and set(rows[altered]) == {"id", "fault"}
        assert "cannot be read" in rows[unreadable]["fault"]
        assert str(server.data) not in rows[unreadable]["fault"]
        assert "copy" in rows[copied]["fault"]
    with server.http(server.key("admin", "hr-admin", "--tenant", "hr")) as admin:
        assert [r["id"] for r in admin.get("/admin/v1/incidents").json()["data"]] == [theirs]
    listed = command("incident", "list", *data, check=False)
    assert listed.returncode == 1 and "shop" in listed.stdout
    assert listed.stdout.count("FAULT") == 3
    server.stop()


def test_what_a_leaked_administrator_did_is_in_the_report(make_server):
    server = make_server().start()
    admin_key = server.key("admin", "boss")
    with server.http(admin_key) as admin:
        made = admin.post("/admin/v1/keys", json={"client_id": "backdoor"}).json()
    report = leak(server, admin_key)["incident"]["report"]
    assert [(c["action"], c["resource"], c["outcome"]) for c in report["changes"]] == \
        [("key.create", made["id"], "success")]
    server.stop()


def test_how_soon_it_is_over(fresh_server: Server, capsys):
    """Measures from the command's intent in the audit log, on the clock that both sides share."""
    server = fresh_server
    key = server.key("user", "drill")
    accepted: list[int] = []
    last_event: list[int] = []
    stop = threading.Event()

    def call_all_the_time():
        with httpx.Client(base_url=server.http_url, trust_env=False,
                          headers={"authorization": f"Bearer {key}"}) as client:
            while not stop.is_set():
                sent = time.monotonic_ns()
                if client.get("/v1/models").status_code == 200:
                    accepted.append(sent)

    def stream():
        try:
            with server.http(key) as client, client.stream(
                    "POST", CHAT, json=body("Go on.", max_tokens=1500, stream=True,
                                            ignore_eos=True)) as answer:
                for event in events(answer.iter_lines()):
                    if event != "[DONE]" and "choices" in event:
                        last_event.append(time.monotonic_ns())
        except httpx.RemoteProtocolError:
            pass  # cut, as it should be

    threads = [threading.Thread(target=work) for work in (call_all_the_time, stream)]
    for thread in threads:
        thread.start()
    wait_for("both are under way", lambda: len(last_event) >= 5 and len(accepted) >= 5)
    leak(server, key)
    threads[1].join(60)
    stop.set()
    threads[0].join(60)
    assert not threads[1].is_alive()
    records = {r["phase"]: r for r in server.audit() if r["action"] == "key.leak"}
    begun, done = (records[phase]["mono_ns"] for phase in ("intent", "result"))
    late_calls = [sent for sent in accepted if sent > done]
    with capsys.disabled():
        print(f"\nleak: in force {(done - begun) / 1e6:.1f} ms after its intent; "
              f"last accepted call {(max(accepted) - begun) / 1e6:.1f} ms, "
              f"last event of a stream {(max(last_event) - begun) / 1e6:.1f} ms after it")
    assert not late_calls, "a call that was sent after the revocation was accepted"
    server.stop()
