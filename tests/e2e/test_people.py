"""People sign in to the real program: with a password and one-time passwords computed here, or with
a client certificate."""

import json
import ssl
import time

import httpx
import pytest
from support.certificates import issue
from support.chat import check_error
from support.program import command
from support.server import Server, every_byte_under
from support.totp import enrolled

SESSIONS = "/v1/sessions"
CHOSEN = "several words do well"
CHAT = {"model": "demo", "messages": [{"role": "user", "content": "Count to a thousand."}]}


def create(server: Server, name: str, role: str, *more: str) -> str:
    """The first password."""
    made = command("person", "create", name, "--role", role, "--data", server.data, *more)
    lines = made.stdout.splitlines()
    assert len(lines) == 1, "standard output holds the password alone"
    return lines[0]


def person(server: Server, name: str, *more: str) -> dict:
    return json.loads(command("person", "show", name, "--json", "--data", server.data,
                              *more).stdout)


def sign_in(server: Server, name: str, password: str, code: str, **more) -> httpx.Response:
    with server.http() as client:
        return client.post(SESSIONS, json={"name": name, "password": password,
                                           "one_time_password": code, **more})


def signed_in(server: Server, name: str, role: str) -> tuple[str, list[str]]:
    """A token, and the recovery codes, which stand for one-time passwords without a wait."""
    given = create(server, name, role)
    device, recovery = enrolled(server, name)
    answer = sign_in(server, name, given, device.fresh(), new_password=CHOSEN)
    assert answer.status_code == 200, answer.text
    return answer.json()["token"], recovery


def get(server: Server, token: str, path: str) -> httpx.Response:
    with server.http(token) as client:
        return client.get(path)


def test_from_nothing_to_a_session_and_out(server: Server):
    given = create(server, "alice", "admin", "--label", "Alice A.")
    missing = sign_in(server, "alice", given, "123456", new_password=CHOSEN)
    check_error(missing, 403, "second_factor_missing")
    device, _ = enrolled(server, "alice")
    check_error(sign_in(server, "alice", given, device.fresh()), 403, "password_change_required",
                "new_password")
    answer = sign_in(server, "alice", given, device.last(), new_password=CHOSEN)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    session = answer.json()
    token = session["token"]
    assert session["expires_at"] - time.time() == pytest.approx(8 * 3600, abs=60)

    shown = get(server, token, f"{SESSIONS}/current").json()
    assert (shown["name"], shown["role"], shown["signed_in_with"]) == ("alice", "admin", "password")
    assert "manage_keys" in shown["permissions"] and "token" not in shown
    assert get(server, token, "/admin/v1/keys").status_code == 200
    with server.http(token) as client:
        made = client.post("/admin/v1/keys", json={"client_id": "made-by-alice"})
        assert made.status_code == 200, made.text
        assert client.post("/v1/chat/completions", json=CHAT | {"max_tokens": 5}).status_code == 200
        check_error(client.post("/v1/keys/rotate", json={"one_time_password": "123456"}),
                    403, "permission_denied")
        assert client.post(f"{SESSIONS}/end", json={}).status_code == 200
        check_error(client.get("/v1/models"), 401, "session_ended")

    about = person(server, "alice")
    assert about["state"] == "active" and about["second_factor"]
    assert not about["must_change_password"] and about["label"] == "Alice A."
    done = {(r["action"], r["authentication"], r["outcome"]) for r in server.audit()
            if r["phase"] == "result" and r.get("operator") == "alice"}
    assert ("session.open", "password_and_otp", "success") in done
    assert ("session.open", "password_and_otp", "refused") in done
    assert ("key.create", "session", "success") in done
    assert ("chat.completions", "session", "success") in done
    assert ("session.close", "session", "success") in done
    for secret in (given, CHOSEN, token):
        assert secret.encode() not in every_byte_under(server.data)
        assert secret not in server.tail()


def test_a_stranger_learns_nothing_and_is_slowed_down(make_server):
    server = make_server({"limits": {"authentication_failures_per_minute": 6}}).start()
    signed_in(server, "alice", "operator")
    known = sign_in(server, "alice", "wrong password", "123456")
    unknown = sign_in(server, "nobody", "wrong password", "123456")
    check_error(known, 401, "sign_in_refused")
    assert known.json() == unknown.json()
    reasons = [r["reason"] for r in server.audit()
               if r["action"] == "session.open" and r["outcome"] == "refused"]
    assert reasons == ["wrong_password", "unknown_person"]
    for _ in range(40):  # 6 at once, then one more each 10 s
        slowed = sign_in(server, "nobody", "wrong password", "123456")
        if slowed.status_code == 429:
            break
        check_error(slowed, 401, "sign_in_refused")
    check_error(slowed, 429, "too_many_failed_authentications")
    assert 1 <= int(slowed.headers["retry-after"]) <= 60


def test_five_wrong_passwords_lock_until_an_administrator_helps(make_server):
    server = make_server().start()
    _, recovery = signed_in(server, "alice", "operator")
    for number in range(5):
        check_error(sign_in(server, "alice", f"wrong password {number}", "123456"),
                    401, "sign_in_refused")
    server.stop()
    server.start()
    check_error(sign_in(server, "alice", CHOSEN, recovery[0]), 401, "sign_in_refused")
    assert person(server, "alice")["state"] == "locked"
    given = json.loads(command("person", "reset-password", "alice", "--json",
                               "--data", server.data).stdout)["password"]
    assert person(server, "alice")["state"] == "active"
    answer = sign_in(server, "alice", given, recovery[0], new_password="other words do well")
    assert answer.status_code == 200, answer.text


def test_an_administrator_ends_sessions_and_their_streams(server: Server):
    token, recovery = signed_in(server, "olga", "operator")
    with server.http(token) as client, client.stream(
            "POST", "/v1/chat/completions",
            json=CHAT | {"stream": True, "max_tokens": 4000, "ignore_eos": True}) as stream:
        lines = stream.iter_lines()
        next(lines)
        listed = json.loads(command("person", "sessions", "--json", "--data", server.data).stdout)
        assert any(one["name"] == "olga" and one["role"] == "operator" for one in listed)
        out = command("person", "sign-out", "olga", "--data", server.data).stdout
        assert out == "Sessions of olga that have ended: 1.\n"
        rest = ""
        with pytest.raises(httpx.RemoteProtocolError):  # a cut stream has no end
            for line in lines:
                rest += line
    assert "key_withdrawn" in rest and "[DONE]" not in rest
    check_error(get(server, token, "/v1/models"), 401, "session_ended")

    answer = sign_in(server, "olga", CHOSEN, recovery[0])
    token = answer.json()["token"]
    command("person", "change", "olga", "--disable", "--data", server.data)
    check_error(get(server, token, "/v1/models"), 401, "session_ended")
    check_error(sign_in(server, "olga", CHOSEN, recovery[1]), 401, "sign_in_refused")
    assert person(server, "olga")["state"] == "disabled"
    command("person", "change", "olga", "--enable", "--role", "auditor", "--data", server.data)
    answer = sign_in(server, "olga", CHOSEN, recovery[1])
    assert answer.json()["role"] == "auditor"
    check_error(get(server, answer.json()["token"], "/v1/models"), 403, "permission_denied")


def test_a_session_is_of_one_address(server: Server):
    """Another loopback address is another address."""
    token, _ = signed_in(server, "petra", "operator")
    elsewhere = httpx.HTTPTransport(verify=server.trust(), local_address="127.0.0.9")
    with httpx.Client(base_url=server.url, transport=elsewhere, timeout=60,
                      headers={"authorization": f"Bearer {token}"}) as client:
        check_error(client.get("/v1/models"), 401, "session_ended")
    assert get(server, token, "/v1/models").status_code == 200


def test_a_certificate_signs_in_and_its_session_needs_it(make_server, tmp_path):
    server = make_server().start()
    create(server, "carla", "admin")
    create(server, "bob", "admin")
    certificate = issue(server, tmp_path / "carla", "carla")
    trust = ssl.create_default_context(cafile=str(server.ca))
    trust.load_cert_chain(*certificate)
    with httpx.Client(base_url=server.url, verify=trust, trust_env=False, timeout=60) as client:
        check_error(client.post(SESSIONS, json={"name": "bob"}), 401, "sign_in_refused")
        answer = client.post(SESSIONS, json={"name": "carla"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["signed_in_with"] == "certificate"
        token = answer.json()["token"]
        headers = {"authorization": f"Bearer {token}"}
        assert client.get("/admin/v1/people", headers=headers).status_code == 200
        check_error(get(server, token, "/admin/v1/people"), 401, "session_ended")
        fingerprint = json.loads(command("client-certificate", "list", "--json", "--data",
                                         server.data).stdout)[0]["fingerprint"]
        command("client-certificate", "revoke", fingerprint, "--data", server.data)
        check_error(client.post(SESSIONS, json={"name": "carla"}), 401, "sign_in_refused")
        check_error(client.get("/admin/v1/people", headers=headers), 401, "session_ended")
    with server.http() as client:
        answer = client.post(SESSIONS, json={"name": "carla"})
    check_error(answer, 400, "invalid_value", "password")


def test_the_configuration_says_how_long_a_session_lives(make_server):
    server = make_server({"sessions": {"idle_minutes": 1, "hours": 2}}).start()
    token, _ = signed_in(server, "alice", "operator")
    shown = get(server, token, f"{SESSIONS}/current").json()
    assert shown["idle_until"] - shown["used_at"] in (59, 60, 61)  # of seconds, each rounded down
    assert shown["expires_at"] - shown["opened_at"] in (7199, 7200, 7201)


def test_people_of_a_tenant_are_its_own(server: Server):
    create(server, "tina", "admin", "--tenant", "acme")
    stranger = server.key("admin", "globex-admin", "--tenant", "globex")
    own = server.key("admin", "acme-admin", "--tenant", "acme")
    check_error(get(server, stranger, "/admin/v1/people/acme/tina"), 404, "not_found")
    check_error(get(server, stranger, "/admin/v1/people/tina"), 404, "not_found")
    assert get(server, own, "/admin/v1/people/tina").json()["tenant"] == "acme"
    assert [p["name"] for p in get(server, own, "/admin/v1/people").json()["data"]] == ["tina"]
    assert get(server, stranger, "/admin/v1/people").json()["data"] == []


@pytest.mark.parametrize(("arguments", "said"), [
    (("create", "Alice", "--role", "admin"), "name:"),
    (("create", "x", "--role", "root"), "role: must be one of"),
    (("show", "nobody"), "no such person"),
    (("show", "../keys"), "NAME:"),
    (("change", "nobody"), "nothing is to be changed"),
])
def test_mistakes_at_the_command_line_are_named(server: Server, arguments, said):
    done = command("person", *arguments, "--data", server.data, check=False)
    assert done.returncode == 1
    assert said in done.stderr


def test_people_without_a_server(make_server):
    server = make_server().start()
    server.stop()
    given = create(server, "dora", "auditor")
    listed = command("person", "list", "--data", server.data).stdout
    assert "dora" in listed and "auditor" in listed
    assert "No server runs" in command("person", "sessions", "--data", server.data).stderr
    device, _ = enrolled(server, "dora")
    server.start()
    answer = sign_in(server, "dora", given, device.fresh(), new_password=CHOSEN)
    assert answer.json()["role"] == "auditor"
    command("person", "remove", "dora", "--data", server.data)
    check_error(get(server, answer.json()["token"], "/v1/models"), 401, "session_ended")
    assert "no such person" in command("person", "show", "dora", "--data", server.data,
                                       check=False).stderr
