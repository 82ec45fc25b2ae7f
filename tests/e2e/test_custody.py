"""Root keys in a file and in a token: kept over starts, lost, back, lying; what each refuses."""

import json
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from support.chat import RunningStream, body, check_error
from support.program import command, model_file
from support.server import Server, wait_for
from support.token import Token

CANARY_WAIT_S = 90  # the canary looks every 10 s, on a machine that may be busy


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Token:
    return Token(tmp_path / "token", monkeypatch)


def custody(server: Server) -> dict:
    return json.loads(command("custody", "status", "--json", "--data", server.data, "--config",
                              server.config).stdout)


def wait_for_state(server: Server, state: str) -> dict:
    def reached() -> dict | None:
        shown = custody(server)
        return shown if shown["state"] == state else None
    return wait_for(f"custody is {state}", reached, CANARY_WAIT_S, 0.5)


def models(server: Server, key: str):
    with server.http(key) as client:
        return client.get("/v1/models")


def chat(server: Server, key: str):
    with server.http(key) as client:
        return client.post("/v1/chat/completions", json=body(max_tokens=1))


def create_by_http(server: Server, admin: str):
    with server.http(admin) as client:
        return client.post("/admin/v1/keys", json={"client_id": "late", "role": "user",
                                                   "tenant": "default", "lifetime_s": 60})


def test_root_keys_in_a_token(make_server, token):
    server = make_server(token.settings()).start()
    key = server.key()
    assert models(server, key).status_code == 200
    shown = custody(server)
    assert (shown["kind"], shown["state"], shown["keys_can_leave"]) == ("pkcs11", "up", False)
    assert "SoftHSM" in shown["place"] and shown["envelope"]["generation"] == 1
    assert not (server.data / "keys" / "root.key").exists()
    with server.http(server.shared_key("admin")) as client:
        assert client.get("/admin/v1/custody").json()["id"] == shown["id"]
    rolled = command("custody", "roll", "--data", server.data).stdout
    assert "old_destroyed" in rolled and "true" in rolled
    assert custody(server)["envelope"]["generation"] == 2
    assert [r["outcome"] for r in server.audit() if r.get("action") == "custody.roll"
            and r["phase"] == "result"] == ["success"]
    server.stop()
    server.start()
    assert models(server, key).status_code == 200
    assert custody(server)["id"] == shown["id"]
    server.stop()
    # Without a server the commands open the token themselves.
    config = ("--data", server.data, "--config", server.config)
    assert custody(server)["state"] == "up"
    assert "true" in command("custody", "roll", *config).stdout
    assert custody(server)["envelope"]["generation"] == 3
    refused = command("custody", "rewrap", *config, check=False)
    assert refused.returncode == 1 and "custody roll" in refused.stderr
    server.verify()


def test_a_lost_token_stops_new_keys_and_no_calls(make_server, token):
    server = make_server(token.settings(), model=model_file()).start()
    key, admin, leaked = server.key(), server.shared_key("admin"), server.key("user", "leaked")
    stream = RunningStream(server, key, 1800)
    stream.wait_begun()
    token.behave("gone")
    lost = wait_for_state(server, "lost")
    assert "device was removed" in lost["reason"]
    assert lost["seals_at"] - lost["lost_since"] == 24 * 3600
    assert models(server, key).status_code == 200
    assert chat(server, key).status_code == 200
    refused = create_by_http(server, admin)
    error = check_error(refused, 503, "custody_unavailable")
    assert "nothing new is issued" in error["message"] and refused.headers["retry-after"]
    assert server.result_of(refused.headers["x-request-id"])["outcome"] == "failed"
    # What takes rights away goes on too.
    command("key", "revoke", leaked, "--reason", "lost", "--data", server.data)
    check_error(models(server, leaked), 401, "key_revoked")
    stream.join()
    assert stream.done, f"a stream was cut: {stream.error} {stream.broken}"
    by_command = command("key", "create", "--client-id", "late", "--data", server.data, check=False)
    assert by_command.returncode == 1 and "nothing new is issued" in by_command.stderr
    rolled = command("custody", "roll", "--data", server.data, check=False)
    assert rolled.returncode == 1 and "nothing new is issued" in rolled.stderr
    with server.http() as client:
        ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["custody"]) == (200, "lost")
    token.behave("right")
    wait_for_state(server, "up")
    assert create_by_http(server, admin).status_code == 200
    assert models(server, key).status_code == 200
    server.stop()


@pytest.mark.parametrize("fault", ["lying_hmac", "lying_gcm"])
def test_a_lying_token_seals_the_server_until_it_tells_the_truth(make_server, token, fault):
    server = make_server(token.settings()).start()
    key, admin = server.key(), server.shared_key("admin")
    token.behave(fault)
    sealed = wait_for_state(server, "sealed")
    assert "another answer" in sealed["reason"] and sealed["envelope"]["locked"]
    check_error(models(server, key), 503, "custody_unavailable")
    socket = httpx.HTTPTransport(uds=str(server.data / "admin.sock"))
    with httpx.Client(base_url="http://local", transport=socket) as at_the_machine:
        question = {"messages": [{"role": "user", "content": "hello"}]}
        check_error(at_the_machine.post("/v1/chat/completions", json=question), 503,
                    "custody_unavailable")
        assert at_the_machine.get("/admin/v1/status").status_code == 200
    check_error(create_by_http(server, admin), 503, "custody_unavailable")
    by_command = command("key", "create", "--client-id", "late", "--data", server.data, check=False)
    assert by_command.returncode == 1 and "nothing new is issued" in by_command.stderr
    with server.http() as client:
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200
    token.behave("right")
    assert not wait_for_state(server, "up")["envelope"]["locked"]
    assert models(server, key).status_code == 200
    assert create_by_http(server, admin).status_code == 200
    server.stop()


def test_after_the_grace_time_nothing_is_served(make_server, token):
    server = make_server(token.settings(grace_hours=0)).start()
    key = server.key()
    token.behave("stale")
    wait_for_state(server, "sealed")
    check_error(models(server, key), 503, "custody_unavailable")
    token.behave("right")
    wait_for_state(server, "up")
    assert models(server, key).status_code == 200
    server.stop()


def test_a_slow_token_delays_no_call(make_server, token):
    server = make_server(token.settings()).start()
    key = server.key()
    token.behave("slow")
    wait_for("a canary takes 5 s", lambda: custody(server)["last_check_ms"] >= 2000, CANARY_WAIT_S)
    answered = sum(models(server, key).status_code == 200 for _ in range(20))
    assert answered == 20 and custody(server)["state"] == "up"
    token.behave("right")
    server.stop()


def test_a_token_that_hangs_is_a_lost_one(make_server, token):
    """One that does not come back within 30 s; nobody but the canary waits for it."""
    server = make_server(token.settings()).start()
    key, admin = server.key(), server.shared_key("admin")
    token.behave("hangs")
    lost = wait_for_state(server, "lost")
    assert "does not come back" in lost["reason"] and lost["last_check_ms"] >= 30_000
    assert models(server, key).status_code == 200
    check_error(create_by_http(server, admin), 503, "custody_unavailable")
    token.behave("right")
    wait_for_state(server, "up")
    assert create_by_http(server, admin).status_code == 200
    token.behave("hangs")
    wait_for("a canary is in the token", lambda: custody(server)["last_check_ms"] >= 2000,
             CANARY_WAIT_S)
    server.stop()  # nor does the end of the server


def test_what_keeps_a_server_with_a_token_from_starting(make_server, token):
    server = make_server(token.settings())
    settings = ("--data", server.data, "--config", server.config)

    def refusal() -> str:
        done = command("serve", *settings, check=False)
        assert done.returncode == 1, done.stderr
        return done.stderr

    token.behave("gone")
    assert "device was removed" in refusal()
    token.behave("right")
    token.pin_file.chmod(0o644)
    assert "chmod 600" in refusal()
    assert "chmod 600" in command("config", "check", server.config, check=False).stderr
    token.pin_file.chmod(0o600)
    token.pin_file.write_text("0000\n", encoding="utf-8")
    assert "the PIN is wrong" in refusal()
    assert "the PIN is wrong" in command("doctor", *settings, check=False).stdout
    token.pin_file.write_text("493817\n", encoding="utf-8")
    command("key", "create", "--client-id", "first", *settings)
    assert "never extractable" in command("doctor", *settings, check=False).stdout
    server.configure(token.settings(key_label="another"))
    assert "another-root" in refusal()
    server.configure({"custody": {"kind": "pkcs11"}})
    missing = command("config", "check", server.config, check=False).stderr
    assert "custody.module" in missing and "custody.token_label" in missing
    server.configure({"custody": {"kind": "sdf"}})
    sdf = command("config", "check", server.config, check=False)
    assert sdf.returncode == 2 and "not built into this program" in sdf.stderr


def test_the_pin_and_the_passphrase_as_systemd_credentials(make_server, token, tmp_path,
                                                           monkeypatch):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    for name, text in (("deepmoat.pin", "493817"), ("deepmoat.passphrase", "correct horse")):
        (credentials / name).write_text(text, encoding="utf-8")
        (credentials / name).chmod(0o400)
    settings = token.settings()
    del settings["custody"]["pin_file"]
    server = make_server(settings)
    in_token = ("--data", server.data, "--config", server.config)
    without = command("key", "create", "--client-id", "a", *in_token, check=False)
    assert without.returncode == 1 and "deepmoat.pin" in without.stderr
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    command("key", "create", "--client-id", "a", *in_token)
    in_file = ("--data", tmp_path / "file")
    command("key", "create", "--client-id", "a", *in_file)
    assert "Argon2id" in command("custody", "status", *in_file).stdout
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    sealed = command("key", "list", *in_file, check=False)
    assert sealed.returncode == 1 and "sealed with a passphrase" in sealed.stderr


def test_rewrap_changes_the_passphrase_and_nothing_else(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("correct horse\n", encoding="utf-8")
    new.write_text("battery staple\n", encoding="utf-8")
    data = ("--data", tmp_path / "data")

    def under(passphrase: Path | None, *arguments: object, check: bool = True):
        more = {"DEEPMOAT_KEYS_PASSPHRASE_FILE": str(passphrase)} if passphrase else {}
        return command(*arguments, *data, check=check, **more)

    key = under(old, "key", "create", "--client-id", "a").stdout.strip()
    under(old, "custody", "rewrap", "--new-passphrase-file", new)
    assert under(old, "key", "list", check=False).returncode == 1
    assert "active" in under(new, "key", "show", key).stdout
    doctor = under(new, "doctor", check=False).stdout
    assert "Argon2id" in doctor
    assert "others may read it" in doctor, "the passphrase's file has mode 0644"
    under(new, "custody", "rewrap", "--no-passphrase")
    assert "active" in under(None, "key", "show", key).stdout
    assert "no passphrase" in under(None, "custody", "status").stdout
    actions = [json.loads(line)["action"] for line in
               under(None, "audit", "tail", "-n", 100).stdout.splitlines()]
    assert actions.count("custody.rewrap") == 4  # two intents, two results


def test_a_running_server_keeps_its_key_file(make_server):
    server = make_server().start()
    refused = command("custody", "rewrap", "--data", server.data, "--config", server.config,
                      check=False)
    assert refused.returncode == 1 and "stop it first" in refused.stderr
    key_file = server.data / "keys" / "root.key"
    kept = key_file.read_bytes()
    key_file.unlink()
    assert "root.key" in wait_for_state(server, "lost")["reason"]
    key_file.write_bytes(kept)
    key_file.chmod(0o600)
    wait_for_state(server, "up")
    server.stop()


WRONG_LIBRARY = """
#define _GNU_SOURCE
#include <dlfcn.h>
int SHA256_Final(unsigned char *digest, void *context) {
  int (*right)(unsigned char *, void *) = dlsym(RTLD_NEXT, "SHA256_Final");
  int done = right(digest, context);
  digest[0] ^= 1;
  return done;
}
"""


def test_a_library_that_computes_wrongly_refuses_to_start(tmp_path):
    source, library = tmp_path / "wrong.c", tmp_path / "wrong.so"
    source.write_text(WRONG_LIBRARY, encoding="utf-8")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    begun = time.monotonic()
    done = command("serve", "--data", tmp_path / "data", check=False, LD_PRELOAD=str(library))
    assert done.returncode == 1, f"it ran for {time.monotonic() - begun:.0f} s"
    assert "cryptographic self-test: SHA-256" in done.stderr
    assert not (tmp_path / "data").exists(), "nothing is made by a program that cannot compute"
