"""The configuration: checked with file, line, key and fix; reloaded and drained under streams."""

import base64
import hashlib
import re
import signal
import socket

import httpx
import pytest
from support.chat import RunningStream, body, check_error
from support.program import command, free_port, model_file
from support.server import Server, toml, wait_for

# (text of the file, line of the finding, words that the finding must hold)
BAD_FILES = {
    "unknown key": ("[server]\nhttps_prot = 1\n", 2, ["server.https_prot", "https_port"]),
    "unknown section": ("[sever]\nx = 1\n", 1, ["sever", "server"]),
    "wrong type": ('[server]\n\nhttps_port = "8443"\n', 3, ["server.https_port", "quotes"]),
    "out of bounds": ("[server]\nhttps_port = 70000\n", 2, ["server.https_port", "65535"]),
    "not a list": ('[tls]\nnames = "a"\n', 2, ["tls.names", "["]),
    "syntax": ("[server]\nhttps_port = \n", 2, ["syntax"]),
    "log level": ('[log]\nlevel = "loud"\n', None, ["log.level", "debug"]),
    "plain HTTP": ('[server]\nhttp_address = "0.0.0.0"\n', None,
                   ["server.http_address", "insecure_http_beyond_loopback"]),
    "model without path and name": ("[[model]]\nthreads = 1\n", 1, ["model.path", "GGUF"]),
    "unknown task": ('[[model]]\npath = "a"\ntask = "sing"\n', 3, ["model.task", "embed"]),
    "tenant without a name": ("[[tenant]]\nweight = 2\n", 1, ["tenant.name"]),
    "model written wrongly": ('[model]\nname = "a"\n', 1, ["[[model]]"]),
    "model file missing": ('[[model]]\npath = "/nowhere/a.gguf"\n', None,
                           ["model.path", "/nowhere/a.gguf"]),
    "certificate without key": ('[tls]\ncertificate = "a.pem"\n', None, ["tls.private_key"]),
}


def log_key(name: str) -> str:
    """A key of a log, as `deepmoat audit key` prints it."""
    key = b"\x01" + bytes(32)
    digest = hashlib.sha256(name.encode() + b"\n" + key).hexdigest()
    return f"{name}+{digest[:8]}+{base64.b64encode(key).decode()}"


# (keys of [audit], words that the finding must hold)
BAD_AUDIT = {
    "no place": ({"checkpoint_places": ["dir:/x"]},
                 ["audit.checkpoint_places", "dir:/x", "directory:/absolute/path"]),
    "relative folder": ({"checkpoint_places": ["syslog", "directory:relative"]},
                        ["audit.checkpoint_places", "directory:relative", "absolute"]),
    "token without one": ({"checkpoint_places": ["token"]},
                          ["audit.checkpoint_places", "token", "custody.kind", "pkcs11"]),
    "node without a key": ({"checkpoint_places": ["node:https://x:1"]},
                           ["audit.node_key_file", "node:https://x:1", "API key"]),
    "node without TLS": ({"checkpoint_places": ["node:http://x:1"], "node_key_file": "/x/key"},
                         ["audit.checkpoint_places", "node:http://x:1", "https://host:port"]),
    "two nodes": ({"checkpoint_places": ["node:https://x:1", "node:https://y:1"],
                   "node_key_file": "/x/key"},
                  ["audit.checkpoint_places", "node:https://x:1", "node:https://y:1", "name one"]),
    "witness key": ({"witness_keys": ["abc"]},
                    ["audit.witness_keys", "abc", "deepmoat audit key"]),
    "two witness keys": ({"witness_keys": [log_key("a/b"), log_key("a_b")]},
                         ["audit.witness_keys", "a_b", "take one of them out"]),
    "origin": ({"origin": "a b"}, ["audit.origin", "a b", "without spaces"]),
    "medical tenant": ({"medical_tenants": ["clinic", "NOPE!"]},
                       ["audit.medical_tenants", "NOPE!", "a-z"]),
}
BAD_FILES |= {f"audit: {name}": (toml({"audit": keys}), None, words)
              for name, (keys, words) in BAD_AUDIT.items()}


@pytest.mark.parametrize("name", BAD_FILES)
def test_check_names_file_line_key_and_fix(tmp_path, name):
    text, line, words = BAD_FILES[name]
    file = tmp_path / "bad.toml"
    file.write_text(text, encoding="utf-8")
    done = command("config", "check", file, check=False)
    assert done.returncode == 2, done.stdout
    where = f"{file}:{line}:" if line else f"{file}:"
    finding = next((one for one in done.stderr.splitlines() if where in one), None)
    assert finding, done.stderr
    for word in words:
        assert word in finding, finding


def test_check_names_every_problem(tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text("[server]\nhttps_port = 0\nhttp_port = -1\n[limits]\nnothing = 1\n",
                    encoding="utf-8")
    done = command("config", "check", file, check=False)
    assert [line in done.stderr for line in (":2:", ":3:", ":5:")] == [True] * 3, done.stderr


def test_check_of_good_files(tmp_path):
    file = tmp_path / "good.toml"
    file.write_text(command("config", "example").stdout, encoding="utf-8")
    assert "no problem" in command("config", "check", file).stdout
    missing = command("config", "check", tmp_path / "absent.toml", check=False)
    assert missing.returncode == 2 and "absent.toml" in missing.stderr


def test_every_key_is_documented():
    example, page = command("config", "example").stdout, command("config", "markdown").stdout
    keys = set(re.findall(r"^(?:# )?([a-z_]+) = ", example, re.MULTILINE))
    assert {"https_port", "drain_timeout_s", "max_batch_size"} <= keys
    assert keys == set(re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE))


def test_environment_goes_over_the_file(tmp_path):
    file = tmp_path / "good.toml"
    file.write_text("[server]\nhttps_port = 9000\n", encoding="utf-8")
    done = command("config", "check", file, check=False, DEEPMOAT_SERVER_HTTPS_PORT="ninety")
    assert done.returncode == 2 and "DEEPMOAT_SERVER_HTTPS_PORT" in done.stderr
    done = command("config", "check", file, check=False, DEEPMOAT_SERVER_HTTP_PORT="9000")
    assert done.returncode == 2 and "server.http_port" in done.stderr


def check_help(*words: str) -> int:
    """Of a command and of all below it; how many they are."""
    done = command(*words, "--help")
    assert "Usage" in done.stdout and len(done.stdout.splitlines()) > 4, words
    assert not done.stderr
    listed = done.stdout.partition("\nSubcommands:\n")[2]
    return 1 + sum(check_help(*words, line.split()[0]) for line in listed.splitlines()
                   if re.match(r"  [a-z]", line))


def test_every_command_has_help():
    assert check_help() > 60


def test_wrong_command_lines():
    for arguments in (("sing",), ("serve", "--colour"), ("key",), ("key", "create"), ()):
        done = command(*arguments, check=False)
        assert done.returncode == 2 and done.stderr, arguments
    assert command("--version").stdout.startswith("deepmoat ")


def refused_start(server: Server, *flags: str) -> str:
    done = command("serve", "--data", server.data, "--config", server.config, *flags, check=False)
    assert done.returncode in (1, 2), done.returncode
    return done.stderr


def test_port_that_is_taken(make_server):
    server = make_server()
    with socket.create_server(("127.0.0.1", server.port)):
        said = refused_start(server)
    assert str(server.port) in said and "listen" in said, said
    server.start().stop()


def test_two_deepmoats_on_one_port(make_server):
    """SO_REUSEPORT, which our own threads use, must not let a second server in silently."""
    first = make_server().start()
    second = make_server()
    second.port = first.port
    second.configure({})
    assert str(first.port) in refused_start(second)
    first.stop()


def test_second_server_on_one_data_folder(make_server):
    first = make_server().start()
    said = refused_start(first, "--port", str(free_port()), "--http-port", "0")
    assert "data" in said and "running" in said, said
    with first.http() as client:
        assert client.get("/readyz").status_code == 200
    first.stop()


def test_refused_flags(make_server):
    server = make_server()
    assert "tensor-parallel-degree" in refused_start(server, "--tensor-parallel-degree", "2")
    assert "nowhere.gguf" in refused_start(server, "--model-path", "/nowhere.gguf")
    server.configure({"server": {"http_address": "0.0.0.0"}})
    assert "insecure_http_beyond_loopback" in refused_start(server)


@pytest.mark.parametrize("name", BAD_AUDIT)
def test_what_is_wrong_with_the_audit_log_is_refused_by_serve_too(make_server, name):
    keys, words = BAD_AUDIT[name]
    said = refused_start(make_server({"audit": keys}))
    for word in words:
        assert word in said, said


def test_check_names_what_the_audit_log_cannot_use(tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text(toml({"audit": {
        "checkpoint_places": ["directory:/nowhere/at-all", "node:https://x:1"],
        "node_key_file": "/nowhere/node.key", "node_ca_file": "/nowhere/ca.pem"}}),
        encoding="utf-8")
    done = command("config", "check", file, check=False)
    assert done.returncode == 2, done.stdout
    for words in (("audit.checkpoint_places", "directory:/nowhere/at-all", "mount or make it"),
                  ("audit.node_key_file", "/nowhere/node.key"),
                  ("audit.node_ca_file", "/nowhere/ca.pem")):
        assert any(all(word in line for word in words) for line in done.stderr.splitlines()), \
            done.stderr


def test_a_medical_tenant_that_there_is_not_is_logged(make_server):
    server = make_server({"audit": {"medical_tenants": ["default", "clinic", "clinik"]}})
    command("tenant", "create", "clinic", "--data", server.data)
    server.start().stop()
    assert [line["tenant"] for line in server.log_lines()
            if "audit.medical_tenants" in line["message"]] == ["clinik"]


def test_plain_http_can_be_off(make_server):
    server = make_server()
    port = server.http_port
    server.http_port = 0
    server.configure({})
    server.launch()
    wait_for("HTTPS answers", lambda: answers(server))
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    server.stop()


def answers(server: Server) -> bool:
    try:
        with server.http() as client:
            return client.get("/readyz").status_code == 200
    except (OSError, httpx.TransportError):
        return False


def test_reload_applies_limits_under_a_running_stream(server: Server):
    key = server.key("user", "limited")
    stream = RunningStream(server, key, 600)
    stream.wait_begun()
    before = server.config.read_text(encoding="utf-8")
    try:
        server.config.write_text(before.replace(
            "[limits]\n", "[limits]\nrequests_per_minute = 2\n"), encoding="utf-8")
        server.signal(signal.SIGHUP)
        with server.http(key) as client:
            refused = wait_for("the limit holds", lambda: refusal(client))
        error = check_error(refused, 429, "rate_limit_exceeded")
        assert "2 requests a minute" in error["message"]
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        result = server.result_of(refused.headers["x-request-id"])
        assert (result["outcome"], result["status"]) == ("refused", 429)
    finally:
        server.config.write_text(before, encoding="utf-8")
        server.signal(signal.SIGHUP)
    stream.join()
    assert stream.done and stream.error is None
    with server.http(key) as client:
        wait_for("the limit is gone", lambda: all(
            client.post("/v1/chat/completions", json=body(max_tokens=1)).status_code == 200
            for _ in range(4)))


def refusal(client):
    answer = client.post("/v1/chat/completions", json=body(max_tokens=1))
    return answer if answer.status_code != 200 else None


def test_reload_of_a_wrong_file_changes_nothing(make_server):
    server = make_server().start()
    server.config.write_text("[server]\nnonsense = 1\n", encoding="utf-8")
    server.signal(signal.SIGHUP)
    wait_for("the refusal is logged", lambda: "not reloaded" in server.tail())
    with server.http() as client:
        assert client.get("/readyz").status_code == 200
    server.stop()


def test_sigterm_lets_streams_finish_and_takes_no_new_calls(fresh_server: Server):
    key = fresh_server.shared_key("user")
    streams = [RunningStream(fresh_server, key, 120) for _ in range(3)]
    for stream in streams:
        stream.wait_begun()
    fresh_server.signal(signal.SIGTERM)
    wait_for("new connections are refused", lambda: not answers(fresh_server))
    for stream in streams:
        stream.join()
        assert stream.done and not stream.error, (stream.error, stream.broken)
    assert fresh_server.wait_end() == 0
    for stream in streams:
        assert fresh_server.result_of(stream.request_id)["outcome"] == "success"
    assert "intact" in fresh_server.verify()


def test_drain_timeout_cuts_what_does_not_end(make_server):
    server = make_server({"server": {"drain_timeout_s": 1}}, model=model_file()).start()
    stream = RunningStream(server, server.shared_key("user"), 1800)
    stream.wait_begun()
    server.signal(signal.SIGTERM)
    assert server.wait_end() == 0
    stream.join(30)
    assert not stream.done
    server.verify()
    assert len(server.audit_of(stream.request_id)) == 2, "a cut call lacks its result"


def test_interrupt_is_a_clean_end_too(make_server):
    server = make_server().start()
    server.signal(signal.SIGINT)
    assert server.wait_end() == 0
    server.verify()


def test_first_start_makes_everything(make_server):
    server = make_server().start()
    for name in ("keys/root.key", "deepmoat.db", "tls/ca.crt", "tls/server.crt", "tls/server.key",
                 "audit", "lock", "admin.sock"):
        assert (server.data / name).exists(), name
    ca = server.ca.read_bytes()
    server.stop()
    server.start().stop()
    assert server.ca.read_bytes() == ca


def test_doctor():
    done = command("doctor", check=False)
    assert done.returncode in (0, 1)
    for word in ("CPU", "memory", "Landlock", "seccomp", "clock"):
        assert word.lower() in done.stdout.lower(), word
