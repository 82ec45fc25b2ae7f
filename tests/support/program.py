"""The built program and what the environment says about it."""

import os
import socket
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND_WAIT_S = 120


def program() -> Path:
    return Path(os.environ.get("DEEPMOAT_BIN") or ROOT / "build" / "release" / "deepmoat")


def model_file() -> Path:
    """The demo model; without a model an end-to-end test cannot say anything."""
    path = os.environ.get("DEEPMOAT_MODEL")
    if not path:
        raise RuntimeError("DEEPMOAT_MODEL must name a GGUF file; ./test sets it")
    return Path(path)


def environment(**more: str) -> dict[str, str]:
    """This environment without what would configure the server behind the test's back."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEEPMOAT_")}
    return {**kept, **more}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def command(*arguments: object, check: bool = True, wait_s: float = COMMAND_WAIT_S,
            **more: str) -> subprocess.CompletedProcess:
    """Runs `deepmoat ARGUMENTS`; `more` are variables of its environment."""
    done = subprocess.run([program(), *map(str, arguments)], capture_output=True, text=True,
                          check=False, timeout=wait_s, stdin=subprocess.DEVNULL,
                          env=environment(**more))
    if check and done.returncode != 0:
        shown = " ".join(map(str, arguments[:2]))
        raise AssertionError(f"`deepmoat {shown}` ended with {done.returncode}: {done.stderr}")
    return done
