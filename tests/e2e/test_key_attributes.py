"""What a key is bound to: set by commands, with a server and without, and held on every call."""

import hashlib
import json
import sqlite3
import sys
import tomllib
from pathlib import Path

import pytest
from support.chat import RunningStream, body, check_error
from support.program import command, model_file
from support.server import MODEL, Server, wait_for

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
import make_models  # noqa: E402

CHAT = "/v1/chat/completions"
EVERYTHING = ("--label", "note", "--model", "demo", "--model", "org/chat:7b",
              "--adapter", "poet:0.7", "--adapter-only", "--ip", "10.0.0.0/8", "--ip", "::1",
              "--data-class", "sensitive", "--scope", "call_models", "--scope", "see_models",
              "--requests-per-minute", "60", "--tokens-per-minute", "1000",
              "--concurrent-calls", "2", "--label-pair", "cost-centre=4711",
              "--label-pair", "team=a=b")
SHOWN = {"label": "note", "models": ["demo", "org/chat:7b"], "adapter": "poet:0.7",
         "adapter_only": True, "ip_ranges": ["10.0.0.0/8", "::1"], "data_class": "sensitive",
         "scopes": ["call_models", "see_models"],
         "limits": {"requests_per_minute": 60, "tokens_per_minute": 1000, "concurrent_calls": 2},
         "labels": {"cost-centre": "4711", "team": "a=b"}}
NOTHING = {"models": [], "adapter": "", "adapter_only": False, "ip_ranges": [], "data_class": "",
           "scopes": [], "limits": {"requests_per_minute": 0, "tokens_per_minute": 0,
                                    "concurrent_calls": 0}, "labels": {}}


def call(server: Server, key: str, **more):
    with server.http(key) as client:
        return client.post(CHAT, json=body(max_tokens=1, **more))


def shown(server: Server, key: str) -> dict:
    return json.loads(command("key", "show", key, "--json", "--data", server.data).stdout)


def subset(whole: dict, of: dict) -> dict:
    return {name: whole[name] for name in of}


@pytest.mark.parametrize("running", [True, False], ids=["beside a server", "without one"])
def test_commands_set_show_change_and_take_away(make_server, running):
    server = make_server()
    if running:
        server.start()
    key = server.key("user", "bound", *EVERYTHING)
    assert subset(shown(server, key), SHOWN) == SHOWN
    text = command("key", "show", key, "--data", server.data).stdout
    for line in ("models         demo, org/chat:7b", "adapter        poet:0.7",
                 "ip_ranges      10.0.0.0/8, ::1", "data_class     sensitive",
                 "scopes         call_models, see_models",
                 "limits         requests_per_minute=60, tokens_per_minute=1000, "
                 "concurrent_calls=2", "labels         cost-centre=4711, team=a=b"):
        assert line in text, text
    changed = command("key", "change", key, "--concurrent-calls", "5", "--model", "demo",
                      "--data", server.data).stdout
    assert "models         demo\n" in changed, changed
    expected = {**SHOWN, "models": ["demo"],
                "limits": {**SHOWN["limits"], "concurrent_calls": 5}}
    assert subset(shown(server, key), SHOWN) == expected
    command("key", "change", key, "--label", "", "--model", "", "--adapter", "", "--any-adapter",
            "--ip", "", "--data-class", "", "--scope", "", "--requests-per-minute", "0",
            "--tokens-per-minute", "0", "--concurrent-calls", "0", "--label-pair", "",
            "--data", server.data)
    assert subset(shown(server, key), NOTHING) == NOTHING
    if running:
        server.stop()


@pytest.mark.parametrize("running", [True, False], ids=["beside a server", "without one"])
def test_refusals_name_the_field_and_the_fix(make_server, running):
    server = make_server()
    if running:
        server.start()
    key = server.key("user", "plain")
    for arguments, words in ((("--ip", "10.1.2.3/8"), ("ip_ranges", "10.0.0.0/8")),
                             (("--ip", "the office"), ("ip_ranges", "10.1.0.0/16")),
                             (("--adapter", "poet:11"), ("adapter", "poet:0.7")),
                             (("--adapter-only",), ("adapter_only", "name it in adapter")),
                             (("--data-class", "Secret"), ("data_class", "sensitive")),
                             (("--scope", "fly"), ("scopes", "call_models")),
                             (("--scope", "manage_keys"), ("scopes", "user", "another role")),
                             (("--requests-per-minute", "-1"), ("requests_per_minute",)),
                             (("--label-pair", "team"), ("label-pair", "NAME=VALUE")),
                             (("--label-pair", "Team=a"), ("labels", "a-z"))):
        for verb in (("create", "--client-id", "x"), ("change", key)):
            refused = command("key", *verb, *arguments, "--data", server.data, check=False)
            assert refused.returncode == 1 and not refused.stdout, (verb, arguments)
            for word in words:
                assert word in refused.stderr, (arguments, refused.stderr)
    nothing = command("key", "change", key, "--data", server.data, check=False)
    assert nothing.returncode == 1 and "models" in nothing.stderr
    for role in ("Admin", "ADMIN", "admin ", "\u0430dmin", "\uff41dmin"):
        refused = command("key", "create", "--client-id", "x", "--role", role, "--data",
                          server.data, check=False)
        assert refused.returncode == 1 and "role" in refused.stderr, role
    command("key", "revoke", key, "--reason", "over", "--data", server.data)
    dead = command("key", "change", key, "--model", "demo", "--data", server.data, check=False)
    assert dead.returncode == 1 and "revoked" in dead.stderr
    if running:
        server.stop()


def test_models_of_a_key(server: Server):
    key = server.key("user", "other-models", "--model", "another")
    hidden, absent = call(server, key), call(server, key, model="nosuch")
    check_error(hidden, 404, "model_not_found", "model")
    assert hidden.text.replace(MODEL, "*") == absent.text.replace("nosuch", "*")
    with server.http(key) as client:
        assert client.get("/v1/models").json()["data"] == []
        assert client.get(f"/v1/models/{MODEL}").status_code == 404
    command("key", "change", key, "--model", MODEL, "--data", server.data)
    assert call(server, key).status_code == 200, "the change holds at once"


def test_networks_of_a_key(server: Server):
    away = server.key("user", "away", "--ip", "10.0.0.0/8", "--ip", "2001:db8::/32")
    here = server.key("user", "here", "--ip", "127.0.0.0/8", "--ip", "::1")
    assert call(server, here).status_code == 200
    refused = call(server, away)
    check_error(refused, 401, "invalid_api_key")
    stranger = call(server, away[:-10] + "0" * 10)
    assert refused.json() == stranger.json(), "from elsewhere it looks like no key at all"
    result = server.result_of(refused.headers["x-request-id"])
    assert (result["outcome"], result["status"]) == ("refused", 401)
    assert result["reason"] == "address_not_allowed" and result["operator"] == "away"
    assert result["key_id"] == shown(server, away)["id"] and result["authentication"] == "none"


def test_a_key_from_elsewhere_counts_as_a_failure(make_server):
    server = make_server({"limits": {"authentication_failures_per_minute": 3}}).start()
    with server.http(server.key("user", "away", "--ip", "10.0.0.0/8")) as client:
        codes = [client.get("/v1/models").status_code for _ in range(5)]
    assert codes[:3] == [401] * 3 and codes[-1] == 429, codes
    server.stop()


def test_data_class_of_a_key(server: Server):
    key = server.key("user", "careful", "--data-class", "sensitive")
    for said, expected in ((None, "sensitive"), ("public", "sensitive"),
                           ("restricted", "restricted")):
        headers = {"x-deepmoat-data-class": said} if said else {}
        with server.http(key) as client:
            answer = client.post(CHAT, json=body(max_tokens=1), headers=headers)
        assert answer.status_code == 200
        assert server.result_of(answer.headers["x-request-id"])["data_class"] == expected


def test_scopes_of_a_key(server: Server):
    key = server.key("admin", "narrow", "--scope", "manage_keys")
    assert "scopes" in check_error(call(server, key), 403, "permission_denied")["message"]
    with server.http(key) as admin:
        assert admin.get("/admin/v1/keys").status_code == 200
        check_error(admin.get("/v1/models"), 403, "permission_denied")
        check_error(admin.post("/admin/v1/keys", json={"client_id": "x", "role": "admin"}), 403,
                    "permission_denied", "scopes")
        own = admin.get(f"/admin/v1/keys/{key}").json()["id"]
        check_error(admin.patch(f"/admin/v1/keys/{own}", json={"scopes": []}), 403,
                    "permission_denied", "scopes")


def test_limits_of_a_key(server: Server):
    one = server.key("user", "one-at-a-time", "--concurrent-calls", "1")
    stream = RunningStream(server, one, 400)
    stream.wait_begun()
    check_error(call(server, one), 429, "concurrency_limit_exceeded")
    stream.join()
    wait_for("its place is free again", lambda: call(server, one).status_code == 200)

    few = server.key("user", "few-tokens", "--tokens-per-minute", "10")
    first = call(server, few)
    assert first.status_code == 200 and first.headers["x-ratelimit-limit-tokens"] == "10"
    assert first.json()["usage"]["total_tokens"] > 10
    refused = call(server, few)
    error = check_error(refused, 429, "rate_limit_exceeded")
    assert "10 tokens" in error["message"] and int(refused.headers["retry-after"]) >= 1

    twice = server.key("user", "two-requests", "--requests-per-minute", "2")
    assert [call(server, twice).status_code for _ in range(3)] == [200, 200, 429]


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory):
    """A server whose tiny model has two adapters that change what it says."""
    folder = tmp_path_factory.mktemp("adapted")
    model = make_models.make("llama", model_file(), folder)
    adapter = make_models.make("llama-adapter", model_file(), folder)
    server = Server(folder / "server", {"model": [{
        "name": MODEL, "path": str(model),
        "adapters": [f"poet={adapter}", f"law={adapter}:0.3"]}]})
    try:
        yield server.start()
        server.stop()
    finally:
        server.discard()


def written(server: Server, key: str, **more) -> str:
    """What the model goes on with; the most probable tokens, so that only the adapter counts."""
    with server.http(key) as client:
        answer = client.post("/v1/completions", json={
            "model": MODEL, "prompt": "The lighthouse keeper", "max_tokens": 16,
            "temperature": 0, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["text"]


def test_adapter_of_a_key(adapted: Server):
    free = adapted.key("user", "free")
    plain, poet, law = (written(adapted, free), written(adapted, free, adapter="poet"),
                        written(adapted, free, adapter="law"))
    assert len({plain, poet, law}) == 3, "the adapters say something else, or nothing is shown"
    strong = written(adapted, free, adapter="poet", adapter_scale=3)
    result = [one for one in adapted.audit() if one["phase"] == "result" and "adapter" in one][-1]
    model = tomllib.loads(adapted.config.read_text("utf-8"))["model"][0]
    file = Path(model["adapters"][0].removeprefix("poet="))
    assert result["adapter"] == "poet"
    assert result["adapter_version"] == hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    assert result["model_version"] not in ("", result["adapter_version"])
    lineage = json.loads(command("audit", "lineage", "--data", adapted.data, "--request",
                                 result["request_id"]).stdout)
    assert lineage["adapter_version"] == result["adapter_version"]

    bound = adapted.key("user", "bound", "--adapter", "poet")
    assert written(adapted, bound) == poet
    assert written(adapted, bound, adapter="law") == law
    assert written(adapted, bound, model=f"{MODEL}:law") == law
    scaled = adapted.key("user", "scaled", "--adapter", "poet:3")
    assert written(adapted, scaled) == strong
    command("key", "change", bound, "--adapter", "law", "--data", adapted.data)
    assert written(adapted, bound) == law, "the change holds at once"

    only = adapted.key("user", "only", "--adapter", "poet", "--adapter-only")
    assert written(adapted, only) == written(adapted, only, adapter="poet") == poet
    with adapted.http(only) as client:
        for more, param in (({"adapter": "law"}, "adapter"),
                            ({"model": f"{MODEL}:law"}, "adapter"),
                            ({"adapter_scale": 0.01}, "adapter_scale")):
            answer = client.post("/v1/completions", json={"model": MODEL, "prompt": "x",
                                                          "max_tokens": 1, **more})
            check_error(answer, 403, "permission_denied", param)
    absent = adapted.key("user", "absent", "--adapter", "nosuch")
    with adapted.http(absent) as client:
        answer = client.post("/v1/completions", json={"model": MODEL, "prompt": "x"})
    assert "bound to" in check_error(answer, 404, "model_not_found", "adapter")["message"]


def test_a_row_that_was_edited_is_refused_and_one_from_before_is_not(make_server):
    server = make_server()
    bound = server.key("user", "bound", "--ip", "10.0.0.0/8")
    key_id = shown(server, bound)["id"]
    server.start()
    server.stop()
    database = sqlite3.connect(server.data / "deepmoat.db")
    with database:
        database.execute("UPDATE api_keys SET ip_ranges = '' WHERE key_id = ?", (key_id,))
    database.close()
    assert shown(server, key_id)["state"] == "corrupt"
    server.start()
    with server.http(bound) as client:
        check_error(client.get("/v1/models"), 401, "invalid_api_key")
    refused = command("key", "change", key_id, "--ip", "10.0.0.0/8", "--data", server.data,
                      check=False)
    assert refused.returncode == 1
    server.stop()


@pytest.mark.parametrize("running", [True, False], ids=["beside a server", "without one"])
def test_tenants(make_server, running):
    server = make_server()
    if running:
        server.start()
    data = ("--data", server.data)
    command("tenant", "create", "law", "--organisation", "Acme", "--label", "3rd floor", *data)
    server.key("user", "app", "--tenant", "sales")  # makes its tenant on the way
    again = command("tenant", "create", "sales", *data, check=False)
    assert again.returncode == 1 and "change it" in again.stderr
    command("tenant", "change", "sales", "--organisation", "Acme", *data)
    listed = json.loads(command("tenant", "list", "--json", *data).stdout)
    named = {tenant["name"]: tenant for tenant in listed}
    assert {"law", "sales"} <= set(named)
    assert [named[name]["organisation"] for name in ("law", "sales")] == ["Acme", "Acme"]
    assert json.loads(command("tenant", "show", "law", "--json", *data).stdout) == named["law"]
    assert "3rd floor" in command("tenant", "list", *data).stdout
    for arguments in (("create", "Law"), ("show", "nowhere"), ("change", "law"),
                      ("change", "nowhere", "--label", "x")):
        refused = command("tenant", *arguments, *data, check=False)
        assert refused.returncode == 1 and refused.stderr.startswith("deepmoat: "), arguments
    if running:
        with server.http(server.key("admin", "law-admin", "--tenant", "law")) as admin:
            assert [t["name"] for t in admin.get("/admin/v1/tenants").json()["data"]] == ["law"]
            check_error(admin.get("/admin/v1/tenants/sales"), 404, "not_found")
            check_error(admin.patch("/admin/v1/tenants/law", json={"organisation": "Mine"}), 403,
                        "permission_denied", "tenant")
        server.stop()
