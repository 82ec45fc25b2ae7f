"""Workloads that are no plain closed loop: an intruder, a flood, tenants, JSON, hanging up."""

import asyncio
import json
import time

from contenders import Running
from load import Call, Prompt, Run, call, closed_loop, quantile
from workloads import SCHEMA, Case, json_prompts, words

STREAMS = 8
INTRUDER_WORDS = 3980
STREAM_TOKENS = 400
FLOOD_CALLERS = 32
QUIET_CALLS = 6


def chat(text: str, output_tokens: int) -> Prompt:
    return Prompt([{"role": "user", "content": text}], output_tokens)


async def intruder(running: Running, seed: int) -> dict:
    """Longest gap in running streams while a prompt of 4,000 tokens is read, and before it."""
    run, live = Run(), []
    streams = [asyncio.create_task(call(running.target, chat(
        f"{n} {words(f'{seed}/stream{n}', 30)}", STREAM_TOKENS), run, live=live))
        for n in range(STREAMS)]
    while len(live) < STREAMS or min(len(one.events_s) for one in live) < 12:
        await asyncio.sleep(0.01)
    sent_s = time.monotonic()
    before = max(gap for one in live for gap in one.gaps_s[4:])
    late = await call(running.target, chat(words(f"{seed}/intruder", INTRUDER_WORDS), 4), Run())
    end_s = late.events_s[0]
    during = [b - a for one in live for a, b in zip(one.events_s, one.events_s[1:], strict=False)
              if b > sent_s and a < end_s]
    tokens = sum(sent_s < event < end_s for one in live for event in one.events_s)
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*streams, return_exceptions=True)
    return {"gap_before_ms": before * 1e3, "gap_max_ms": max(during) * 1e3,
            "intruder_ttft_ms": late.ttft_s * 1e3,
            "tokens_per_s_meanwhile": tokens / (end_s - sent_s),
            "intruder_tokens": late.prompt_tokens}


async def quiet_calls(running: Running, seed: int, salt: str) -> list[Call]:
    calls = []
    for number in range(QUIET_CALLS):
        run = Run()
        calls.append(await call(running.targets[0], chat(
            f"{number} {words(f'{seed}/{salt}{number}', 60)}", 8), run))
        await asyncio.sleep(0.3)
    return calls


async def noisy(running: Running, seed: int) -> dict:
    """The quiet tenant's first token: alone, and while another tenant's 32 callers flood."""
    alone = await quiet_calls(running, seed, "alone")
    flood_case = Case("flood", FLOOD_CALLERS, 10_000, own_words=200, output_tokens=48)
    flood = asyncio.create_task(closed_loop(
        [running.targets[1]], flood_case.prompts(seed), FLOOD_CALLERS))
    await asyncio.sleep(6)
    busy = await quiet_calls(running, seed, "busy")
    flood.cancel()
    await asyncio.gather(flood, return_exceptions=True)
    result = {"alone_p50_ms": quantile([c.ttft_s for c in alone], 0.5) * 1e3,
              "flooded_p50_ms": quantile([c.ttft_s for c in busy], 0.5) * 1e3,
              "flooded_max_ms": max(c.ttft_s for c in busy) * 1e3}
    return {**result, "ratio": result["flooded_p50_ms"] / result["alone_p50_ms"]}


async def fairness(running: Running, seed: int, requests: int) -> dict:
    """The same work, 16 callers of one tenant, then 8 of each of two."""
    rates = {"one": [], "two": []}
    for turn in range(2):
        for name, targets in (("one", running.targets[:1]), ("two", running.targets[:2])):
            case = Case("fair", 16, requests, own_words=60)
            run = await closed_loop(targets, case.prompts(1000 * turn + seed + len(targets)), 16)
            rates[name].append(len(run.calls) / run.wall_s)
    one, two = sum(rates["one"]), sum(rates["two"])
    return {"one_tenant_per_s": one / 2, "two_tenants_per_s": two / 2, "cost": 1 - two / one}


def fits(text: str) -> bool:
    try:
        value = json.loads(text)
    except ValueError:
        return False
    wanted = SCHEMA["properties"]
    return (isinstance(value, dict) and set(value) == set(wanted)
            and isinstance(value["name"], str) and len(value["name"]) <= 24
            and type(value["age"]) is int and 0 <= value["age"] <= 150
            and isinstance(value["tags"], list) and len(value["tags"]) <= 3
            and all(isinstance(tag, str) and len(tag) <= 12 for tag in value["tags"])
            and value["kind"] in wanted["kind"]["enum"])


async def schema(running: Running, seed: int, requests: int) -> dict:
    run = await closed_loop([running.target], json_prompts(seed, requests), 8)
    return {"valid": sum(fits(one.text) for one in run.calls) / max(1, requests),
            "answers_per_s": len(run.calls) / run.wall_s,
            "tokens_per_s": sum(c.output_tokens for c in run.calls) / run.wall_s}


async def cancels(running: Running, seed: int, requests: int) -> dict:
    """Every third caller hangs up; then 16 hang up at once, and one call comes right behind."""
    case = Case("cancel", 16, requests, own_words=60)
    fresh = [await call(running.target, case.prompt(seed, 90_000 + n), Run()) for n in range(3)]
    run = await closed_loop([running.target], case.prompts(seed), 16, hang_up_every=3)
    await asyncio.gather(*(call(running.target, case.prompt(seed, 70_000 + n), Run(), stop_after=2)
                           for n in range(16)))
    after = await call(running.target, case.prompt(seed, 80_000), Run())
    return {"answered": len(run.calls), "hung_up": run.cancelled,
            "answers_per_s": len(run.calls) / run.wall_s,
            "ttft_alone_ms": quantile([c.ttft_s for c in fresh], 0.5) * 1e3,
            "ttft_after_ms": after.ttft_s * 1e3}
