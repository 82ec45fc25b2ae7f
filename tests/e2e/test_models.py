"""Several models and replicas: loaded, unloaded and swapped while streams run, and /metrics."""

import json
import re
import shutil
import signal
import tomllib

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.chat import RunningStream, at_once, body, check_error
from support.program import command, model_file
from support.server import Server, wait_for

SMALL = {"threads": 1, "cells": 4096}


def configuration(*models: dict, **sections: dict) -> dict:
    return {"model": [{"path": str(model_file()), **SMALL, **model} for model in models],
            **sections}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory):
    """One file under three names: two replicas, one for a swap, one loaded by its first call."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copy(model_file(), folder / "swapped.gguf")
    one = Server(folder / "server", configuration(
        {"name": "twins", "replicas": 2},
        {"name": "swapped", "path": str(folder / "swapped.gguf")},
        {"name": "later", "load": "demand", "idle_unload_s": 2}))
    try:
        yield one.start()
        one.stop()
    finally:
        one.discard()


def states(server: Server) -> dict[str, dict]:
    with server.http(server.shared_key("operator")) as client:
        answer = client.get("/admin/v1/models")
    assert answer.status_code == 200, answer.text
    return {model["name"]: model for model in answer.json()["data"]}


def wait_state(server: Server, name: str, state: str) -> dict:
    wait_for(f"{name} is {state}", lambda: states(server)[name]["state"] == state, 120)
    return states(server)[name]


def ask(server: Server, model: str, text: str = "Say hello."):
    with server.http(server.shared_key("user")) as client:
        return client.post("/v1/chat/completions",
                           json=body(text, model=model, max_tokens=2))


def control(server: Server, verb: str, *more: object, check: bool = True):
    return command("model", verb, *more, "--data", server.data, check=check)


def test_two_replicas_answer_and_are_counted(models: Server):
    ready = wait_state(models, "twins", "ready")
    assert len(ready["replicas"]) == 2
    assert ready["version"] and ready["memory_bytes"] > 0
    answers = at_once(8, lambda i: ask(models, "twins", f"{i}: say hello."))
    assert [answer.status_code for answer in answers] == [200] * 8
    wait_for("both have worked", lambda: all(
        replica["tokens_generated"] > 0 for replica in states(models)["twins"]["replicas"]))


def test_unknown_model_is_404(models: Server):
    check_error(ask(models, "nobody"), 404, "model_not_found", "model")
    with models.http(models.shared_key("operator")) as client:
        check_error(client.post("/admin/v1/models/nobody/load"), 404, "model_not_found", "model")
        check_error(client.post("/admin/v1/models/swapped/load"), 409, "already_exists")


def test_only_who_may_changes_models(models: Server):
    with models.http(models.shared_key("user")) as client:
        check_error(client.post("/admin/v1/models/swapped/unload"), 403, "permission_denied")
        check_error(client.get("/admin/v1/models"), 403, "permission_denied")


def test_swap_lets_streams_finish(models: Server):
    wait_state(models, "swapped", "ready")
    streams = [RunningStream(models, models.shared_key("user"), 400, model="swapped")
               for _ in range(3)]
    for stream in streams:
        stream.wait_begun()
    done = control(models, "swap", "swapped")
    assert "ready" in done.stdout
    assert states(models)["swapped"]["loads"] == 2
    assert ask(models, "swapped").status_code == 200
    for stream in streams:
        stream.join()
        assert stream.done and stream.error is None and stream.broken is None
    wait_for("the old worker ends", lambda: states(models)["swapped"]["running"] == 0)


def test_swap_to_a_broken_file_keeps_the_old_model(models: Server):
    path = next(m["path"] for m in toml_models(models) if m["name"] == "swapped")
    wait_state(models, "swapped", "ready")
    shutil.move(path, path + ".good")
    try:
        with open(path, "wb") as broken:
            broken.write(b"GGUF" + b"\xff" * 4096)
        done = control(models, "swap", "swapped", check=False)
        assert done.returncode == 1
        state = states(models)["swapped"]
        assert state["state"] == "ready" and state["failure"]["code"] == "model_failed"
        assert ask(models, "swapped").status_code == 200
    finally:
        shutil.move(path + ".good", path)


def toml_models(server: Server) -> list[dict]:
    return tomllib.loads(server.config.read_text(encoding="utf-8"))["model"]


def test_unload_lets_a_stream_finish_and_refuses_new_calls(models: Server):
    wait_state(models, "swapped", "ready")
    stream = RunningStream(models, models.shared_key("user"), 300, model="swapped")
    stream.wait_begun()
    control(models, "unload", "swapped", "--no-wait")
    refused = ask(models, "swapped")
    check_error(refused, 503, "model_unloaded")
    assert int(refused.headers["retry-after"]) > 0
    stream.join()
    assert stream.done and stream.error is None
    wait_state(models, "swapped", "unloaded")
    assert "unloaded" in control(models, "status", "swapped").stdout
    assert "ready" in control(models, "load", "swapped").stdout
    assert ask(models, "swapped").status_code == 200


def test_first_call_loads_and_idle_unloads(models: Server):
    wait_state(models, "later", "sleeping")
    assert states(models)["later"]["memory_bytes"] == 0
    answer = ask(models, "later")
    assert answer.status_code == 200
    intent, result = models.audit_of(answer.headers["x-request-id"])
    assert "model_version" not in intent, "nobody knew yet which file would answer"
    assert len(result["model_version"]) == 16
    assert states(models)["later"]["memory_bytes"] > 0
    wait_state(models, "later", "sleeping")
    assert ask(models, "later").status_code == 200


def test_changes_are_in_the_audit_log(models: Server):
    control(models, "swap", "swapped")
    actions = [r for r in models.audit() if r["action"] == "model.swap"]
    assert {"intent", "result"} <= {record["phase"] for record in actions}


def test_reload_adds_changes_and_removes_models(make_server):
    server = make_server(configuration({"name": "stays"}, {"name": "goes"})).start()
    wait_state(server, "stays", "ready")
    wait_state(server, "goes", "ready")
    stream = RunningStream(server, server.shared_key("user"), 300, model="goes")
    kept = RunningStream(server, server.shared_key("user"), 300, model="stays")
    stream.wait_begun()
    kept.wait_begun()
    server.configure(configuration({"name": "stays", "cells": 2048}, {"name": "comes"}))
    server.signal(signal.SIGHUP)
    wait_for("the list has changed", lambda: set(states(server)) == {"stays", "comes"})
    wait_state(server, "comes", "ready")
    check_error(ask(server, "goes"), 404, "model_not_found", "model")
    wait_for("the changed one is swapped", lambda: states(server)["stays"]["loads"] == 2, 60)
    assert states(server)["stays"]["replicas"][0]["cells_total"] == 2048
    for running in (stream, kept):
        running.join()
        assert running.done and running.error is None and running.broken is None
    for name in ("stays", "comes"):
        assert ask(server, name).status_code == 200
    server.stop()


def test_model_that_does_not_fit_is_refused_with_numbers(make_server):
    server = make_server(configuration({"name": "big", "load": "demand"},
                                       memory={"budget_mib": 50})).start()
    refused = ask(server, "big")
    error = check_error(refused, 503, "model_no_memory")
    assert "50 MiB" in error["message"] and "memory.budget_mib" in error["message"]
    assert int(refused.headers["retry-after"]) > 0
    server.stop()


def test_first_estimate_counts_the_kv_memory(make_server):
    """SmolLM2 keeps 23,040 bytes a token: 98 MB of weights and 64 MiB fit into 200 MiB, and so do
    1024 tokens; 8192 tokens do not. Neither was ever loaded here."""
    server = make_server(configuration(
        {"name": "little", "load": "demand", "cells": 1024, "idle_unload_s": 3600},
        {"name": "much", "load": "demand", "cells": 8192, "idle_unload_s": 3600},
        memory={"budget_mib": 200})).start()
    refused = ask(server, "much")
    message = check_error(refused, 503, "model_no_memory")["message"]
    needs = re.search(r"needs about (\d+) MiB", message)
    assert needs, message
    expected = model_file().stat().st_size / 2**20 + 64 + 8192 * 23040 / 2**20
    assert abs(int(needs[1]) - expected) < 2
    assert ask(server, "little").status_code == 200
    server.stop()


def metrics(server: Server) -> dict[str, list]:
    with server.http(server.shared_key("operator")) as client:
        answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = list(text_string_to_metric_families(answer.text))
    samples: dict[str, list] = {}
    for family in families:
        assert family.documentation and family.type != "unknown", family.name
        for sample in family.samples:
            samples.setdefault(sample.name, []).append(sample)
    return samples


def value(samples: dict[str, list], name: str, **labels: str) -> float:
    found = [s.value for s in samples[name] if labels.items() <= s.labels.items()]
    assert found, f"{name} {labels} is not there"
    return sum(found)


def test_metrics_tell_what_happened(models: Server):
    with models.http() as client:
        check_error(client.get("/metrics"), 401, "missing_api_key")
    wait_state(models, "swapped", "ready")
    for _ in range(3):
        assert ask(models, "swapped").status_code == 200

    def counted() -> bool:
        return value(metrics(models), "deepmoat_finished_total", model="swapped") >= 3
    wait_for("the worker has told its figures", counted)
    samples = metrics(models)
    assert value(samples, "deepmoat_calls_total", route="chat.completions", status="2xx") >= 3
    assert value(samples, "deepmoat_generated_tokens_total", model="swapped") >= 3
    assert value(samples, "deepmoat_first_token_seconds_count", model="swapped") >= 3
    assert value(samples, "deepmoat_worker_ready", model="twins") == 2
    assert value(samples, "deepmoat_cells_total", model="twins", replica="1") > 0
    assert value(samples, "deepmoat_calls_in_flight") == 0
    assert value(samples, "vllm:generation_tokens_total", model_name="swapped") == value(
        samples, "deepmoat_generated_tokens_total", model="swapped")
    for name in ("vllm:num_requests_running", "vllm:num_requests_waiting",
                 "vllm:kv_cache_usage_perc", "vllm:prefix_cache_queries_total",
                 "vllm:prefix_cache_hits_total", "vllm:num_preemptions_total",
                 "vllm:prompt_tokens_total", "vllm:request_success_total",
                 "vllm:time_to_first_token_seconds_bucket",
                 "vllm:inter_token_latency_seconds_bucket",
                 "vllm:request_queue_time_seconds_bucket"):
        assert value(samples, name, model_name="swapped") >= 0
    page = json.dumps({name: [s.labels for s in found] for name, found in samples.items()})
    assert "test-user" not in page and "default" not in page
