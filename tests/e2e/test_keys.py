"""Keys of every kind, right and wrong, in both headers, beside a server and without one."""

import json
import os
import subprocess
import time

import pytest
from support.chat import RunningStream, body, check_error
from support.keys import well_formed_key
from support.program import command, environment, model_file, program
from support.server import Server, every_byte_under, wait_for

CHAT = "/v1/chat/completions"
KINDS = {"user": "live", "operator": "ops", "admin": "adm", "auditor": "aud"}
HEADERS = {"bearer": lambda key: {"authorization": f"Bearer {key}"},
           "x-api-key": lambda key: {"X-API-KEY": key}}


def wrong_in_one_character(key: str, index: int) -> str:
    other = "0" if key[index] != "0" else "1"
    return key[:index] + other + key[index + 1:]


def wrong_keys(server: Server) -> dict[str, tuple[str, str]]:
    """name -> (key, the code of its refusal)."""
    good = server.shared_key("user")
    kind_end = good.index("_", 4) + 1
    invalid = "invalid_api_key"
    revoked = server.key("user", "was-revoked")
    command("key", "revoke", revoked, "--reason", "test", "--data", server.data)
    expired = server.key("user", "will-expire", "--expires-in", "2s")
    ended = server.key("user", "was-ended")
    command("key", "expire", ended, "--data", server.data)
    wait_for("the key has expired", lambda: call(server, expired).status_code == 401)
    hex_digits = good[kind_end:kind_end + 64]
    return {
        "first character of the MAC": (wrong_in_one_character(good, kind_end), invalid),
        "last of the salt": (wrong_in_one_character(good, kind_end + 63), invalid),
        "last of the checksum": (wrong_in_one_character(good, len(good) - 1), invalid),
        "one short": (good[:-1], invalid),
        "one more": (good + "0", invalid),
        "upper case": (good.upper(), invalid),
        "another kind": (good.replace("_live_", "_adm_"), invalid),
        "another kind, good checksum": (well_formed_key("adm", hex_digits), invalid),
        "unknown, good checksum": (well_formed_key("live", "5a" * 32), invalid),
        "bare": (hex_digits, invalid),
        "very long": ("dmk_live_" + "0" * 5000, invalid),
        "revoked": (revoked, "key_revoked"),
        "expired": (expired, "key_expired"),
        "ended by hand": (ended, "key_expired"),
    }


def call(server: Server, key: str, header: str = "bearer"):
    with server.http() as client:
        return client.post(CHAT, json=body(max_tokens=1), headers=HEADERS[header](key))


def test_checksum_helper_makes_what_the_server_makes(server: Server):
    good = server.shared_key("user")
    assert well_formed_key("live", good[9:73]) == good


@pytest.mark.parametrize("header", HEADERS)
def test_wrong_keys(server: Server, header):
    for name, (key, code) in wrong_keys(server).items():
        answer = call(server, key, header)
        error = check_error(answer, 401, code)
        assert key not in error["message"], name
        result = server.result_of(answer.headers["x-request-id"])
        assert (result["outcome"], result["status"], result["reason"]) == ("refused", 401, code)
        assert result["action"] == "chat.completions" and result["ip_address"] == "127.0.0.1"
        known = {"revoked": "was-revoked", "expired": "will-expire", "ended by hand": "was-ended"}
        assert result.get("operator") == known.get(name), name
        assert result.get("authentication") == "none", name


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("role", KINDS)
def test_right_keys(server: Server, role, header):
    key = server.shared_key(role)
    assert key.startswith(f"dmk_{KINDS[role]}_") and len(key) == 4 + len(KINDS[role]) + 1 + 70
    answer = call(server, key, header)
    if role == "auditor":
        check_error(answer, 403, "permission_denied")
    else:
        assert answer.status_code == 200
    result = server.result_of(answer.headers["x-request-id"])
    assert (result["role"], result["operator"]) == (role, f"test-{role}")


def test_two_headers_with_different_keys(server: Server):
    """`Authorization` speaks; a good key beside a bad one does not save it."""
    good = server.shared_key("user")
    bad = wrong_in_one_character(good, 20)
    with server.http() as client:
        first = client.get("/v1/models", headers={"authorization": f"Bearer {bad}",
                                                  "x-api-key": good})
        check_error(first, 401, "invalid_api_key")
        second = client.get("/v1/models", headers={"authorization": f"Bearer {good}",
                                                   "x-api-key": bad})
        assert second.status_code == 200


def test_revoking_takes_effect_at_once_and_cuts_streams(server: Server):
    key = server.key("user", "to-revoke")
    stream = RunningStream(server, key, 1500)
    stream.wait_begun()
    command("key", "revoke", key, "--reason", "left the company", "--data", server.data)
    check_error(call(server, key), 401, "key_revoked")
    stream.join(30)
    assert not stream.done, "a revoked key's stream went on to its end"
    result = server.result_of(stream.request_id)
    assert result["outcome"] == "cancelled" and result["tokens_out"] < 1500
    revokes = [r for r in server.audit() if r["action"] == "key.revoke"]
    assert any(r.get("reason") == "left the company" for r in revokes)


def test_a_key_that_ends_cuts_its_stream(server: Server):
    key = server.key("user", "ends-soon", "--expires-in", "4s")
    stream = RunningStream(server, key, 1800)
    stream.join(90)
    assert stream.text and not stream.done
    assert server.result_of(stream.request_id)["outcome"] == "cancelled"


def test_commands_beside_a_server(server: Server):
    commands_work(server)


def test_commands_without_a_server(make_server):
    server = make_server()
    commands_work(server)
    assert not server.log.exists()
    kept = server.key("admin", "kept")
    server.start()
    with server.http(kept) as client:
        assert client.get("/admin/v1/status").status_code == 200
    server.stop()


def commands_work(server: Server) -> None:
    data = ("--data", server.data)
    key = server.key("user", "somebody", "--tenant", "finance", "--label", "Quarterly report")
    listed = json.loads(command("key", "list", "--json", *data).stdout)
    mine = next(k for k in listed if k["client_id"] == "somebody" and k["state"] == "active")
    assert (mine["tenant"], mine["role"], mine["label"]) == ("finance", "user", "Quarterly report")
    assert "somebody" in command("key", "list", *data).stdout
    for reference in (mine["id"], mine["id"][:12], key):
        shown = json.loads(command("key", "show", reference, "--json", *data).stdout)
        assert shown == mine
    for arguments in (("show", "key_ffffffffffff"), ("show", "nonsense"),
                      ("revoke", mine["id"], "--reason", ""),
                      ("expire", mine["id"], "--in", "soon"),
                      ("expire", mine["id"], "--in", "120d")):
        refused = command("key", *arguments, *data, check=False)
        assert refused.returncode == 1 and refused.stderr.startswith("deepmoat: "), arguments
        assert not refused.stdout
    for arguments in (("--client-id", "Upper Case"), ("--client-id", "x", "--role", "king"),
                      ("--client-id", "x", "--expires-in", "91d"),
                      ("--client-id", "x", "--expires-in", "0s")):
        refused = command("key", "create", *arguments, *data, check=False)
        assert refused.returncode == 1 and not refused.stdout, arguments
    command("key", "expire", mine["id"], "--in", "1h", *data)
    again = json.loads(command("key", "show", mine["id"], "--json", *data).stdout)
    assert again["expires_at"] < mine["expires_at"] and again["state"] == "active"
    command("key", "revoke", mine["id"], "--reason", "test", *data)
    command("key", "revoke", mine["id"], "--reason", "again", *data)
    revoked = json.loads(command("key", "show", mine["id"], "--json", *data).stdout)
    assert (revoked["state"], revoked["revoke_reason"]) == ("revoked", "test")


def test_keys_over_the_admin_api(server: Server):
    with server.http(server.shared_key("admin")) as admin:
        made = admin.post("/admin/v1/keys", json={"client_id": "by-api", "lifetime_s": 60}).json()
        assert call(server, made["key"]).status_code == 200
        assert "key" not in admin.get(f"/admin/v1/keys/{made['id']}").json()
        assert made["id"] in [k["id"] for k in admin.get("/admin/v1/keys").json()["data"]]
        check_error(admin.post(f"/admin/v1/keys/{made['id']}/revoke", json={}), 400,
                    "invalid_value", "reason")
        assert admin.post(f"/admin/v1/keys/{made['id']}/revoke",
                          json={"reason": "over"}).json()["state"] == "revoked"
        check_error(call(server, made["key"]), 401, "key_revoked")
        check_error(admin.get("/admin/v1/keys/key_ffffffffffff"), 404, "not_found")
        check_error(admin.post("/admin/v1/keys", json={}), 400, "missing_required_parameter",
                    "client_id")


def test_changing_a_key_over_the_admin_api(server: Server):
    key = server.key("user", "to-change")
    with server.http(server.shared_key("admin")) as admin:
        key_id = admin.get(f"/admin/v1/keys/{key}").json()["id"]
        changed = admin.patch(f"/admin/v1/keys/{key_id}",
                              json={"ip_ranges": ["192.0.2.0/24"], "labels": {"team": "a"}})
        assert changed.status_code == 200 and changed.json()["labels"] == {"team": "a"}
        check_error(call(server, key), 401, "invalid_api_key")
        for fields, param in (({"ip_ranges": ["10.0.0.1/8"]}, "ip_ranges"),
                              ({"scopes": ["manage_keys"]}, "scopes"),
                              ({"limits": {"concurrent_calls": -1}}, "limits.concurrent_calls")):
            check_error(admin.patch(f"/admin/v1/keys/{key_id}", json=fields), 400,
                        "invalid_value", param)
        check_error(admin.patch(f"/admin/v1/keys/{key_id}", json={"role": "admin"}), 400,
                    "unsupported_parameter", "role")
        check_error(admin.post("/admin/v1/keys", json={"client_id": "x", "ip-ranges": ["::1"]}),
                    400, "unsupported_parameter", "ip-ranges")
        assert admin.patch(f"/admin/v1/keys/{key_id}", json={"ip_ranges": []}).status_code == 200
    assert call(server, key).status_code == 200
    changes = [r for r in server.audit()
               if r["action"] == "key.change" and r["phase"] == "intent" and
               r.get("resource") == key_id]
    assert changes[0]["reason"] == 'ip_ranges=192.0.2.0/24; labels="team=a"'


def test_an_administrator_reaches_only_his_tenant(server: Server):
    theirs = server.key("user", "of-finance", "--tenant", "finance")
    with server.http(server.key("admin", "hr-admin", "--tenant", "hr")) as admin:
        listed = admin.get("/admin/v1/keys").json()["data"]
        assert {key["tenant"] for key in listed} == {"hr"}
        check_error(admin.get(f"/admin/v1/keys/{theirs}"), 404, "not_found")
        check_error(admin.post(f"/admin/v1/keys/{theirs}/revoke", json={"reason": "no"}), 404,
                    "not_found")
        check_error(admin.post("/admin/v1/keys", json={"client_id": "x", "tenant": "finance"}),
                    403, "permission_denied", "tenant")
    assert call(server, theirs).status_code == 200


def test_too_many_wrong_keys_are_held_off(make_server):
    server = make_server({"limits": {"authentication_failures_per_minute": 3}}).start()
    bad = wrong_in_one_character(server.shared_key("admin"), 20)
    with server.http(bad) as client:
        codes = [client.get("/v1/models").status_code for _ in range(6)]
        assert codes[:3] == [401] * 3 and codes[-1] == 429, codes
        held = client.get("/v1/models")
    check_error(held, 429, "too_many_failed_authentications")
    assert int(held.headers["retry-after"]) >= 1
    server.stop()


def test_secrets_are_for_their_owner_alone(make_server):
    server = make_server().start()
    for secret in ("keys/root.key", "tls/server.key", "tls/ca.key"):
        assert os.stat(server.data / secret).st_mode & 0o077 == 0, secret
    assert os.stat(server.data).st_mode & 0o077 == 0
    assert os.stat(server.data / "admin.sock").st_mode & 0o077 == 0
    server.stop()
    os.chmod(server.data / "keys" / "root.key", 0o644)
    refused = command("serve", "--data", server.data, "--config", server.config, check=False)
    assert refused.returncode == 1
    assert "root.key" in refused.stderr and "600" in refused.stderr, refused.stderr


def test_no_secret_and_no_prompt_is_ever_written(make_server):
    """Keys, prompts and answers are in no file: not in the log, the database or the audit log."""
    server = make_server(model=model_file()).start()
    admin, user = server.shared_key("admin"), server.shared_key("user")
    marker = "zanzibar-7431-quokka"
    with server.http(user) as client:
        answer = client.post(CHAT, json=body(f"Repeat: {marker}", max_tokens=24, n=2))
        text = answer.json()["choices"][0]["message"]["content"]
        client.post(CHAT, json=body(marker, model="nobody-has-this"))
        client.post(CHAT, json=body(marker, temperature=9))
        client.post(CHAT, content='{"messages": "' + marker)
        client.get("/v1/models", headers={"x-api-key": user})
    call(server, wrong_in_one_character(user, 30))
    for key in (admin, user):
        command("key", "show", key, "--data", server.data)
    time.sleep(0.2)
    for moment in ("running", "stopped"):
        written = every_byte_under(server.data / "audit", server.data / "deepmoat.db",
                                   server.data / "tls", server.log,
                                   *server.data.glob("deepmoat.db-*"))
        for name, key in (("admin", admin), ("user", user)):
            assert key.encode() not in written, f"the {name} key, {moment}"
            assert key[-70:-38].encode() not in written, f"its MAC, {moment}"
            assert key[-38:-6].encode() not in written, f"its salt, {moment}"
        assert marker.encode() not in written, f"a prompt, {moment}"
        assert len(text) > 9 and text.encode() not in written, f"an answer, {moment}"
        if moment == "running":
            server.stop()
    assert all("message" in line and "level" in line for line in server.log_lines())


def test_clock_set_back_between_two_runs_revives_no_key(tmp_path):
    """A record from after a key's end is in the log; the clock says that the end is to come."""
    server = Server(tmp_path / "clock")
    try:
        server.start()
        key = server.key("user", "early")
        with server.http(key) as client:
            assert client.get("/v1/models").status_code == 200
        server.stop()
        subprocess.run(["faketime", "-f", "+91d", program(), "key", "list", "--data", server.data],
                       env=environment(FAKETIME_DONT_FAKE_MONOTONIC="1"), check=True,
                       capture_output=True, timeout=60)
        server.start()
        with server.http(key) as client:
            check_error(client.get("/v1/models"), 401, "key_expired")
        assert any("behind the audit log" in line["message"] for line in server.log_lines())
        server.stop()
    finally:
        server.discard()
