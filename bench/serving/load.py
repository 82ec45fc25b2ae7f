"""A closed loop of streaming callers, cheap enough not to disturb what it measures."""

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

OUTPUT_TOKENS = 64
CALL_WAIT_S = 600
WORDS = ("river copper window harvest signal marble engine violet harbour ladder pepper summit "
         "bridge candle forest ticket anchor meadow velvet puzzle rocket silver garden thunder "
         "canvas walnut mirror beacon saddle timber lantern compass orchard pebble").split()


@dataclass(frozen=True)
class Target:
    url: str
    model: str
    key: str | None = None


@dataclass
class Outcome:
    wall_s: float = 0
    calls: int = 0
    tokens: int = 0
    cached_tokens: int = 0
    first_token_s: list[float] = field(default_factory=list)


def sentence(random_words: random.Random, words: int) -> str:
    return " ".join(random_words.choice(WORDS) for _ in range(words))


def chat_messages(seed: int, number: int) -> list[dict]:
    """About 60 tokens, different from the first word on."""
    own = random.Random(f"{seed}/{number}")
    return [{"role": "user", "content": f"{number}: {sentence(own, 30)}. Tell a story with these."}]


def shared_messages(seed: int, number: int) -> list[dict]:
    """A system prompt of about 400 tokens that all share, and a question of its own."""
    system = "You answer briefly. Rules: " + sentence(random.Random(seed), 240) + "."
    own = random.Random(f"{seed}/{number}")
    return [{"role": "system", "content": system},
            {"role": "user", "content": f"Question {number}: {sentence(own, 10)}?"}]


WORKLOADS = {"chat": chat_messages, "shared": shared_messages}


def request_bytes(target: Target, messages: list[dict]) -> bytes:
    body = json.dumps({"model": target.model, "messages": messages, "max_tokens": OUTPUT_TOKENS,
                       "temperature": 0, "ignore_eos": True, "stream": True,
                       "stream_options": {"include_usage": True}}).encode()
    authorization = f"Authorization: Bearer {target.key}\r\n" if target.key else ""
    return (f"POST /v1/chat/completions HTTP/1.1\r\nHost: {urlsplit(target.url).netloc}\r\n"
            f"Content-Type: application/json\r\n{authorization}Connection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


async def read_stream(reader: asyncio.StreamReader) -> tuple[float, dict]:
    """When the first text came, and the usage. The chunks' own lines are skipped."""
    status = await reader.readline()
    if b" 200 " not in status:
        raise RuntimeError(f"{status!r} {await reader.read(2000)!r}")
    first_s, usage = 0.0, None
    while not (line := await reader.readline()).startswith(b"data: [DONE]"):
        if not line:
            raise RuntimeError("the stream ended before its end")
        if line.startswith(b"data: {"):
            if not first_s and b'"content":"' in line and b'"content":""' not in line:
                first_s = time.monotonic()
            if b'"usage":{' in line:
                usage = json.loads(line[6:])["usage"]
    if not first_s or usage is None:
        raise RuntimeError("a stream without text or without usage")
    return first_s, usage


async def call(target: Target, messages: list[dict], outcome: Outcome) -> None:
    """One call over a connection of its own."""
    address = urlsplit(target.url)
    begun_s = time.monotonic()
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(request_bytes(target, messages))
    first_s, usage = await asyncio.wait_for(read_stream(reader), CALL_WAIT_S)
    writer.close()
    if usage["completion_tokens"] != OUTPUT_TOKENS:
        raise RuntimeError(f"{usage['completion_tokens']} tokens instead of {OUTPUT_TOKENS}")
    outcome.calls += 1
    outcome.tokens += usage["completion_tokens"]
    outcome.cached_tokens += (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    outcome.first_token_s.append(first_s - begun_s)


async def closed_loop(target: Target, workload: str, callers: int, calls: int,
                      seed: int) -> Outcome:
    """`calls` calls by `callers` callers; each begins its next one when it has its answer."""
    outcome = Outcome()
    numbers = iter(range(1, calls + 1))

    async def work() -> None:
        for number in numbers:
            await call(target, WORKLOADS[workload](seed, number), outcome)

    # Code paths and the shared prefix are warm; the first real prompt is none of these.
    await call(target, WORKLOADS[workload](seed, 0), Outcome())
    begun_s = time.monotonic()
    await asyncio.gather(*(work() for _ in range(callers)))
    outcome.wall_s = time.monotonic() - begun_s
    return outcome
