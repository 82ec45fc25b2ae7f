"""Second factors and rotation over the real program, with one-time passwords computed here."""

import json
import os
import pty
import re
import select
import subprocess
import time

import httpx
import pytest
from support.chat import check_error
from support.program import command, environment, program
from support.server import Server, every_byte_under, wait_for
from support.totp import Authenticator, enrolled

ROTATE = "/v1/keys/rotate"
DAY_S = 86_400


def rotate(server: Server, key: str, code: str) -> httpx.Response:
    with server.http(key) as client:
        return client.post(ROTATE, json={"one_time_password": code})


def models(server: Server, key: str) -> httpx.Response:
    with server.http(key) as client:
        return client.get("/v1/models")


@pytest.mark.parametrize("algorithm", ["totp-sha1", "totp-sha256", "totp-sm3"])
def test_a_user_rotates_his_own_key(server: Server, algorithm):
    client = f"rotates-{algorithm}"
    device, _ = enrolled(server, client, algorithm, "acme")
    old = server.key("user", client, "--tenant", "acme", "--label", "shop")
    answer = rotate(server, old, device.fresh())
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert (made["client_id"], made["tenant"], made["role"], made["label"]) == \
        (client, "acme", "user", "shop")
    assert abs(made["expires_at"] - time.time() - 90 * DAY_S) < 600
    assert abs(made["old_key_ends_at"] - time.time() - DAY_S) < 600
    assert models(server, old).status_code == 200, "until the new one is used"
    assert models(server, made["key"]).status_code == 200
    check_error(models(server, old), 401, "key_replaced")
    check_error(rotate(server, old, device.fresh()), 401, "key_replaced")
    shown = json.loads(command("key", "show", made["id"], "--json", "--data", server.data).stdout)
    assert shown["predecessor"] == made["predecessor"]
    wait_for("the old key's end is written down", lambda: json.loads(command(
        "key", "show", made["predecessor"], "--json", "--data", server.data).stdout)["state"]
        == "replaced")
    actions = [(r["action"], r.get("operator"), r["outcome"]) for r in server.audit()
               if r["phase"] == "result" and r.get("operator") == client]
    assert ("key.rotate", client, "success") in actions
    assert ("key.replace", client, "success") in actions


def test_every_role_may_rotate_and_nobody_without_his_factor(server: Server):
    for role in ("user", "operator", "admin", "auditor"):
        key = server.key(role, f"without-{role}")
        check_error(rotate(server, key, "123456"), 403, "second_factor_missing")
        device, _ = enrolled(server, f"without-{role}")
        assert rotate(server, key, device.fresh()).status_code == 200


def test_codes_that_are_refused(server: Server):
    device, recovery = enrolled(server, "careful")
    key = server.key("user", "careful")
    good = device.fresh()
    wide = "".join(chr(0xFF10 + int(digit)) for digit in good)
    for code in ("", " " + good, good + " ", good[:3] + " " + good[3:], "+" + good[1:],
                 "-" + good[1:], good + "0", good[1:], wide, good + "\n", recovery[0].upper(),
                 recovery[0].replace("-", ""), "x" * 100_000):
        check_error(rotate(server, key, code), 400, "invalid_value", "one_time_password")
    with server.http(key) as client:
        check_error(client.post(ROTATE, json={}), 400, "missing_required_parameter",
                    "one_time_password")
        check_error(client.post(ROTATE, json={"one_time_password": int("1" + good[1:])}), 400,
                    "invalid_type", "one_time_password")
        check_error(client.post(ROTATE, content="no json"), 400, "invalid_json")
        check_error(client.get(ROTATE), 405, "method_not_allowed")
    assert rotate(server, key, good).status_code == 200, "none of those was counted"
    check_error(rotate(server, key, good), 403, "one_time_password_refused", "one_time_password")
    assert rotate(server, key, recovery[0]).status_code == 200
    check_error(rotate(server, key, recovery[0]), 403, "one_time_password_refused",
                "one_time_password")


def test_five_wrong_codes_lock_also_across_a_restart(make_server):
    server = make_server().start()
    device, recovery = enrolled(server, "guessed")
    key = server.key("user", "guessed")
    for _ in range(5):
        check_error(rotate(server, key, device.wrong()), 403, "one_time_password_refused",
                    "one_time_password")
    locked = rotate(server, key, device.fresh())
    check_error(locked, 429, "second_factor_locked")
    assert 800 < int(locked.headers["retry-after"]) <= 900
    server.stop()
    refused = command("key", "rotate", key, "--code", recovery[0], "--data", server.data,
                      check=False)
    assert refused.returncode == 1 and "wait" in refused.stderr, refused.stderr
    server.start()
    check_error(rotate(server, key, recovery[1]), 429, "second_factor_locked")
    command("totp", "remove", "--client-id", "guessed", "--data", server.data)
    check_error(rotate(server, key, recovery[1]), 403, "second_factor_missing")
    server.stop()


def test_a_key_says_when_it_ends(server: Server):
    fresh, ending = server.key("user", "fresh"), server.key("user", "ending", "--expires-in", "13d")
    assert "x-key-expires-in" not in models(server, fresh).headers
    with server.http(ending) as client:
        denied = client.get("/admin/v1/status")
    assert denied.status_code == 403
    for answer in (models(server, ending), denied, rotate(server, ending, "123456")):
        assert 12 * DAY_S < int(answer.headers["x-key-expires-in"]) <= 13 * DAY_S
    with server.http(ending) as client:
        stream = client.post("/v1/chat/completions", json={
            "model": "demo", "stream": True, "max_tokens": 1,
            "messages": [{"role": "user", "content": "Hi"}]})
        refused = client.post("/v1/chat/completions", json={"model": "nobody-has-this"})
    assert stream.status_code == 200 and "x-key-expires-in" in stream.headers
    assert refused.status_code >= 400 and "x-key-expires-in" in refused.headers
    device, _ = enrolled(server, "fresh")
    assert rotate(server, fresh, device.fresh()).status_code == 200
    assert int(models(server, fresh).headers["x-key-expires-in"]) <= DAY_S, "the overlap"


def test_a_key_past_its_end_can_rotate_and_nothing_else(server: Server):
    device, _ = enrolled(server, "too-late")
    key = server.key("user", "too-late", "--expires-in", "1s")
    wait_for("the key has expired", lambda: models(server, key).status_code == 401)
    check_error(models(server, key), 401, "key_expired")
    made = rotate(server, key, device.fresh())
    assert made.status_code == 200, made.text
    check_error(models(server, key), 401, "key_expired")
    assert models(server, made.json()["key"]).status_code == 200
    revoked = server.key("user", "too-late")
    command("key", "revoke", revoked, "--reason", "leaked", "--data", server.data)
    check_error(rotate(server, revoked, device.fresh()), 401, "key_revoked")


def test_a_leaked_key_that_was_rotated_names_the_one_in_its_place(server: Server):
    device, _ = enrolled(server, "was-rotated")
    old = server.key("user", "was-rotated")
    made = rotate(server, old, device.fresh()).json()
    leaked = json.loads(command("key", "leak", old, "--reason", "in a backup", "--json",
                                "--data", server.data).stdout)
    assert leaked["successor"]["key_id"] == made["id"]
    assert f"deepmoat key leak {made['id']}" in leaked["successor"]["how"]
    check_error(models(server, old), 401, "key_revoked")
    assert models(server, made["key"]).status_code == 200, "an old key stops nothing new"


def test_limits_and_usage_move_with_the_key(make_server):
    server = make_server({"limits": {"requests_per_minute": 3}, "keys": {"lifetime_days": 30}})
    server.start()
    device, _ = enrolled(server, "busy")
    old = server.key("user", "busy")

    def call(key: str) -> httpx.Response:
        with server.http(key) as client:
            return client.post("/v1/chat/completions", json={"messages": [
                {"role": "user", "content": "Hi"}], "model": "nobody-has-this"})

    assert [call(old).status_code for _ in range(2)] == [404, 404]
    made = rotate(server, old, device.fresh()).json()
    assert made["expires_at"] - made["created_at"] == 30 * DAY_S
    assert [call(made["key"]).status_code for _ in range(2)] == [404, 429]
    with server.http(made["key"]) as client:
        assert client.get("/v1/usage").json()["since_start"]["refused"] == 1
    server.stop()


def test_commands_beside_a_server(server: Server):
    commands_work(server, "beside")


def test_commands_without_a_server(make_server):
    server = make_server()
    server.key("admin", "first")
    kept = commands_work(server, "alone")
    assert not server.log.exists()
    server.start()
    assert models(server, kept).status_code == 200
    server.stop()


def commands_work(server: Server, client: str) -> str:
    owner = ("--client-id", client, "--data", server.data)
    data = ("--data", server.data)
    assert command("totp", "status", *owner, check=False).returncode == 1
    refused = command("totp", "enrol", "--algorithm", "totp-md5", *owner, check=False)
    assert refused.returncode == 1 and "totp-sm3" in refused.stderr
    made = command("totp", "enrol", "--qr", *owner)
    *picture, secret, uri = made.stdout.splitlines()
    assert re.fullmatch(r"[A-Z2-7]{32}", secret) and f"secret={secret}" in uri
    check_picture(picture)
    device = Authenticator(secret)
    asked = command("totp", "confirm", *owner, check=False)
    assert asked.returncode == 1 and "--code" in asked.stderr
    assert command("totp", "confirm", "--code", device.wrong(), *owner, check=False).returncode == 1
    assert "pending" in command("totp", "status", *owner).stdout
    codes = command("totp", "confirm", "--code", device.fresh(), *owner).stdout.split()
    assert json.loads(command("totp", "status", "--json", *owner).stdout)["state"] == "confirmed"
    assert command("totp", "enrol", *owner, check=False).returncode == 1, "it has one"
    key = server.key("user", client)
    assert command("key", "rotate", key, *data, check=False).returncode == 1
    replay = command("key", "rotate", key, "--code", device.last(), *data, check=False)
    assert replay.returncode == 1 and "used" in replay.stderr
    second = command("key", "rotate", key, "--code", device.fresh(), *data).stdout.strip()
    third = command("key", "rotate", second, "--code", codes[3], *data).stdout.strip()
    assert command("key", "rotate", key, "--code", codes[4], *data, check=False).returncode == 1
    states = {k["id"]: k["state"] for k in json.loads(
        command("key", "list", "--json", *data).stdout) if k["client_id"] == client}
    assert sorted(states.values()) == ["active", "active", "replaced"], states
    status = json.loads(command("totp", "status", "--json", *owner).stdout)
    assert status["recovery_codes_left"] == 9
    command("totp", "remove", *owner)
    assert command("totp", "status", *owner, check=False).returncode == 1
    return third


def check_picture(lines: list[str]) -> None:
    """The three corners of a QR code, and its margin."""
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    rows = []
    for line in plain:
        rows.append([c in "█▀" for c in line])
        rows.append([c in "█▄" for c in line])
    size = len(plain[0]) - 8
    assert size >= 21 and size % 4 == 1 and all(len(line) == size + 8 for line in plain)
    corner = ["1111111", "1000001", "1011101", "1011101", "1011101", "1000001", "1111111"]
    for top, left in ((4, 4), (4, 4 + size - 7), (4 + size - 7, 4)):
        seen = ["".join("01"[rows[top + y][left + x]] for x in range(7)) for y in range(7)]
        assert seen == corner
    assert not any(any(row[:4]) or any(row[-4:]) for row in rows) and not any(map(any, rows[:4]))


def on_a_terminal(arguments: list[object], answers: list[tuple[str, str]]) -> tuple[int, str]:
    """Runs the program on a terminal and types each answer after its question."""
    here, there = pty.openpty()
    with subprocess.Popen([program(), *map(str, arguments)], stdin=there, stdout=there,
                          stderr=there, env=environment(), close_fds=True,
                          start_new_session=True) as child:
        os.close(there)
        shown, end_s = "", time.monotonic() + 60
        waiting = list(answers)
        while True:
            ready, _, _ = select.select([here], [], [], max(0, end_s - time.monotonic()))
            assert ready, f"nothing more came: {shown}"
            try:
                shown += os.read(here, 65536).decode(errors="replace")
            except OSError:  # the terminal's other end is closed
                break
            if waiting and waiting[0][0] in shown:
                time.sleep(0.2)  # the echo is switched off after the question
                os.write(here, (waiting.pop(0)[1] + "\n").encode())
        status = child.wait(30)
    os.close(here)
    assert not waiting, f"never asked: {waiting[0][0]}"
    return status, shown


def test_a_person_at_a_terminal_is_asked(server: Server):
    data = ("--data", server.data)
    key = server.key("user", "typist")
    made = json.loads(command("totp", "enrol", "--client-id", "typist", "--json", *data).stdout)
    device = Authenticator(made["secret"])
    status, shown = on_a_terminal(["totp", "confirm", "--client-id", "typist", *data],
                                  [("One-time password", device.fresh())])
    assert status == 0 and "recovery codes" in shown
    status, shown = on_a_terminal(["key", "rotate", *data],
                                  [("Key", key), ("One-time password", device.fresh())])
    assert status == 0 and key not in shown, "what is typed as a key is not shown"
    new = re.search(r"dmk_live_[0-9a-zA-Z]{70}", shown)
    assert new and models(server, new.group()).status_code == 200
    status, shown = on_a_terminal(["totp", "enrol", "--client-id", "another", *data],
                                  [("One-time password", "000000")])
    assert status == 1 and "█" in shown and "otpauth://" in shown


def test_an_administrator_reaches_only_his_tenant(server: Server):
    enrolled(server, "of-finance", tenant="finance")
    with server.http(server.key("admin", "hr-admin", "--tenant", "hr")) as admin:
        check_error(admin.get("/admin/v1/second-factors/finance/of-finance"), 404, "not_found")
        theirs = {"client_id": "of-finance", "tenant": "finance"}
        for path in ("", "/confirm", "/remove"):
            check_error(admin.post("/admin/v1/second-factors" + path,
                                   json={**theirs, "one_time_password": "123456"}),
                        404, "not_found")
        mine = {"client_id": "of-hr", "tenant": "hr"}
        assert admin.post("/admin/v1/second-factors", json=mine).json()["state"] == "pending"
        assert admin.get("/admin/v1/second-factors/of-hr").json()["tenant"] == "hr"
    with server.http(server.shared_key("user")) as user:
        check_error(user.post("/admin/v1/second-factors", json=theirs), 403, "permission_denied")


def test_no_secret_of_a_second_factor_is_ever_written(make_server):
    server = make_server().start()
    device, recovery = enrolled(server, "hidden")
    key = server.key("user", "hidden")
    new = rotate(server, key, device.fresh()).json()["key"]
    models(server, new)
    rotate(server, new, recovery[0])
    server.stop()
    written = every_byte_under(server.data / "audit", server.data / "deepmoat.db", server.log,
                               *server.data.glob("deepmoat.db-*"))
    for secret in (device.secret, new, new[9:41], new[41:73], *recovery):
        assert secret.encode() not in written


def test_the_old_key_s_end_survives_a_kill(make_server):
    server = make_server().start()
    device, _ = enrolled(server, "killed")
    old = server.key("user", "killed")
    made = rotate(server, old, device.fresh()).json()
    server.kill()
    server.start()
    assert models(server, old).status_code == 200
    assert models(server, made["key"]).status_code == 200
    wait_for("the old key's end is written down", lambda: any(
        r["action"] == "key.replace" and r["phase"] == "result" for r in server.audit()))
    server.kill()
    server.start()
    check_error(models(server, old), 401, "key_replaced")
    server.stop()
