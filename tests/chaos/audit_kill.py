#!/usr/bin/env python3
"""Kill, or fail, the audit log inside every one of its system calls, by strace's injection.

    tests/chaos/audit_kill.py build/release/audit_kill_target

The target appends records, prints each acknowledged sequence, and with `verify` checks the log.
After each run: every acknowledged record is there, the chain verifies, and a new run goes on.
Exits 0 when all runs held, and says how many torn tails there were.
"""
import pathlib
import subprocess
import sys
import tempfile

RECORDS = 40
KILLS = [("pwrite64", 60), ("fdatasync", 50), ("fsync", 12), ("rename", 5), ("openat", 40)]
ERRORS = [("pwrite64", "EIO", 50), ("pwrite64", "ENOSPC", 50), ("pwrite64", "EINTR", 30),
          ("fdatasync", "EIO", 45), ("fsync", "EIO", 10), ("rename", "EIO", 5)]


def run(target: str, folder: pathlib.Path, injection: str) -> tuple[int, int]:
    """Exit status and the last acknowledged sequence."""
    done = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={injection}",
                           target, "append", str(folder), str(RECORDS)],
                          capture_output=True, text=True, timeout=60, check=False)
    lines = [line for line in done.stdout.split("\n")[:-1] if line.isdigit()]
    return done.returncode, int(lines[-1]) if lines else 0


def records_of(target: str, folder: pathlib.Path) -> tuple[int, bool]:
    """Good records and whether the tail is torn; stops the program when the chain is not whole."""
    done = subprocess.run([target, "verify", str(folder)], capture_output=True, text=True,
                          timeout=60, check=False)
    if done.returncode != 0:
        sys.exit(f"audit log broken in {folder}:\n{done.stdout}{done.stderr}")
    records, torn = done.stdout.split("\n")[0].split()
    return int(records), torn == "1"


def check(target: str, call: str, action: str, when: int) -> tuple[bool, bool]:
    """One run with one injection, judged: whether it was cut short, and left a torn tail."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "audit"
        status, acknowledged = run(target, folder, f"{call}:{action}:when={when}")
        torn = False
        if folder.exists():
            records, torn = records_of(target, folder)
            if records < acknowledged:
                sys.exit(f"{call} {action} {when}: {acknowledged} acknowledged, {records} there")
        again, last = rerun(target, folder)
        records, still_torn = records_of(target, folder)
        if again != 0 or still_torn or records != last or last < acknowledged + RECORDS:
            sys.exit(f"{call} {action} {when}: after it {again=} {records=} {last=} {status=}")
        return status != 0, torn


def rerun(target: str, folder: pathlib.Path) -> tuple[int, int]:
    """A run without injection."""
    done = subprocess.run([target, "append", str(folder), str(RECORDS)], capture_output=True,
                          text=True, timeout=60, check=False)
    lines = done.stdout.split()
    return done.returncode, int(lines[-1]) if lines else 0


def main() -> None:
    target = sys.argv[1]
    runs = cut = torn = 0
    sweeps = [(call, "signal=SIGKILL", most) for call, most in KILLS]
    sweeps += [(call, f"error={error}", most) for call, error, most in ERRORS]
    for call, action, most in sweeps:
        for when in range(1, most + 1):
            was_cut, was_torn = check(target, call, action, when)
            runs, cut, torn = runs + 1, cut + was_cut, torn + was_torn
        print(f"{call} {action}: {most} runs held", flush=True)
    print(f"audit_kill: {runs} runs held, {cut} of them cut short, {torn} torn tails repaired")


if __name__ == "__main__":
    main()
