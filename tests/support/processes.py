"""Processes seen through /proc: children, their start times, their memory."""

from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    pid: int
    started_ticks: int  # tells a process from a later one with the same number


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on (the third)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text[text.rindex(")") + 2:].split()


def find(pid: int) -> Process | None:
    """The living process of this number; a zombie has ended."""
    stat = _stat(pid)
    if stat is None or stat[0] in "ZX":
        return None
    return Process(pid, int(stat[19]))


def children_of(parent: int) -> list[Process]:
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        stat = _stat(int(folder.name))
        if stat and int(stat[1]) == parent and stat[0] not in "ZX":
            found.append(Process(int(folder.name), int(stat[19])))
    return found


def alive(process: Process) -> bool:
    return find(process.pid) == process


def memory_kib(pid: int) -> int:
    """Resident memory (VmRSS)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError(f"process {pid} has no VmRSS")


def cpu_seconds(pid: int) -> float:
    """User and system time of all its threads so far."""
    stat = _stat(pid)
    if stat is None:
        raise RuntimeError(f"process {pid} has ended")
    return (int(stat[11]) + int(stat[12])) / 100  # USER_HZ is 100 on Linux
