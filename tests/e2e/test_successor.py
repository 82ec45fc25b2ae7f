"""A client gets its next key by itself: with its old key, and its client certificate or a code."""

import json
import resource
import sqlite3
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest
from support.certificates import issue
from support.chat import check_error
from support.program import command, environment, program
from support.server import Server, every_byte_under
from support.totp import enrolled

PATH = "/v1/keys/successor"


def test_no_certificate_without_its_files(make_server, tmp_path):
    server = make_server().start()

    def try_to_issue(out: Path, client: str = "shop", **more) -> subprocess.CompletedProcess:
        return subprocess.run([program(), "client-certificate", "issue", "--client-id", client,
                               "--out", out, "--data", server.data], capture_output=True,
                              text=True, check=False, env=environment(), **more)

    # Known before anything is issued: no folder, a name that is none, a file that is there.
    missing = try_to_issue(tmp_path / "nowhere")
    assert missing.returncode == 1 and "nowhere" in missing.stderr
    strange = try_to_issue(tmp_path, "../shop")
    assert strange.returncode == 1 and "client_id" in strange.stderr
    (tmp_path / "shop.key").write_text("mine", encoding="utf-8")
    there = try_to_issue(tmp_path)
    assert there.returncode == 1 and "shop.key" in there.stderr
    assert (tmp_path / "shop.key").read_text(encoding="utf-8") == "mine"
    assert sorted(p.name for p in tmp_path.glob("shop.*")) == ["shop.key"]
    assert not certificates(server)

    # Known only when it is there: the disk is full.
    (full := tmp_path / "full").mkdir()
    lost = try_to_issue(full, restore_signals=False, preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY)))
    (issued,) = certificates(server)
    assert lost.returncode == 1 and issued["state"] == "revoked"
    assert issued["fingerprint"] in lost.stderr and "is revoked again" in lost.stderr
    assert not list(full.iterdir()) and "PRIVATE KEY" not in lost.stdout + lost.stderr
    server.stop()


def fetch(server: Server, key: str, certificate: tuple[Path, Path] | None) -> httpx.Response:
    trust = ssl.create_default_context(cafile=str(server.ca))
    if certificate:
        trust.load_cert_chain(*certificate)
    with httpx.Client(base_url=server.url, verify=trust, trust_env=False, timeout=60) as client:
        return client.get(PATH, headers={"authorization": f"Bearer {key}"} if key else {})


def fetch_by_code(server: Server, key: str, code: str | None) -> httpx.Response:
    with server.http(key) as client:
        return client.post(PATH, json={"one_time_password": code} if code is not None else {})


def models(server: Server, key: str) -> httpx.Response:
    with server.http(key) as client:
        return client.get("/v1/models")


def certificates(server: Server) -> list[dict]:
    return json.loads(command("client-certificate", "list", "--json",
                              "--data", server.data).stdout)


def leak(server: Server, key: str) -> dict:
    done = command("key", "leak", key, "--reason", "in a forum", "--json", "--data", server.data)
    return json.loads(done.stdout)


def test_the_next_key_for_its_client_once(make_server, tmp_path):
    server = make_server().start()
    shop = issue(server, tmp_path / "shop", "shop")
    other = issue(server, tmp_path / "other", "other")
    key = server.key("user", "shop", "--label", "till")
    check_error(fetch(server, key, shop), 404, "not_found")  # nothing waits
    waiting = leak(server, key)["successor"]
    assert PATH in waiting["how"]

    # The key alone, another client's certificate, a certificate and another's key: nothing.
    check_error(fetch(server, key, None), 403, "client_certificate_required")
    with httpx.Client(base_url=server.http_url, trust_env=False) as plain:
        answer = plain.get(PATH, headers={"x-api-key": key})
    check_error(answer, 403, "client_certificate_required")
    check_error(fetch(server, key, other), 404, "not_found")
    check_error(fetch(server, server.key("user", "other"), shop), 404, "not_found")
    check_error(fetch(server, key[:-1], shop), 401, "invalid_api_key")
    check_error(fetch(server, "", shop), 401, "missing_api_key")

    answer = fetch(server, key, shop)
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    got = answer.json()
    assert got["id"] == waiting["key_id"]
    with server.http(got["key"]) as client:
        assert client.get("/v1/models").status_code == 200
    check_error(fetch(server, key, shop), 404, "not_found")
    shown = json.loads(command("key", "show", got["id"], "--json", "--data", server.data).stdout)
    assert (shown["client_id"], shown["label"], shown["state"]) == ("shop", "till", "active")
    asked = [r for r in server.audit() if r["action"] == "key.successor" and r["phase"] == "result"]
    assert [r["outcome"] for r in asked] == ["refused"] * 7 + ["success", "refused"]
    assert got["key"].encode() not in every_byte_under(server.data, server.log)
    server.stop()


def test_a_revoked_certificate_gets_nothing(make_server, tmp_path):
    server = make_server().start()
    shop = issue(server, tmp_path / "shop", "shop", "--tenant", "finance")
    key = server.key("user", "shop", "--tenant", "finance")
    leak(server, key)
    listed = certificates(server)
    assert [(c["client_id"], c["tenant"], c["state"]) for c in listed] == \
        [("shop", "finance", "active")]
    command("client-certificate", "revoke", listed[0]["fingerprint"], "--data", server.data)
    check_error(fetch(server, key, shop), 404, "not_found")
    server.stop()
    again = issue(server, tmp_path / "again", "shop", "--tenant", "finance")  # without a server
    server.start()
    assert fetch(server, key, again).status_code == 200
    server.stop()


def test_other_certificates_end_the_handshake(make_server, tmp_path):
    """One of another installation's CA, and this server's own, which is no client's."""
    server = make_server().start()
    stranger = make_server()
    stranger.key("admin")
    foreign = issue(stranger, tmp_path / "foreign", "shop")
    own = (server.data / "tls" / "server.crt", server.data / "tls" / "server.key")
    key = server.key("user", "shop")
    for certificate in (foreign, own):
        with pytest.raises(httpx.TransportError):
            fetch(server, key, certificate)
    with server.http(key) as client:  # without any, as ever
        assert client.get("/v1/models").status_code == 200
    server.stop()


def test_without_a_certificate_nothing_is_made(make_server):
    server = make_server()
    answer = leak(server, server.key("user", "shop"))
    assert "key create" in answer["successor"]["how"] and "key_id" not in answer["successor"]
    listed = json.loads(command("key", "list", "--json", "--data", server.data).stdout)
    assert len(listed) == 1


def test_the_next_key_for_a_code_once(make_server):
    server = make_server().start()
    device, recovery = enrolled(server, "shop")
    key = server.key("user", "shop", "--label", "till")
    code = device.fresh()
    check_error(fetch_by_code(server, key, code), 404, "not_found")  # nothing waits
    waiting = leak(server, key)["successor"]
    assert "POST " + PATH in waiting["how"] and "certificate" not in waiting["how"]

    check_error(fetch_by_code(server, key, None), 400, "missing_required_parameter",
                "one_time_password")
    check_error(fetch_by_code(server, key, "12345"), 400, "invalid_value", "one_time_password")
    check_error(fetch_by_code(server, key, device.wrong()), 403, "one_time_password_refused",
                "one_time_password")
    check_error(fetch_by_code(server, server.key("user", "other"), code), 403,
                "second_factor_missing")
    check_error(fetch_by_code(server, key[:-1], code), 401, "invalid_api_key")
    check_error(fetch_by_code(server, "", code), 401, "missing_api_key")
    check_error(fetch(server, key, None), 403, "client_certificate_required")

    answer = fetch_by_code(server, key, code)  # was not used up, when nothing waited
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    got = answer.json()
    assert got["id"] == waiting["key_id"]
    assert models(server, got["key"]).status_code == 200
    check_error(fetch_by_code(server, key, recovery[0]), 404, "not_found")
    shown = json.loads(command("key", "show", got["id"], "--json", "--data", server.data).stdout)
    assert (shown["client_id"], shown["label"], shown["state"]) == ("shop", "till", "active")
    asked = [r for r in server.audit() if r["action"] == "key.successor" and r["phase"] == "result"]
    assert [r["outcome"] for r in asked] == ["refused"] * 8 + ["success", "refused"]
    assert asked[8]["authentication"] == "one_time_password"

    second = server.key("user", "shop")
    leak(server, second)
    check_error(fetch_by_code(server, second, code), 403, "one_time_password_refused",
                "one_time_password")  # a replay
    assert fetch_by_code(server, second, recovery[0]).status_code == 200, "it was not used up"
    written = every_byte_under(server.data, server.log)
    assert not [secret for secret in (got["key"], *recovery) if secret.encode() in written]
    server.stop()


def test_guessing_locks_the_second_factor_and_slows_the_address(make_server):
    server = make_server().start()
    device, recovery = enrolled(server, "guessed")
    key = server.key("user", "guessed")
    for _ in range(6):
        check_error(fetch_by_code(server, key, device.wrong()), 404, "not_found")  # none counts
    leak(server, key)
    for _ in range(5):
        check_error(fetch_by_code(server, key, device.wrong()), 403, "one_time_password_refused",
                    "one_time_password")
    locked = fetch_by_code(server, key, recovery[0])
    check_error(locked, 429, "second_factor_locked")
    assert 800 < int(locked.headers["retry-after"]) <= 900
    server.stop()
    server.configure({"limits": {"authentication_failures_per_minute": 2}})
    command("totp", "remove", "--client-id", "guessed", "--data", server.data)
    device, recovery = enrolled(server, "guessed")
    server.start()
    for _ in range(2):
        check_error(fetch_by_code(server, key, device.wrong()), 403, "one_time_password_refused",
                    "one_time_password")
    check_error(fetch_by_code(server, key, recovery[0]), 429, "too_many_failed_authentications")
    server.stop()


def test_nothing_waits_for_those_whom_a_person_gives_their_keys(make_server):
    server = make_server().start()
    device, _ = enrolled(server, "boss")
    for role in ("admin", "auditor"):
        key = server.key(role, "boss")
        answer = leak(server, key)
        assert "key create" in answer["successor"]["how"] and "key_id" not in answer["successor"]
        check_error(fetch_by_code(server, key, device.fresh()), 404, "not_found")
    server.stop()


def test_the_command_beside_a_server_and_without_one(make_server):
    server = make_server().start()
    device, recovery = enrolled(server, "typist")
    data = ("--data", server.data)
    made = {}
    for served in (True, False):
        key = server.key("user", "typist")
        assert "deepmoat key successor" in leak(server, key)["successor"]["how"]
        wrong = command("key", "successor", key, "--code", device.wrong(), *data, check=False)
        assert wrong.returncode == 1 and "one_time_password" in wrong.stderr
        assert command("key", "successor", key[:-1], "--code", recovery[0], *data,
                       check=False).returncode == 1
        fetched = command("key", "successor", key, "--code", recovery.pop(0), *data)
        assert "takes the place of" in fetched.stderr
        made[served] = fetched.stdout.strip()
        again = command("key", "successor", key, "--code", recovery[0], *data, check=False)
        assert again.returncode == 1 and "no key waits" in again.stderr
        if served:
            assert models(server, made[served]).status_code == 200
            server.stop()
    server.start()
    assert models(server, made[False]).status_code == 200
    server.stop()


def test_a_row_that_was_altered_in_the_database_is_not_in_force(make_server, tmp_path):
    server = make_server().start()
    shop = issue(server, tmp_path / "shop", "shop")
    key = server.key("user", "shop")
    leak(server, key)
    command("client-certificate", "revoke", certificates(server)[0]["fingerprint"],
            "--data", server.data)
    server.stop()
    with sqlite3.connect(server.data / "deepmoat.db") as database:
        database.execute("UPDATE client_certificates SET revoked_ms = 0")
    database.close()
    server.start()
    assert certificates(server)[0]["state"] == "corrupt"
    check_error(fetch(server, key, shop), 404, "not_found")
    again = issue(server, tmp_path / "again", "shop")
    assert fetch(server, key, again).status_code == 200
    server.stop()
