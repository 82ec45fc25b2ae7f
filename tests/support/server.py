"""A running `deepmoat serve` with a data folder and ports of its own."""

import json
import signal
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from support import processes
from support.program import command, environment, free_port, model_file, program

READY_WAIT_S = 180
STOP_WAIT_S = 60
CALL_WAIT_S = 300  # a call under load on a machine with few cores
MODEL = "demo"

# Failed keys come from this one address all the time, and 429 is a test of its own.
QUIET_LIMITS = {"limits": {"authentication_failures_per_minute": 1_000_000}}


def toml(sections: dict[str, Any]) -> str:
    """A section is a table of keys, or a list of such tables ([[model]], [[tenant]])."""
    text = ""
    for section, content in sections.items():
        tables, head = (content, f"[[{section}]]") if isinstance(content, list) \
            else ([content], f"[{section}]")
        for keys in tables:
            text += f"{head}\n"
            text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    return text


def wait_for(what: str, condition: Callable[[], Any], wait_s: float = 30,
             every_s: float = 0.05) -> Any:
    """Waits until `condition` gives something true, and returns that."""
    end_s = time.monotonic() + wait_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end_s:
            raise AssertionError(f"not within {wait_s} s: {what}")
        time.sleep(every_s)


class Server:
    """`model` None: a server without any. `settings`: sections of its configuration file."""

    def __init__(self, folder: Path, settings: dict[str, Any] | None = None,
                 model: Path | None = None, flags: tuple[str, ...] = ()):
        folder.mkdir(parents=True, exist_ok=True)
        self.data = folder / "data"
        self.log = folder / "serve.log"
        self.config = folder / "deepmoat.toml"
        self.port, self.http_port = free_port(), free_port()
        self.url = f"https://localhost:{self.port}"
        self.http_url = f"http://127.0.0.1:{self.http_port}"
        self.ca = self.data / "tls" / "ca.crt"
        self.model, self.flags = model, flags
        self.process: subprocess.Popen | None = None
        self._keys: dict[str, str] = {}
        self.configure(settings or {})

    def configure(self, settings: dict[str, Any]) -> None:
        merged = {section: dict(keys) for section, keys in QUIET_LIMITS.items()}
        for section, keys in settings.items():
            if isinstance(keys, list):
                merged[section] = keys
            else:
                merged.setdefault(section, {}).update(keys)
        merged.setdefault("server", {}).update(
            https_address="127.0.0.1", https_port=self.port, http_port=self.http_port)
        self.config.write_text(toml(merged), encoding="utf-8")

    # Life

    def launch(self) -> "Server":
        """Starts it and does not wait."""
        model_flags = ("--model-path", self.model, "--model-name", MODEL) if self.model else ()
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(
                [program(), "serve", "--data", self.data, "--config", self.config, *model_flags,
                 *self.flags], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env=environment(), start_new_session=True)
        return self

    def start(self) -> "Server":
        return self.launch().wait_ready()

    def wait_ready(self) -> "Server":
        wait_for("the server is ready", self.is_ready, READY_WAIT_S)
        return self

    def is_ready(self) -> bool:
        """Fails when the server has ended."""
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.tail()}")
        try:
            return httpx.get(f"{self.http_url}/readyz", timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    @property
    def pid(self) -> int:
        return self.process.pid

    def workers(self) -> list[processes.Process]:
        """The processes that it has started; it starts nothing but workers."""
        return processes.children_of(self.pid)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait_end(self, wait_s: float = STOP_WAIT_S) -> int:
        return self.process.wait(wait_s)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """A clean end: SIGTERM, status 0, an audit log that verifies, no worker left behind."""
        workers = self.workers()
        self.signal(signal.SIGTERM)
        try:
            status = self.wait_end()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"no end within {STOP_WAIT_S} s of SIGTERM:\n{self.tail()}") \
                from None
        assert status == 0, f"status {status} after SIGTERM:\n{self.tail()}"
        assert not [worker for worker in workers if processes.alive(worker)], "a worker lives on"
        self.verify()

    def discard(self) -> None:
        """For the end of a test that may have failed anywhere: nothing keeps running."""
        if self.process is not None and self.process.poll() is None:
            workers = self.workers()
            self.kill()
            wait_for("its workers are gone",
                     lambda: not [w for w in workers if processes.alive(w)], 30)

    # Keys

    def key(self, role: str = "user", client: str | None = None, *more: str) -> str:
        made = command("key", "create", "--client-id", client or f"test-{role}", "--role", role,
                       "--data", self.data, *more)
        lines = made.stdout.splitlines()
        assert len(lines) == 1, f"standard output holds {len(lines)} lines, not the key alone"
        return lines[0]

    def shared_key(self, role: str) -> str:
        """One key of this role for all tests that do not change it."""
        if role not in self._keys:
            self._keys[role] = self.key(role)
        return self._keys[role]

    # Calls

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    def http(self, key: str | None = None) -> httpx.Client:
        """A plain client; no key: none is sent."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, verify=self.trust(), timeout=CALL_WAIT_S,
                            headers=headers, trust_env=False)

    def status(self) -> dict:
        with self.http(self.shared_key("admin")) as client:
            answer = client.get("/admin/v1/status")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def model_status(self) -> dict:
        return self.status()["models"][0]

    def wait_idle(self, wait_s: float = 30) -> None:
        def idle() -> bool:
            status = self.status()
            model = status["models"][0]
            return status["calls_running"] == 0 and model["running"] + model["waiting"] == 0
        wait_for("no call runs any more", idle, wait_s)

    # What it wrote

    def audit(self) -> list[dict]:
        shown = command("audit", "tail", "-n", 1_000_000, "--data", self.data)
        return [json.loads(line) for line in shown.stdout.splitlines()]

    def audit_of(self, request_id: str) -> list[dict]:
        return [record for record in self.audit() if record.get("request_id") == request_id]

    def result_of(self, request_id: str) -> dict:
        results = [r for r in self.audit_of(request_id) if r["phase"] == "result"]
        assert len(results) == 1, f"{len(results)} results of one request"
        return results[0]

    def verify(self) -> str:
        done = command("audit", "verify", "--data", self.data, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def tail(self) -> str:
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-30:])

    def log_lines(self) -> list[dict]:
        """Every line it logged; a line that is not JSON fails here."""
        text = self.log.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


def demo_server(folder: Path, settings: dict[str, Any] | None = None) -> Server:
    """A server with the demo model."""
    return Server(folder, settings, model_file())


def every_byte_under(*places: Path) -> bytes:
    """The content of all files below these places, also of a server that runs: it replaces tiles
    and checkpoints meanwhile, so a file that goes away before it is read is looked for anew, under
    the name that it may have got."""
    for _ in range(20):
        try:
            return b"".join(file.read_bytes() for place in places
                            for file in ([place] if place.is_file() else place.rglob("*"))
                            if file.is_file())
        except FileNotFoundError:
            continue
    raise AssertionError(f"files below {places} came and went 20 times while they were read")
