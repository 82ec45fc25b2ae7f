"""A closed loop of streaming callers, cheap enough not to disturb what it measures."""

import asyncio
import json
import math
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CALL_WAIT_S = 900


@dataclass(frozen=True)
class Target:
    url: str
    model: str
    key: str | None = None


@dataclass(frozen=True)
class Prompt:
    messages: list[dict]
    output_tokens: int
    schema: dict | None = None  # then the answer must be JSON of this schema


@dataclass
class Call:
    """One answered call. TTFT: from before the connection is opened to the first text."""
    begun_s: float
    events_s: list[float]  # when each event with text came
    ended_s: float = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    text: str = ""

    @property
    def ttft_s(self) -> float:
        return self.events_s[0] - self.begun_s

    @property
    def tpot_s(self) -> float:
        """As vLLM counts it: the time after the first token for each token after it."""
        return (self.events_s[-1] - self.events_s[0]) / max(1, self.output_tokens - 1)

    @property
    def gaps_s(self) -> list[float]:
        return [b - a for a, b in zip(self.events_s, self.events_s[1:], strict=False)]


@dataclass
class Run:
    begun_s: float = 0
    ended_s: float = 0
    calls: list[Call] = field(default_factory=list)
    refused: int = 0  # 429 and other errors: never mixed into the times
    cancelled: int = 0

    @property
    def wall_s(self) -> float:
        return self.ended_s - self.begun_s


def quantile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)] if ordered else math.nan


def request_bytes(target: Target, prompt: Prompt) -> bytes:
    body: dict = {"model": target.model, "messages": prompt.messages,
                  "max_tokens": prompt.output_tokens, "temperature": 0, "stream": True,
                  "stream_options": {"include_usage": True}}
    if prompt.schema is None:
        body["ignore_eos"] = True
    else:
        body["response_format"] = {"type": "json_schema", "json_schema": {
            "name": "answer", "strict": True, "schema": prompt.schema}}
    content = json.dumps(body).encode()
    authorization = f"Authorization: Bearer {target.key}\r\n" if target.key else ""
    return (f"POST /v1/chat/completions HTTP/1.1\r\nHost: {urlsplit(target.url).netloc}\r\n"
            f"Content-Type: application/json\r\n{authorization}Connection: close\r\n"
            f"Content-Length: {len(content)}\r\n\r\n").encode() + content


async def read_stream(reader: asyncio.StreamReader, call: Call, keep_text: bool,
                      stop_after: int) -> bool:
    """Reads to the end, or to the event number stop_after; false: it was refused."""
    status = await reader.readline()
    if b" 200 " not in status:
        if b" 429 " in status or b" 503 " in status:
            return False
        raise RuntimeError(f"{status!r} {await reader.read(2000)!r}")
    while not (line := await reader.readline()).startswith(b"data: [DONE]"):
        if not line:
            raise RuntimeError("the stream ended before its end")
        if not line.startswith(b"data: {"):
            continue
        if b'"content":"' in line and b'"content":""' not in line:
            call.events_s.append(time.monotonic())
            if keep_text:
                call.text += json.loads(line[6:])["choices"][0]["delta"]["content"]
            if stop_after and len(call.events_s) >= stop_after:
                return True
        if b'"usage":{' in line:
            usage = json.loads(line[6:])["usage"]
            call.prompt_tokens = usage["prompt_tokens"]
            call.output_tokens = usage["completion_tokens"]
            call.cached_tokens = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    call.ended_s = time.monotonic()
    if not call.events_s or not call.output_tokens:
        raise RuntimeError("a stream without text or without usage")
    return True


async def call(target: Target, prompt: Prompt, run: Run, stop_after: int = 0,
               live: list[Call] | None = None) -> Call:
    """One call over a connection of its own; `live` shows it while it runs. With stop_after the
    caller hangs up after so many events."""
    address = urlsplit(target.url)
    made = Call(time.monotonic(), [])
    if live is not None:
        live.append(made)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(request_bytes(target, prompt))
        served = await asyncio.wait_for(
            read_stream(reader, made, prompt.schema is not None, stop_after), CALL_WAIT_S)
    finally:
        writer.transport.abort() if stop_after else writer.close()
    if not served:
        run.refused += 1
    elif stop_after:
        run.cancelled += 1
    else:
        if prompt.schema is None and made.output_tokens != prompt.output_tokens:
            raise RuntimeError(f"{made.output_tokens} tokens instead of {prompt.output_tokens}")
        run.calls.append(made)
    return made


async def closed_loop(targets: list[Target], prompts: list[Prompt], callers: int,
                      hang_up_every: int = 0) -> Run:
    """All prompts by so many callers, spread over the targets; each begins its next call when it
    has its answer. hang_up_every N: every N-th call is given up after its third event."""
    run = Run()
    numbers = iter(range(len(prompts)))

    async def work(number_of_caller: int) -> None:
        target = targets[number_of_caller % len(targets)]
        for number in numbers:
            stop = 3 if hang_up_every and number % hang_up_every == 0 else 0
            await call(target, prompts[number], run, stop)

    run.begun_s = time.monotonic()
    await asyncio.gather(*(work(number) for number in range(callers)))
    run.ended_s = time.monotonic()
    return run


def figures(run: Run, slo_ttft_s: float, slo_tpot_s: float) -> dict:
    gaps = [gap for one in run.calls for gap in one.gaps_s]
    good = [one for one in run.calls if one.ttft_s <= slo_ttft_s and one.tpot_s <= slo_tpot_s]
    return {"calls": len(run.calls), "refused": run.refused, "wall_s": run.wall_s,
            "requests_per_s": len(run.calls) / run.wall_s,
            "goodput_per_s": len(good) / run.wall_s,
            "output_tokens_per_s": sum(one.output_tokens for one in run.calls) / run.wall_s,
            "ttft_p50_ms": quantile([one.ttft_s for one in run.calls], 0.5) * 1e3,
            "ttft_p99_ms": quantile([one.ttft_s for one in run.calls], 0.99) * 1e3,
            "tpot_p50_ms": quantile([one.tpot_s for one in run.calls], 0.5) * 1e3,
            "itl_p99_ms": quantile(gaps, 0.99) * 1e3,
            "itl_max_ms": max(gaps, default=math.nan) * 1e3,
            "prompt_tokens_per_call": sum(c.prompt_tokens for c in run.calls) / len(run.calls),
            "cached_tokens_per_call": sum(c.cached_tokens for c in run.calls) / len(run.calls)}
