#!/usr/bin/env python3
"""Installs the Debian packages of tools/packages.txt that are missing; nothing when none is.

As root, or through `sudo -n`. When neither works it prints the command for somebody who may. Never
asks a question. Standard library only: this is the first thing that runs on a fresh machine.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import packages  # noqa: E402
from packages import Problem, Progress, say  # noqa: E402

LIST = Path(__file__).resolve().parent / "packages.txt"
LOCK_WAIT_S = 600  # another apt (unattended upgrades of a new machine) may hold the lock


def wanted_packages(text: str) -> list[str]:
    lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def missing_packages(wanted: list[str]) -> list[str]:
    shown = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\n", *wanted],
                           capture_output=True, text=True, check=False)
    installed = {line.split()[0] for line in shown.stdout.splitlines()
                 if len(line.split()) == 2 and line.split()[1] == "ii"}
    return [name for name in wanted if name not in installed]


def prefix_for_root() -> list[str] | None:
    """What to put before a command so that it runs as root without asking; None: impossible."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo"):
        allowed = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)
        if allowed.returncode == 0:
            return ["sudo", "-n"]
    return None


def apt(root: list[str], *arguments: str) -> list[str]:
    return [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y",
            "-o", f"DPkg::Lock::Timeout={LOCK_WAIT_S}", "-o", "Acquire::Retries=3",
            "-o", "Dpkg::Use-Pty=0", *arguments]


def install(missing: list[str]) -> None:
    by_hand = f"apt-get update && apt-get install -y --no-install-recommends {' '.join(missing)}"
    if shutil.which("apt-get") is None:
        raise Problem("This is not a Debian machine (no apt-get). Deepmoat is built on Debian 12; "
                      f"its packages are named in {LIST}")
    root = prefix_for_root()
    if root is None:
        raise Problem(f"{len(missing)} packages are missing, and installing them needs root. "
                      f"Run as root, then run this again:\n\n  {by_hand}\n")
    with tempfile.NamedTemporaryFile("w", prefix="deepmoat-apt-", suffix=".log",
                                     delete=False) as handle:
        log = Path(handle.name)
    progress = Progress(f"{len(missing)} Debian packages")
    try:
        install_command = apt(root, "install", "--no-install-recommends", *missing)
        try:
            packages.run_logged(apt(root, "update"), log, progress)
            packages.run_logged(install_command, log, progress)
        except Problem:
            # Once more: a mirror that changed while we read it is the usual cause.
            packages.run_logged(apt(root, "update"), log, progress)
            packages.run_logged(install_command, log, progress)
    except Problem as problem:
        raise Problem(f"{problem}\nTo see it yourself, as root:\n\n  {by_hand}\n") from problem
    log.unlink()
    progress.close("installed")


def ensure_installed() -> int:
    """Returns how many packages had to be installed."""
    missing = missing_packages(wanted_packages(LIST.read_text(encoding="utf-8")))
    if missing:
        install(missing)
    return len(missing)


def main() -> int:
    packages.terminate_like_interrupt()
    try:
        ensure_installed()
    except Problem as problem:
        say(f"install: {problem}")
        return 1
    except KeyboardInterrupt:
        say("\ninstall: interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
