#!/usr/bin/env python3
"""Kill, or fail, the audit log inside every one of its system calls, by strace's injection.

    tests/chaos/audit_kill.py build/release/audit_kill_target

The target appends records over several segments, prints each acknowledged sequence, and takes
checkpoints to a second place; or deletes the text of expired records. Each system call of such a
run is killed or made to fail once. After each run the independent verifier holds every acknowledged
record, the chain, the roots of all checkpoints and the tiles to each other, and a new run goes on.
Exits 0 when all runs held, and says how many torn tails there were.
"""
import collections
import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

RECORDS = 40
CALLS = ["pwrite64", "fdatasync", "fsync", "rename", "openat", "unlink"]
KILL = "signal=SIGKILL"
ERRORS = {"pwrite64": ["EIO", "ENOSPC", "EINTR"], "fdatasync": ["EIO"],
          "fsync": ["EIO", "ENOSPC"], "rename": ["EIO"], "openat": ["EIO", "ENOSPC"],
          "unlink": ["EIO"]}
SPARE = 3  # threads make the number of calls vary


class Broken(Exception):
    """What must never be, with the run that showed it."""


def traced(options: list[str], target: str, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(["strace", "-f", "-qq", *options, target, *map(str, arguments)],
                          capture_output=True, text=True, timeout=60, check=False)


def count_calls(target: str, *arguments) -> collections.Counter:
    """How often a run without faults makes each of CALLS."""
    with tempfile.NamedTemporaryFile("r") as trace:
        done = traced(["-o", trace.name, "-e", "trace=" + ",".join(CALLS)], target, *arguments)
        if done.returncode != 0:
            raise Broken(f"a run without faults failed: {done.stdout}")
        return collections.Counter(re.findall(r"^\d+ +(\w+)\(", trace.read(), re.MULTILINE))


def acknowledged_by(done: subprocess.CompletedProcess) -> int:
    lines = [line for line in done.stdout.split("\n")[:-1] if line.isdigit()]
    return int(lines[-1]) if lines else 0


def verified(target: str, folder: pathlib.Path) -> tuple[int, bool, int]:
    """Good records, whether the tail is torn, and records without text."""
    if not folder.exists():
        return 0, False, 0
    done = subprocess.run([target, "verify", str(folder)], capture_output=True, text=True,
                          timeout=60, check=False)
    if done.returncode != 0:
        raise Broken(f"audit log broken:\n{done.stdout}{done.stderr}")
    records, torn, stubs = done.stdout.split("\n")[0].split()
    return int(records), torn == "1", int(stubs)


def plain(target: str, *arguments) -> int:
    done = subprocess.run([target, *map(str, arguments)], capture_output=True, text=True,
                          timeout=60, check=False)
    if done.returncode != 0:
        raise Broken(f"a new run did not go on: {done.stdout}")
    return acknowledged_by(done)


def check_append(target: str, injection: str, scratch: pathlib.Path) -> tuple[bool, bool]:
    folder = scratch / "audit"
    (scratch / "audit-second").mkdir()
    done = traced(["-o", "/dev/null", "-e", f"inject={injection}"], target, "append", folder,
                  RECORDS)
    records, torn, _ = verified(target, folder)
    acknowledged = acknowledged_by(done)
    if records < acknowledged:
        raise Broken(f"{acknowledged} acknowledged, {records} there")
    last = plain(target, "append", folder, RECORDS)
    records, still_torn, _ = verified(target, folder)
    if still_torn or records != last or last < acknowledged + RECORDS:
        raise Broken(f"after it {records=} {last=} {still_torn=} {acknowledged=}")
    return done.returncode != 0, torn


def check_retain(target: str, injection: str, scratch: pathlib.Path, log: pathlib.Path,
                 expected: tuple[int, int]) -> tuple[bool, bool]:
    shutil.copytree(log, scratch, dirs_exist_ok=True)
    folder = scratch / "audit"
    done = traced(["-o", "/dev/null", "-e", f"inject={injection}"], target, "retain", folder)
    records, torn, stubs = verified(target, folder)
    if records != expected[0] or stubs > expected[1] or torn:
        raise Broken(f"{records=} {stubs=} {torn=}, not {expected}")
    plain(target, "retain", folder)
    if verified(target, folder) != (expected[0], False, expected[1]):
        raise Broken("a new run did not finish it")
    plain(target, "append", folder, RECORDS)
    if verified(target, folder)[0] != expected[0] + RECORDS:
        raise Broken("the log does not go on")
    return done.returncode != 0, False


def sweep(what: str, calls: collections.Counter, check) -> collections.Counter:
    """Each call of a run, with each fault; two at a time."""
    total = collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for call in CALLS:
            if calls[call] == 0:
                continue
            faults = [KILL, *[f"error={error}" for error in ERRORS[call]]]
            for fault in faults:
                injections = [f"{call}:{fault}:when={when}"
                              for when in range(1, calls[call] + SPARE + 1)]
                for cut, torn in pool.map(check, injections):
                    total.update(runs=1, cut=int(cut), torn=int(torn))
                print(f"{what}: {call} {fault}: {len(injections)} runs held", flush=True)
    return total


def in_scratch(check):
    def run(injection: str):
        with tempfile.TemporaryDirectory() as scratch:
            try:
                return check(injection, pathlib.Path(scratch))
            except Broken as broken:
                raise Broken(f"{injection}: {broken}") from broken
    return run


def main() -> None:
    target = sys.argv[1]
    with tempfile.TemporaryDirectory() as scratch:
        base = pathlib.Path(scratch)
        (base / "audit-second").mkdir()
        calls = count_calls(target, "append", base / "audit", RECORDS)
        appended = sweep("append", calls,
                         in_scratch(lambda i, s: check_append(target, i, s)))
        copy = base.with_name(base.name + "-copy")
        shutil.copytree(base, copy)
        try:
            calls = count_calls(target, "retain", copy / "audit")
            records, _, stubs = verified(target, copy / "audit")
        finally:
            shutil.rmtree(copy)
        if stubs == 0:
            raise Broken("there was nothing to delete")
        retained = sweep("retain", calls, in_scratch(
            lambda i, s: check_retain(target, i, s, base, (records, stubs))))
    total = appended + retained
    print(f"audit_kill: {total['runs']} runs held, {total['cut']} of them cut short, "
          f"{total['torn']} torn tails repaired")


if __name__ == "__main__":
    try:
        main()
    except Broken as problem:
        sys.exit(f"audit_kill: {problem}")
