#!/usr/bin/env python3
"""Kill, or fail, a roll of the envelope inside each of its system calls, by strace's injection.

    tests/chaos/envelope_kill.py build/release/envelope_kill_target

Each run rolls generation 1 to the next without the tenant "gone". After it there is exactly one
generation: the old one with every field, or the new one without that tenant's. A roll that said it
was done is done. Exits 0 when all runs held.
"""
import collections
import pathlib
import shutil
import subprocess
import sys
import tempfile

# Each sweep ends by itself at the first run that the injection did not reach any more.
KILLS = ["openat", "write", "pwrite64", "fchmod", "fsync", "rename", "unlink", "close", "read",
         "getrandom", "getdents64"]
ERRORS = [("openat", "EIO"), ("pwrite64", "EIO"), ("pwrite64", "ENOSPC"), ("pwrite64", "EINTR"),
          ("fsync", "EIO"), ("rename", "EIO"), ("unlink", "EIO"), ("getrandom", "ENOSYS")]
MOST = 400


def call(target: str, command: str, folder: pathlib.Path) -> subprocess.CompletedProcess:
    return subprocess.run([target, command, str(folder)], capture_output=True, text=True,
                          timeout=60, check=False)


def roll_injected(target: str, folder: pathlib.Path, injection: str) -> tuple[bool, bool, bool]:
    """Whether the injection was reached, the roll reported its generation, and ended well."""
    trace = folder / "trace"
    done = subprocess.run(["strace", "-f", "-qq", "-o", str(trace), "-e",
                           f"trace={injection.split(':', maxsplit=1)[0]}", "-e",
                           f"inject={injection}", target, "roll", str(folder)],
                          capture_output=True, text=True, timeout=60, check=False)
    text = trace.read_text(encoding="utf-8", errors="replace")
    reached = "INJECTED" in text or "killed by SIGKILL" in text
    return reached, done.stdout.strip().isdigit(), done.returncode == 0


def check(target: str, folder: pathlib.Path, what: str) -> int:
    """The generation that is there, whole and alone."""
    done = call(target, "check", folder)
    if done.returncode != 0:
        sys.exit(f"{what}: not whole afterwards:\n{done.stdout}{done.stderr}")
    return int(done.stdout.split()[0])


def run_once(target: str, begun: pathlib.Path, injection: str) -> tuple[bool, int]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "data"
        shutil.copytree(begun, folder)
        reached, reported, ended_well = roll_injected(target, folder, injection)
        generation = check(target, folder, injection)
        if reported and generation == 1:
            sys.exit(f"{injection}: the roll said that it was done, and was not")
        if not reached and not ended_well:
            sys.exit(f"{injection}: the roll failed without an injection")
        # And it goes on from there.
        again = call(target, "roll", folder)
        if again.returncode != 0 or check(target, folder, injection) <= generation:
            sys.exit(f"{injection}: no roll afterwards: {again.stdout}")
        return reached, generation


def main() -> None:
    target = sys.argv[1]
    runs, after = 0, collections.Counter()
    with tempfile.TemporaryDirectory() as scratch:
        begun = pathlib.Path(scratch) / "begun"
        begun.mkdir()
        if call(target, "begin", begun).returncode != 0 or check(target, begun, "begin") != 1:
            sys.exit("the folder to start from could not be made")
        sweeps = [(name, "signal=SIGKILL") for name in KILLS]
        sweeps += [(name, f"error={error}") for name, error in ERRORS]
        for name, action in sweeps:
            for when in range(1, MOST + 1):
                reached, generation = run_once(target, begun, f"{name}:{action}:when={when}")
                if not reached:
                    break
                runs += 1
                after["old" if generation == 1 else "new"] += 1
            else:
                sys.exit(f"{name}: more than {MOST} calls: raise MOST")
            print(f"{name} {action}: {when - 1} runs held", flush=True)
    if not after["old"] or not after["new"]:
        sys.exit("the injections did not hit both sides of the roll")
    print(f"envelope_kill: {runs} runs held; generation 1 after {after['old']}, the next after "
          f"{after['new']}")


if __name__ == "__main__":
    main()
