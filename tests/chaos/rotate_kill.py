#!/usr/bin/env python3
"""Kill a rotation inside every one of its system calls, and fail its writes, by strace's injection.

    tests/chaos/rotate_kill.py build/release/rotate_kill_target

Whatever the moment, the folder is in one of two states: nothing happened, or all of it did (the
one-time password is used up, the old key has its end, one successor is there). In both the old key
works, can be rotated again, and afterwards one successor lives. A key that was shown is there.
Exits 0 when all runs held and both states were seen.
"""
import collections
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

WAIT_S = 60
NO_KILL = {"execve", "exit", "exit_group"}  # before the program, and after it
ERRORS = [("pwrite64", "EIO"), ("pwrite64", "ENOSPC"), ("fdatasync", "EIO"), ("fsync", "EIO"),
          ("ftruncate", "EIO"), ("openat", "EMFILE"), ("unlink", "EIO"), ("write", "EIO")]


def run(*command: object) -> tuple[int, str]:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=WAIT_S, check=False)
    return done.returncode, done.stdout.strip()


def calls_of(target: str, prepared: pathlib.Path, key: list[str]) -> dict[str, int]:
    """How often a rotation makes each system call; strace counts for each thread by itself."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "data"
        shutil.copytree(prepared, folder)
        trace = pathlib.Path(scratch) / "trace"
        status, shown = run("strace", "-f", "-qq", "-o", trace, target, "rotate", folder, *key)
        if status != 0 or not shown.startswith("dmk_"):
            sys.exit(f"a rotation without injection failed: {shown}")
        counts: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
        for line in trace.read_text(encoding="utf-8", errors="replace").splitlines():
            called = re.match(r"(\d+)\s+(\w+)\(", line)
            if called:
                counts[called.group(2)][called.group(1)] += 1
    return {call: max(of_thread.values()) for call, of_thread in sorted(counts.items())
            if call not in NO_KILL}


def check(target: str, prepared: pathlib.Path, key: list[str], injection: str) -> tuple[bool, str]:
    """One run with one injection, judged: whether it was cut short, and the state that it left."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "data"
        shutil.copytree(prepared, folder)
        status, shown = run("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={injection}",
                            target, "rotate", folder, *key)
        acknowledged = [shown] if shown.startswith("dmk_") else []
        judged, state = run(target, "check", folder, *key, *acknowledged)
        if judged != 0 or state not in ("before", "after"):
            sys.exit(f"{injection}: {state}")
        return status != 0, state


def main() -> None:
    target = sys.argv[1]
    states: collections.Counter = collections.Counter()
    cut = 0
    with tempfile.TemporaryDirectory() as scratch:
        prepared = pathlib.Path(scratch) / "prepared"
        prepared.mkdir()
        status, line = run(target, "prepare", prepared)
        if status != 0:
            sys.exit(f"nothing to rotate: {line}")
        key = line.split()
        calls = calls_of(target, prepared, key)
        sweeps = [(call, "signal=SIGKILL", most) for call, most in calls.items()]
        sweeps += [(call, f"error={error}", calls[call]) for call, error in ERRORS if call in calls]
        for call, action, most in sweeps:
            for when in range(1, most + 1):
                was_cut, state = check(target, prepared, key, f"{call}:{action}:when={when}")
                cut += was_cut
                states[state] += 1
            print(f"{call} {action}: {most} runs held", flush=True)
    if not states["before"] or not states["after"]:
        sys.exit(f"only one state was seen: {dict(states)}")
    print(f"rotate_kill: {sum(states.values())} runs held, {cut} of them cut short; "
          f"{states['before']} left the state before, {states['after']} the state after")


if __name__ == "__main__":
    main()
