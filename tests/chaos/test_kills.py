"""kill -9 of the worker and of the gateway, under load: every promise that was given holds."""

import os
import random
import signal
import threading
import time

import httpx
from support import processes
from support.chat import LONG_STORY, RunningStream, body
from support.program import model_file
from support.raw_http import RawConnection, request
from support.server import Server, wait_for

CHAT = "/v1/chat/completions"
STREAMS = 20
GATEWAY_KILLS = 20
CALLERS = 6


def test_worker_killed_in_the_middle_of_20_streams(fresh_server: Server):
    server = fresh_server
    key = server.shared_key("user")
    # Stages of life: some have all, some have begun, some have not had their first token.
    streams = [RunningStream(server, key, 4 if number % 5 == 0 else 200, seed=number)
               for number in range(STREAMS)]
    for stream in streams[:STREAMS // 2]:
        stream.wait_begun()
    restarts = server.model_status()["restarts"]
    worker, = server.workers()
    os.kill(worker.pid, signal.SIGKILL)
    with server.http(key) as client:
        assert client.get("/livez").status_code == 200
        after = client.post(CHAT, json=body())
    assert after.status_code == 200, after.text
    for stream in streams:
        stream.join()
        assert stream.status == 200
        assert stream.done or (stream.error and stream.error["code"] == "worker_crashed"), \
            (stream.text, stream.error, stream.broken)
        assert not (stream.done and stream.error)
    assert any(stream.error for stream in streams), "the kill came after everything had ended"
    for stream in streams:
        outcome = "success" if stream.done else "failed"
        assert server.result_of(stream.request_id)["outcome"] == outcome
    model = server.model_status()
    assert model["restarts"] == restarts + 1 and model["health"] == "ready"
    assert "signal 9" in model["last_failure"]
    server.wait_idle()
    assert not processes.alive(worker)
    server.stop()


def test_call_without_its_first_byte_runs_again(fresh_server: Server):
    """A caller that has received nothing does not notice the worker's end."""
    server = fresh_server
    long_prompt = " ".join(f"Item {number} costs {number * 7} coins." for number in range(120))
    answers: list[httpx.Response] = []

    def call() -> None:
        with server.http(server.shared_key("user")) as client:
            answers.append(client.post(CHAT, json=body(long_prompt, max_tokens=4)))

    server.shared_key("user")
    restarts = server.model_status()["restarts"]
    caller = threading.Thread(target=call)
    caller.start()
    wait_for("the call runs", lambda: server.status()["calls_running"] == 1)
    os.kill(server.workers()[0].pid, signal.SIGKILL)
    caller.join(120)
    assert answers[0].status_code == 200, answers[0].text
    assert server.model_status()["restarts"] == restarts + 1
    server.stop()


def test_call_that_kills_the_worker_again_and_again_is_refused(fresh_server: Server):
    server = fresh_server
    key = server.shared_key("user")
    poison = {"temperature": 1.0, "top_p": 0.5}
    for _ in range(2):
        restarts = server.model_status()["restarts"]
        stream = RunningStream(server, key, 300, **poison)
        stream.wait_begun()
        os.kill(server.workers()[0].pid, signal.SIGSEGV)
        stream.join()
        assert stream.error and stream.error["code"] == "worker_crashed"
        wait_for("the worker is back", lambda count=restarts: restarted(server, count), 120)
    with server.http(key) as client:
        refused = client.post(CHAT, json=body(
            LONG_STORY, max_tokens=300, stream=True, ignore_eos=True, **poison))
        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "request_quarantined"
        assert client.post(CHAT, json=body("Something else.")).status_code == 200
    server.stop()


def test_a_new_worker_holds_none_of_the_gateway_s_connections(make_server):
    """Else a worker has a network after all, and a connection that the gateway closes stays."""
    server = make_server({"server": {"idle_timeout_s": 2}}, model=model_file()).start()
    restarts = server.model_status()["restarts"]
    with RawConnection(server.http_port, 20) as idle:
        idle.send(request("GET", "/livez", None))
        assert idle.answer().status == 200
        os.kill(server.workers()[0].pid, signal.SIGKILL)
        assert idle.at_end()
    wait_for("the worker is back", lambda: restarted(server, restarts), 120)
    server.stop()


def restarted(server: Server, before: int) -> bool:
    """Once more than `before`; a first start may count some, until a safe CPU variant is found."""
    model = server.model_status()
    return model["restarts"] == before + 1 and model["health"] == "ready"


class Load:
    """Callers that note the request ids of the answers that they received whole."""

    def __init__(self, server: Server):
        self.acknowledged: list[str] = []
        self._server = server
        self._key = server.shared_key("user")
        self._trust = server.trust()
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(number,), daemon=True)
                         for number in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def _call(self, number: int) -> None:
        while not self._end.is_set():
            try:
                with httpx.Client(base_url=self._server.url, verify=self._trust, timeout=60,
                                  headers={"authorization": f"Bearer {self._key}"},
                                  trust_env=False) as client:
                    while not self._end.is_set():
                        self._call_once(client, number)
            except httpx.TransportError:
                self._end.wait(0.02)

    def _call_once(self, client: httpx.Client, number: int) -> None:
        if number % 3 == 0:
            answer = client.get("/v1/models")
            whole = True
        else:
            stream = number % 3 == 1
            answer = client.post(CHAT, json=body(f"Count from {number}.", max_tokens=3,
                                                 stream=stream))
            whole = not stream or answer.text.endswith("data: [DONE]\n\n")
        if answer.status_code == 200 and whole:
            self.acknowledged.append(answer.headers["x-request-id"])

    def end(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive()


def test_gateway_killed_at_20_random_moments(fresh_server: Server):
    """The server lives between half a moment and a few seconds each time; starting counts too."""
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"seed: CHAOS_SEED={seed}")
    moments = random.Random(seed)
    server = fresh_server
    load = Load(server)
    orphans: list[processes.Process] = []
    wait_for("some calls are acknowledged", lambda: len(load.acknowledged) > 10, 120)
    for kill in range(GATEWAY_KILLS):
        time.sleep(moments.uniform(0.05, 3.0))
        orphans += server.workers()
        server.kill()
        if kill % 5 == 4:
            server.verify()
        server.launch()
    wait_for("the server is ready", server.is_ready, 180)
    enough = len(load.acknowledged) + 5
    wait_for("calls are acknowledged again", lambda: len(load.acknowledged) >= enough, 120)
    load.end()
    records = server.audit()
    results = {r["request_id"] for r in records if r["phase"] == "result"}
    lost = [one for one in load.acknowledged if one not in results]
    assert not lost, f"{len(lost)} of {len(load.acknowledged)} acknowledged calls are lost: {lost}"
    assert [r["sequence"] for r in records] == list(range(1, len(records) + 1))
    assert len(orphans) >= GATEWAY_KILLS // 2
    wait_for("no worker outlives its gateway",
             lambda: not [w for w in orphans if processes.alive(w)], 30)
    server.stop()
