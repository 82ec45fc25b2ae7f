"""Configures and builds one CMake preset, with progress. Used by ./up and ./test."""

import os
from pathlib import Path

import packages
from packages import Progress

ROOT = Path(__file__).resolve().parent.parent
JOB_BYTES = 1_500_000_000  # what one compiler of our heaviest file needs


def job_count() -> int:
    """One compiler a core, fewer when memory is short: a build that swaps is the slowest."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(len(os.sched_getaffinity(0)), memory_bytes // JOB_BYTES))


def build(preset: str, targets: list[str], options: list[str] | None = None) -> Path:
    """Builds `targets` (empty: all) of `preset` and returns the build folder. The output is in
    build/<preset>/build.log; its tail is part of the error."""
    folder = ROOT / "build" / preset
    folder.mkdir(parents=True, exist_ok=True)
    with packages.locked(folder / "lock", f"build of '{preset}'"):
        log = folder / "build.log"
        log.unlink(missing_ok=True)
        progress = Progress(f"build '{preset}'")
        env = dict(os.environ, NINJA_STATUS="[%p] ")
        packages.run_logged(["cmake", "--preset", preset, *(options or [])], log, progress,
                            env=env, cwd=ROOT)
        packages.run_logged(["ninja", "-C", str(folder), f"-j{job_count()}", *targets], log,
                            progress, env=env)
        progress.close("done")
    return folder
