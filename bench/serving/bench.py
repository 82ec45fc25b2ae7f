#!/usr/bin/env python3
"""Measures Deepmoat beside llama-server, and its memory and start; see README.md beside this."""

import argparse
import asyncio
import hashlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(Path(__file__).resolve().parent)]
sys.dont_write_bytecode = True
import special  # noqa: E402
from contenders import (DEEPMOAT, LLAMA_DEFAULT, LLAMA_SLOTS, Running, deepmoat,  # noqa: E402
                        llama_server, llama_server_build)
from load import Prompt, Run, call, closed_loop, figures  # noqa: E402
from support import processes  # noqa: E402
from support.program import model_file  # noqa: E402
from support.server import Server  # noqa: E402
from workloads import CASES, CHAT_TAIL_TOKENS, QUICK, Case, words  # noqa: E402

START_ROUNDS = 5
RATE_PROMPT_WORDS = 500
RATE_OUTPUT_TOKENS = 96


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, folder: Path, variant: str, options):
        self.folder, self.variant, self.options = folder, variant, options
        self.model: Path = options.model
        self.rows: dict[str, dict[str, dict]] = {}
        self.started = 0

    @contextmanager
    def contender(self, name: str, callers: int, call_tokens: int,
                  tenants: int = 1) -> Iterator[Running]:
        self.started += 1
        folder = self.folder / str(self.started)
        if name == DEEPMOAT:
            with deepmoat(folder, self.model, tenants) as running:
                yield running
        else:
            with llama_server(folder, self.model, self.variant, name, callers, call_tokens,
                              tenants) as running:
                yield running

    def each(self, case: str, names: tuple[str, ...], callers: int, call_tokens: int,
             measure: Callable[[Running], dict], tenants: int = 1) -> None:
        for name in names:
            if name not in self.options.contenders:
                continue
            with self.contender(name, callers, call_tokens, tenants) as running:
                row = measure(running)
            self.rows.setdefault(case, {})[name] = row
            say(f"  {case:<12} {name:<20} " + "  ".join(
                f"{key} {value:.4g}" for key, value in row.items()))

    # The closed loops

    def rates(self, running: Running, callers: int, seed: int) -> dict:
        """Prompt tokens/s of a prompt alone; output tokens/s of so many callers with next to no
        context: the two rates of the ideal time."""
        async def alone(number: int) -> float:
            text = f"{number} {words(f'{seed}/rate{number}', RATE_PROMPT_WORDS)}"
            made = await call(running.target, Prompt([{"role": "user", "content": text}], 1), Run())
            return made.prompt_tokens / made.ttft_s

        async def together() -> float:
            prompts = [Prompt([{"role": "user", "content": f"{n} {words(f'{seed}/out{n}', 2)}"}],
                              RATE_OUTPUT_TOKENS) for n in range(callers)]
            run = await closed_loop([running.target], prompts, callers)
            begin = max(one.events_s[0] for one in run.calls)
            end = min(one.events_s[-1] for one in run.calls)
            events = sum(begin < event <= end for one in run.calls for event in one.events_s)
            return events / (end - begin)

        return {"prompt_rate": max(asyncio.run(alone(n)) for n in range(3)),
                "output_rate": max(asyncio.run(together()) for _ in range(2))}

    def unique_prompt_tokens(self, running: Running, case: Case, run: Run, seed: int) -> float:
        """A group's shared tokens count once."""
        total = sum(one.prompt_tokens for one in run.calls)
        if not case.shared_words:
            return total
        made = asyncio.run(call(running.target, case.prompt(seed, 0, own_words=1), Run()))
        shared = made.prompt_tokens - 1 - CHAT_TAIL_TOKENS
        return total - (len(run.calls) - case.groups) * shared

    def closed(self, case: Case, with_rates: bool, running: Running) -> dict:
        seed = self.options.seed
        warm = Case("warm", 2, 2, own_words=20)
        asyncio.run(closed_loop([running.target], warm.prompts(seed + 99), 2))
        rates = self.rates(running, case.callers, seed) if with_rates else {}
        run = asyncio.run(closed_loop([running.target], case.prompts(seed), case.callers))
        row = figures(run, self.options.slo_ttft_s, self.options.slo_tpot_s)
        row["unique_prompt_tokens"] = self.unique_prompt_tokens(running, case, run, seed)
        row["output_tokens"] = sum(one.output_tokens for one in run.calls)
        return {**row, **rates}

    def loop(self, case: Case) -> None:
        call_tokens = case.shared_words + case.own_words + case.output_tokens + 60
        for name in (DEEPMOAT, LLAMA_DEFAULT, LLAMA_SLOTS):
            self.each(case.name, (name,), case.callers, call_tokens,
                      lambda running, name=name: self.closed(case, name == DEEPMOAT, running))
        rows = self.rows.get(case.name, {})
        ideal = rows.get(DEEPMOAT)
        for row in rows.values() if ideal else ():
            # Everybody against the same ideal: what this machine computes without any waste.
            seconds = row["unique_prompt_tokens"] / ideal["prompt_rate"] + \
                row["output_tokens"] / ideal["output_rate"]
            row["efficiency"] = seconds / row["wall_s"]

    # The others

    def intruder(self) -> None:
        # Not with 4 slots: the intruder would wait until a stream has ended.
        self.each("intruder", (DEEPMOAT, LLAMA_SLOTS), special.STREAMS + 1, 4200,
                  lambda running: asyncio.run(special.intruder(running, self.options.seed)))

    def noisy(self) -> None:
        self.each("noisy", (DEEPMOAT, LLAMA_DEFAULT, LLAMA_SLOTS), special.FLOOD_CALLERS + 1, 400,
                  lambda running: asyncio.run(special.noisy(running, self.options.seed)), tenants=2)

    def fairness(self) -> None:
        self.each("fairness", (DEEPMOAT,), 16, 200, lambda running: asyncio.run(special.fairness(
            running, self.options.seed, 32 if self.options.quick else 64)), tenants=2)

    def schema(self) -> None:
        self.each("schema", (DEEPMOAT, LLAMA_DEFAULT), 8, 400, lambda running: asyncio.run(
            special.schema(running, self.options.seed, 16 if self.options.quick else 48)))

    def cancels(self) -> None:
        self.each("cancels", (DEEPMOAT, LLAMA_DEFAULT), 16, 200, lambda running: asyncio.run(
            special.cancels(running, self.options.seed, 48 if self.options.quick else 96)))

    def starts(self) -> None:
        """Median milliseconds to ready, and the gateway's memory (without its worker)."""
        seen: dict[str, list[float]] = {"first": [], "without_model": [], "with_model": []}
        memory: dict[str, list[int]] = {"without_model": [], "with_model": []}
        for number in range(START_ROUNDS):
            server = Server(self.folder / f"empty{number}")
            for kind in ("first", "without_model"):
                with started(server) as seconds:
                    seen[kind].append(seconds)
                    memory["without_model"].append(processes.memory_kib(server.pid))
        with_model = Server(self.folder / "with_model", None, self.model)
        with started(with_model):
            pass  # computes the model file's hash once
        for _ in range(START_ROUNDS):
            with started(with_model) as seconds:
                seen["with_model"].append(seconds)
                memory["with_model"].append(processes.memory_kib(with_model.pid))
        row = {f"{kind}_ms": statistics.median(values) * 1e3 for kind, values in seen.items()}
        row.update({f"memory_{kind}_mib": statistics.median(values) / 1024
                    for kind, values in memory.items()})
        self.rows["start"] = {DEEPMOAT: row}

    def run(self) -> None:
        for case in CASES:
            if self.options.quick:
                case = Case(**{**case.__dict__, "requests": QUICK[case.name]})
            if case.name in self.options.cases:
                self.loop(case)
        for name in SPECIAL:
            if name in self.options.cases:
                getattr(self, name)()
        if "start" in self.options.cases:
            self.starts()


SPECIAL = ("intruder", "noisy", "fairness", "schema", "cancels")
CASE_NAMES = (*(case.name for case in CASES), *SPECIAL, "start")


@contextmanager
def started(server: Server) -> Iterator[float]:
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


def chosen_variant(folder: Path, model: Path) -> str:
    """The CPU variant that our worker finds safe here; llama-server gets the same."""
    with deepmoat(folder, model) as running:
        return running.server.model_status()["cpu_variant"]


def machine(options, variant: str) -> dict:
    cpu = next((line.partition(":")[2].strip()
                for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
                if line.startswith("model name")), platform.machine())
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
                            capture_output=True, text=True, check=False).stdout.strip()
    with open(options.model, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"cpu": cpu, "cores": os.cpu_count(), "cpu_variant": variant, "commit": commit,
            "model": options.model.name, "model_sha256": digest,
            "llama_server": llama_server_build(),
            "load_average": os.getloadavg()[0],
            "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def median_rows(rounds: list[dict]) -> dict:
    return {case: {name: {key: statistics.median(one[case][name][key] for one in rounds)
                          for key in row} for name, row in rows.items()}
            for case, rows in rounds[0].items()}


def markdown(result: dict) -> str:
    head = result["machine"]
    lines = [f"{head['cpu']}, {head['cores']} cores, CPU variant {head['cpu_variant']}, "
             f"{head['model']}, commit {head['commit']}, llama-server of {head['llama_server']}, "
             f"{head['when']}, median of {result['rounds']} round(s), load average before "
             f"{head['load_average']:.1f}; goodput: first token within {result['slo_ttft_s']} s "
             f"and {result['slo_tpot_s'] * 1e3:.0f} ms a token", ""]
    loops = [case.name for case in CASES if case.name in result["rows"]]
    if loops:
        lines += ["| workload | contender | requests/s | goodput/s | efficiency | first token p50 "
                  "/ p99 ms | ms a token p50 | gap p99 / max ms | cached / prompt tokens |",
                  "|---|---|---|---|---|---|---|---|---|"]
    for case in loops:
        for name, row in result["rows"][case].items():
            shown = f"{row['efficiency']:.2f}" if "efficiency" in row else ""
            lines.append(
                f"| {case} | {name} | {row['requests_per_s']:.2f} | {row['goodput_per_s']:.2f} "
                f"| {shown} | {row['ttft_p50_ms']:.0f} / {row['ttft_p99_ms']:.0f} "
                f"| {row['tpot_p50_ms']:.0f} | {row['itl_p99_ms']:.0f} / {row['itl_max_ms']:.0f} "
                f"| {row['cached_tokens_per_call']:.0f} / {row['prompt_tokens_per_call']:.0f} |")
    for case in (*SPECIAL, "start"):
        if case in result["rows"]:
            rows = result["rows"][case]
            keys = list(next(iter(rows.values())))
            lines += ["", f"| {case} | " + " | ".join(keys) + " |", "|---" * (len(keys) + 1) + "|"]
            lines += [f"| {name} | " + " | ".join(f"{row[key]:.4g}" for key in keys) + " |"
                      for name, row in rows.items()]
    for case in loops:
        if "prompt_rate" in result["rows"][case].get(DEEPMOAT, {}):
            row = result["rows"][case][DEEPMOAT]
            lines += ["", f"Ideal of {case}: {row['unique_prompt_tokens']:.0f} unique prompt "
                      f"tokens at {row['prompt_rate']:.0f}/s, {row['output_tokens']:.0f} output "
                      f"tokens at {row['output_rate']:.0f}/s."]
    return "\n".join(lines)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer calls")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=CASE_NAMES, action="append", metavar="CASE",
                        help=f"only these: {', '.join(CASE_NAMES)}")
    parser.add_argument("--contender", choices=(DEEPMOAT, LLAMA_DEFAULT, LLAMA_SLOTS),
                        action="append", dest="contenders")
    parser.add_argument("--model", type=Path, help="a GGUF file (DEEPMOAT_MODEL)")
    parser.add_argument("--llama-server", type=Path, help="the peer (DEEPMOAT_LLAMA_SERVER)")
    parser.add_argument("--slo-ttft-s", type=float, default=3.0)
    parser.add_argument("--slo-tpot-s", type=float, default=0.2)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench" / "serving.json")
    options = parser.parse_args()
    options.cases = options.only or CASE_NAMES
    options.contenders = options.contenders or (DEEPMOAT, LLAMA_DEFAULT, LLAMA_SLOTS)
    options.model = (options.model or model_file()).resolve()
    if options.llama_server:
        os.environ["DEEPMOAT_LLAMA_SERVER"] = str(options.llama_server.resolve())
    return options


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # no server is left behind
    options = parse_options()
    with tempfile.TemporaryDirectory(prefix="deepmoat-bench-") as name:
        folder = Path(name)
        variant = chosen_variant(folder / "variant", options.model)
        result = {"machine": machine(options, variant), "rounds": options.rounds,
                  "seed": options.seed, "slo_ttft_s": options.slo_ttft_s,
                  "slo_tpot_s": options.slo_tpot_s}
        rounds = []
        for number in range(options.rounds):
            say(f"round {number + 1} of {options.rounds}, CPU variant {variant}")
            one = Bench(folder / f"round{number}", variant, options)
            one.run()
            rounds.append(one.rows)
    result["rows"] = median_rows(rounds)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(markdown(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
