#!/usr/bin/env python3
"""Measures Deepmoat beside llama-server, and its memory and start; see README.md beside this."""

import argparse
import asyncio
import hashlib
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(Path(__file__).resolve().parent)]
sys.dont_write_bytecode = True
import load  # noqa: E402
from support import processes  # noqa: E402
from support.llama_server import LlamaServer  # noqa: E402
from support.program import model_file  # noqa: E402
from support.server import MODEL, Server, demo_server  # noqa: E402

CASES = [("chat", 1), ("chat", 8), ("chat", 32), ("shared", 16)]
SLOT_TOKENS = 1024
START_ROUNDS = 5


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def quantile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def cpu_of(pids: list[int]) -> float:
    return sum(processes.cpu_seconds(pid) for pid in pids)


def measure(name: str, target: load.Target, pids: list[int], case: tuple[str, int],
            options) -> dict:
    workload, callers = case
    calls = max(callers * options.waves, 4 * options.waves)
    cpu_before_s = cpu_of(pids)
    outcome = asyncio.run(load.closed_loop(target, workload, callers, calls, options.seed))
    row = {"contender": name, "workload": workload, "callers": callers, "calls": outcome.calls,
           "tokens_per_s": outcome.tokens / outcome.wall_s,
           "first_token_p50_ms": quantile(outcome.first_token_s, 0.5) * 1000,
           "first_token_p99_ms": quantile(outcome.first_token_s, 0.99) * 1000,
           "cpu_ms_per_call": (cpu_of(pids) - cpu_before_s) * 1000 / (outcome.calls + 1),
           "cached_tokens_per_call": outcome.cached_tokens / outcome.calls,
           "wall_s": outcome.wall_s}
    say(f"  {name:<20} {workload} x{callers:<3} {row['tokens_per_s']:7.1f} tokens/s, first token "
        f"{row['first_token_p50_ms']:7.0f} / {row['first_token_p99_ms']:7.0f} ms")
    return row


class Round:
    """One round: each contender is started once for each case that it needs a start for."""

    def __init__(self, folder: Path, variant: str, options):
        self.folder, self.variant, self.options = folder, variant, options
        self.rows: list[dict] = []
        self.memory: dict[str, int] = {}

    def deepmoat(self) -> None:
        server = demo_server(self.folder / "deepmoat").start()
        try:
            key = server.shared_key("user")
            self.memory["idle_kib"] = processes.memory_kib(server.pid)
            pids = [server.pid, *(worker.pid for worker in server.workers())]
            target = load.Target(server.http_url, MODEL, key)
            for case in self.options.cases:
                self.rows.append(measure("deepmoat", target, pids, case, self.options))
            self.memory["after_load_kib"] = processes.memory_kib(server.pid)
            server.stop()
        finally:
            server.discard()

    def llama(self, name: str, cases: list[tuple[str, int]], flags: tuple[str, ...]) -> None:
        folder = self.folder / name.replace(" ", "_") / "_".join(flags or ("default",))
        with LlamaServer(folder, model_file(), self.variant, flags) as server:
            target = load.Target(server.url, MODEL)
            for case in cases:
                self.rows.append(measure(name, target, [server.process.pid], case, self.options))

    def run(self) -> None:
        self.deepmoat()
        self.llama("llama-server", self.options.cases, ())
        for case in self.options.cases:
            slots = case[1]
            self.llama("llama-server -np N", [case],
                       ("-np", str(slots), "-c", str(slots * SLOT_TOKENS)))


@contextmanager
def started(server: Server):
    """Starts the server and gives the seconds to its first 200 on /readyz."""
    begun_s = time.monotonic()
    server.launch()
    try:
        while not server.is_ready():
            time.sleep(0.002)
        yield time.monotonic() - begun_s
        server.stop()
    finally:
        server.discard()


def starts(folder: Path) -> dict[str, float]:
    """Median milliseconds to ready."""
    seen: dict[str, list[float]] = {"first_start": [], "without_model": [], "with_model": []}
    memory = []
    for number in range(START_ROUNDS):
        server = Server(folder / f"empty{number}")
        with started(server) as seconds:
            seen["first_start"].append(seconds)
        with started(server) as seconds:
            seen["without_model"].append(seconds)
            memory.append(processes.memory_kib(server.pid))
    with_model = demo_server(folder / "model")
    with started(with_model):
        pass  # computes the model file's hash once
    for _ in range(START_ROUNDS):
        with started(with_model) as seconds:
            seen["with_model"].append(seconds)
    result = {f"{name}_ms": statistics.median(values) * 1000 for name, values in seen.items()}
    return {**result, "memory_without_model_kib": statistics.median(memory)}


def median_rows(rounds: list[list[dict]]) -> list[dict]:
    rows = []
    for same in zip(*rounds, strict=True):
        row = {name: value if isinstance(value, str) else statistics.median(r[name] for r in same)
               for name, value in same[0].items()}
        rows.append(row)
    for row in rows:
        peers = [r for r in rows if (r["workload"], r["callers"]) == (
            row["workload"], row["callers"]) and r["contender"] != "deepmoat"]
        if row["contender"] == "deepmoat" and peers:
            row["ratio_tokens"] = row["tokens_per_s"] / max(p["tokens_per_s"] for p in peers)
            row["ratio_first_token"] = row["first_token_p50_ms"] / min(
                p["first_token_p50_ms"] for p in peers)
    return rows


def machine(variant: str) -> dict:
    cpu = next((line.partition(":")[2].strip()
                for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
                if line.startswith("model name")), platform.machine())
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
                            capture_output=True, text=True, check=False).stdout.strip()
    digest = hashlib.sha256(model_file().read_bytes()).hexdigest()
    return {"cpu": cpu, "cores": os.cpu_count(), "cpu_variant": variant, "commit": commit,
            "model": model_file().name, "model_sha256": digest,
            "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def markdown(result: dict) -> str:
    head = result["machine"]
    lines = [f"{head['cpu']}, {head['cores']} cores, CPU variant {head['cpu_variant']}, "
             f"{head['model']}, commit {head['commit']}, {head['when']}, "
             f"median of {result['rounds']} round(s)", "",
             "| workload | callers | contender | output tokens/s | first token p50 / p99 ms "
             "| CPU ms a call | ratio tokens/s | ratio first token |",
             "|---|---|---|---|---|---|---|---|"]
    for row in sorted(result["rows"], key=lambda r: (r["workload"], r["callers"])):
        ratios = [f"{row[name]:.2f}" if name in row else ""
                  for name in ("ratio_tokens", "ratio_first_token")]
        lines.append(
            f"| {row['workload']} | {row['callers']:.0f} | {row['contender']} "
            f"| {row['tokens_per_s']:.1f} | {row['first_token_p50_ms']:.0f} / "
            f"{row['first_token_p99_ms']:.0f} | {row['cpu_ms_per_call']:.0f} "
            f"| {ratios[0]} | {ratios[1]} |")
    own = {**result["start"], **result["memory"]}
    lines += ["", "| Deepmoat | |", "|---|---|",
              f"| start to ready, first start | {own['first_start_ms']:.0f} ms |",
              f"| start to ready, without a model | {own['without_model_ms']:.0f} ms |",
              f"| start to ready, with the model | {own['with_model_ms']:.0f} ms |",
              f"| gateway memory, no model | {own['memory_without_model_kib'] / 1024:.1f} MiB |",
              f"| gateway memory, model loaded, idle | {own['idle_kib'] / 1024:.1f} MiB |",
              f"| gateway memory, after the load | {own['after_load_kib'] / 1024:.1f} MiB |"]
    return "\n".join(lines)


def chosen_variant(folder: Path) -> str:
    """The CPU variant that our worker finds safe here; llama-server gets the same."""
    server = demo_server(folder).start()
    try:
        variant = server.model_status()["cpu_variant"]
        server.stop()
        return variant
    finally:
        server.discard()


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of fewer calls")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=sorted({case[0] for case in CASES}))
    parser.add_argument("--callers", type=int, action="append", help="only these many callers")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench" / "serving.json")
    options = parser.parse_args()
    options.waves = 2 if options.quick else 4
    options.cases = [case for case in CASES if options.only in (None, case[0])
                     and (not options.callers or case[1] in options.callers)]
    return options


def main() -> int:
    options = parse_options()
    with tempfile.TemporaryDirectory(prefix="deepmoat-bench-") as name:
        folder = Path(name)
        variant = chosen_variant(folder / "variant")
        say("start and memory")
        result = {"machine": machine(variant), "rounds": options.rounds, "seed": options.seed,
                  "start": starts(folder / "start")}
        rounds = []
        for number in range(options.rounds):
            say(f"round {number + 1} of {options.rounds}, CPU variant {variant}")
            one = Round(folder / f"round{number}", variant, options)
            one.run()
            rounds.append(one)
    result["memory"] = rounds[-1].memory
    result["rows"] = median_rows([one.rows for one in rounds])
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(markdown(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
