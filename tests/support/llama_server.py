"""llama-server, built from the same source as our engine, with the same model and CPU variant."""

import os
import shutil
import subprocess
from pathlib import Path

import httpx

from support.program import free_port
from support.server import READY_WAIT_S, wait_for

CPU_PREFIX = "libggml-cpu-"


def llama_server_program() -> Path:
    path = os.environ.get("DEEPMOAT_LLAMA_SERVER")
    if not path:
        raise RuntimeError("DEEPMOAT_LLAMA_SERVER must name llama-server; ./test sets it")
    return Path(path)


def with_one_variant(folder: Path, variant: str) -> Path:
    """A copy of the program beside the one CPU variant that our worker chose. Of all of them it
    would take the newest that the CPU claims to have, and on some machines dies of that."""
    source = llama_server_program()
    folder.mkdir(parents=True)
    for library in sorted(source.parent.glob("*.so*")):
        other_variant = library.name.startswith(CPU_PREFIX) and \
            library.name != f"{CPU_PREFIX}{variant}.so"
        if not other_variant:
            (folder / library.name).symlink_to(library.resolve())
    if variant and not (folder / f"{CPU_PREFIX}{variant}.so").exists():
        raise RuntimeError(f"llama-server's folder has no CPU variant {variant}")
    return Path(shutil.copy2(source, folder / source.name))


class LlamaServer:
    def __init__(self, folder: Path, model: Path, variant: str, flags: tuple[str, ...] = ()):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "llama-server.log"
        self._program = with_one_variant(folder / "bin", variant)
        self._command = [self._program, "-m", model, "--host", "127.0.0.1", "--port",
                         str(self.port), "-t", str(os.cpu_count()), "-tb", str(os.cpu_count()),
                         "--no-webui", *flags]
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "LlamaServer":
        environment = dict(os.environ, GOMP_SPINCOUNT="0", OMP_WAIT_POLICY="passive",
                           LD_LIBRARY_PATH=str(self._program.parent))
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL,
                                            stdout=output, stderr=output, env=environment)
        try:
            wait_for("llama-server is ready", self._is_ready, READY_WAIT_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            text = self.log.read_text(encoding="utf-8", errors="replace")
            raise AssertionError(f"llama-server ended with {self.process.returncode}:\n"
                                 f"{text[-2000:]}")
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def post(self, path: str, body: dict) -> dict:
        answer = httpx.post(self.url + path, json=body, timeout=300)
        assert answer.status_code == 200, answer.text
        return answer.json()
