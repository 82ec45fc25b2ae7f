"""Webhooks against a real receiver: signed, tried again, never twice once acknowledged."""

import json
import sqlite3
import time
from collections.abc import Iterator

import pytest
from support.chat import check_error
from support.program import command, free_port, model_file
from support.receiver import Receiver
from support.server import Server, every_byte_under, wait_for

WAIT_S = 60


@pytest.fixture
def receivers() -> Iterator[list[Receiver]]:
    made: list[Receiver] = []
    yield made
    for one in made:
        one.close()


def add(server: Server, url: str, *events: str, tenant: str = "default") -> str:
    flags = [part for event in events for part in ("--event", event)]
    done = command("webhook", "add", url, *flags, "--tenant", tenant, "--data", server.data)
    secret = done.stdout.strip()
    assert secret.startswith("dmwh_") and "\n" not in secret
    return secret


def deliveries(server: Server) -> list[dict]:
    return json.loads(command("webhook", "deliveries", "--json", "--data", server.data).stdout)


def leak(server: Server, key: str, reason: str = "found in a forum") -> dict:
    done = command("key", "leak", key, "--reason", reason, "--json", "--data", server.data)
    return json.loads(done.stdout)


def delivered(server: Server) -> bool:
    return bool(deliveries(server)) and all(d["state"] == "delivered" for d in deliveries(server))


def test_fails_twice_then_arrives_signed_and_once(make_server, receivers):
    server = make_server().start()
    receivers.append(receiver := Receiver([500, 503]))
    secret = add(server, receiver.url, "key.leaked")
    key = server.key("user", "shop", "--label", "till 3")
    answer = leak(server, key)
    assert answer["webhooks"] == 1
    wait_for("the third attempt is acknowledged", lambda: delivered(server), WAIT_S)
    assert [one.status for one in receiver.received] == [500, 503, 200]
    assert len({one.body for one in receiver.received}) == 1
    for one in receiver.received:
        assert one.signed_by(secret) and not one.signed_by(secret[:-1] + "x")
        assert one.path == "/hook?from=deepmoat"
        assert one.headers["content-type"] == "application/json"
        assert one.headers["x-deepmoat-delivery"] == one.json["id"]
    message = receiver.received[0].json
    assert message["event"] == "key.leaked" and message["reason"] == "found in a forum"
    assert message["incident"] == answer["incident"]["id"]
    assert message["key"]["client_id"] == "shop" and message["key"]["label"] == "till 3"
    assert key.encode() not in receiver.received[0].body
    row, = deliveries(server)
    assert (row["attempts"], row["last_status"], row["last_error"]) == (3, 200, "")

    # Nothing of it comes again: not later, not after a restart, not for the same key.
    server.stop()
    server.start()
    leak(server, key, "again")
    wait_for("the second incident arrives", lambda: len(receiver.received) == 4, WAIT_S)
    time.sleep(2)
    assert len(receiver.received) == 4
    assert len({one.json["id"] for one in receiver.received}) == 2
    results = [r for r in server.audit() if r["action"] == "webhook.deliver"
               and r["phase"] == "result"]
    assert [r["outcome"] for r in results] == ["failed", "failed", "success", "success"]
    assert secret.encode() not in every_byte_under(server.data, server.log)
    server.stop()


def test_what_waits_survives_a_kill(make_server, receivers):
    server = make_server().start()
    port = free_port()
    secret = add(server, f"http://127.0.0.1:{port}/", "key.leaked")
    leak(server, server.key())
    wait_for("an attempt has failed", lambda: deliveries(server)[0].get("attempts", 0) > 0, WAIT_S)
    assert "connect" in deliveries(server)[0]["last_error"]
    server.kill()
    receivers.append(receiver := Receiver(port=port))
    server.start()
    wait_for("it arrives", lambda: delivered(server), WAIT_S)
    assert len(receiver.received) == 1 and receiver.received[0].signed_by(secret)
    server.stop()


def test_what_is_queued_without_a_server_is_sent_by_the_next(make_server, receivers):
    server = make_server()
    server.key("admin")  # makes the folder
    receivers.append(receiver := Receiver())
    secret = add(server, receiver.url, "key.leaked", "key.expiring")
    ident = json.loads(command("webhook", "list", "--json", "--data", server.data).stdout)[0]["id"]
    shown = command("webhook", "test", ident, "--data", server.data).stdout
    assert "when a server runs" in shown
    leak(server, server.key("user", "shop"))
    assert not receiver.received
    server.start()
    wait_for("both arrive", lambda: delivered(server) and len(receiver.received) == 2, WAIT_S)
    assert {one.json["event"] for one in receiver.received} == {"webhook.test", "key.leaked"}
    assert all(one.signed_by(secret) for one in receiver.received)
    server.stop()


def test_keys_that_end_soon_are_announced_at_the_start(make_server, receivers):
    server = make_server()
    server.key("user", "long-lived")
    server.key("user", "ends-soon")
    listed = json.loads(command("key", "list", "--json", "--data", server.data).stdout)
    soon = next(k for k in listed if k["client_id"] == "ends-soon")
    command("key", "expire", soon["id"], "--in", "5d", "--data", server.data)
    receivers.append(receiver := Receiver())
    add(server, receiver.url, "key.expiring")
    server.start()
    wait_for("the notice arrives", lambda: receiver.of_event("key.expiring"), WAIT_S)
    server.stop()
    server.start()
    time.sleep(1)
    notice, = receiver.of_event("key.expiring")
    assert notice.json["key"]["id"] == soon["id"] and notice.json["within_days"] == 7
    server.stop()


def test_redirects_are_not_followed(make_server, receivers):
    server = make_server().start()
    receivers.append(receiver := Receiver([302]))
    add(server, receiver.url, "key.leaked")
    leak(server, server.key())
    wait_for("it arrives in the end", lambda: delivered(server), WAIT_S)
    assert [one.path for one in receiver.received] == ["/hook?from=deepmoat"] * 2
    results = [r for r in server.audit() if r["action"] == "webhook.deliver"
               and r["phase"] == "result"]
    assert [r["status"] for r in results] == [302, 200]
    server.stop()


def test_https_is_verified(make_server, receivers):
    """Another installation's certificate, from an authority that the machine does not know."""
    other = make_server().start()
    other.stop()
    tls = other.data / "tls"
    receivers.append(receiver := Receiver(certificate=(tls / "server.crt", tls / "server.key")))
    server = make_server().start()
    secret = add(server, receiver.url, "key.leaked")
    leak(server, server.key())
    wait_for("an attempt has failed", lambda: deliveries(server)[0].get("attempts", 0) > 0, WAIT_S)
    assert "certificate" in deliveries(server)[0]["last_error"], deliveries(server)
    assert not receiver.received
    server.stop()
    server.configure({"webhooks": {"ca_file": str(other.ca)}})
    server.start()
    wait_for("it arrives", lambda: delivered(server), WAIT_S)
    assert receiver.received[0].signed_by(secret)
    server.stop()


def test_a_ca_file_that_does_not_load_ends_the_start(make_server, tmp_path):
    """With a model whose start is under way on other threads."""
    (wrong := tmp_path / "wrong.crt").write_text("no certificate", encoding="utf-8")
    server = make_server({"webhooks": {"ca_file": str(wrong)}}, model=model_file()).launch()
    assert server.wait_end() == 1
    assert "wrong.crt" in server.tail()


def test_refusals(make_server):
    server = make_server().start()
    data = ("--data", server.data)
    for url in ("http://hooks.example/", "ftp://hooks.example/", "https://a:b@hooks.example/",
                "hooks.example"):
        refused = command("webhook", "add", url, "--event", "key.leaked", *data, check=False)
        assert refused.returncode == 1 and "url: " in refused.stderr, url
    refused = command("webhook", "add", "https://hooks.example/", "--event", "key.made", *data,
                      check=False)
    assert refused.returncode == 1 and "key.leaked" in refused.stderr
    with server.http(server.shared_key("user")) as user:
        check_error(user.get("/admin/v1/webhooks"), 403, "permission_denied")
    with server.http(server.key("admin", "hr-admin", "--tenant", "hr")) as admin:
        url = "https://hooks.example/"
        refused = admin.post("/admin/v1/webhooks", json={
            "url": url, "events": ["key.leaked"], "tenant": "default"})
        check_error(refused, 403, "permission_denied", "tenant")
        mine = admin.post("/admin/v1/webhooks", json={"url": url, "events": ["key.leaked"]}).json()
        assert mine["tenant"] == "hr" and mine["secret"] and not mine["internal"]
        for inside in ("http://127.0.0.1:9/", "https://localhost/", "https://10.1.2.3/",
                       "https://[::ffff:127.0.0.1]/"):
            refused = admin.post("/admin/v1/webhooks", json={
                "url": inside, "events": ["key.leaked"]})
            check_error(refused, 400, "invalid_value", "url")
        check_error(admin.post("/admin/v1/webhooks", json={"url": url, "events": "key.leaked"}),
                    400, "invalid_type", "events")
        check_error(admin.post("/admin/v1/webhooks", json={"url": url, "events": ["key.made"]}),
                    400, "invalid_value", "events")
        check_error(admin.post("/admin/v1/webhooks", content="{"), 400, "invalid_json")
        deep = '{"url":' + "[" * 100_000 + "]" * 100_000 + "}"
        check_error(admin.post("/admin/v1/webhooks", content=deep), 400, "json_too_deep")
        check_error(admin.post("/admin/v1/client-certificates", json={
            "client_id": "shop", "days": 1000}), 400, "invalid_value", "days")
        assert [w["id"] for w in admin.get("/admin/v1/webhooks").json()["data"]] == [mine["id"]]
        assert admin.post(f"/admin/v1/webhooks/{mine['id']}/remove").json()["id"] == mine["id"]
        check_error(admin.post(f"/admin/v1/webhooks/{mine['id']}/test"), 404, "not_found")
    actions = {r["action"] for r in server.audit()}
    assert {"webhook.add", "webhook.list", "webhook.remove", "webhook.test"} <= actions
    server.stop()


def test_a_name_of_a_tenant_leads_to_nobody_inside(make_server, receivers):
    """The name is harmless when it is added, and this machine's own when a message is sent."""
    server = make_server().start()
    receivers.append(receiver := Receiver())
    with server.http(server.key("admin", "hr-admin", "--tenant", "hr")) as admin:
        for host in ("2130706433", "0x7f.1"):  # 127.0.0.1 in the resolver's eyes, names in ours
            added = admin.post("/admin/v1/webhooks", json={
                "url": f"https://{host}:{receiver.port}/", "events": ["key.leaked"]}).json()
            assert admin.post(f"/admin/v1/webhooks/{added['id']}/test").status_code == 200
        wait_for("both were tried", lambda: all(
            row.get("attempts", 0) > 0 for row in deliveries(server)), WAIT_S)
        for row in admin.get("/admin/v1/webhook-deliveries").json()["data"]:
            assert row["state"] == "waiting" and "may not go" in row["last_error"], row
    assert not receiver.received
    server.stop()


def test_the_secret_is_sealed_in_the_database(make_server):
    server = make_server()
    server.key("admin")
    secret = add(server, "https://hooks.example/", "key.leaked")
    with sqlite3.connect(server.data / "deepmoat.db") as database:
        sealed, = database.execute("SELECT sealed_secret FROM webhooks").fetchone()
    assert secret.removeprefix("dmwh_") not in sealed and len(sealed) > len(secret)
