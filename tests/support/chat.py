"""Calls as the tests write them."""

import json
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from support.server import MODEL, Server

ERROR_KEYS = {"message", "type", "param", "code"}
LONG_STORY = "Tell me a very long story about a lighthouse keeper and the sea."


def body(text: str = "Say hello.", **more: Any) -> dict:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}],
            "max_tokens": 8, "temperature": 0, **more}


def check_error(answer: httpx.Response, status: int, code: str, param: str | None = None) -> dict:
    """The refusal's shape: all four keys, a request id, JSON."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-request-id"]
    document = answer.json()
    assert set(document) == {"error"} and set(document["error"]) == ERROR_KEYS, document
    error = document["error"]
    assert error["code"] == code, error
    assert error["param"] == param, error
    assert error["message"] and error["type"], error
    return error


def events(lines: Iterable[str]) -> Iterable[Any]:
    """The data of a stream's events; "[DONE]" as it stands."""
    for line in lines:
        if line.startswith("data: "):
            data = line.removeprefix("data: ")
            yield data if data == "[DONE]" else json.loads(data)


class RunningStream:
    """A streamed call on a thread of its own; `begun` is set with its first text."""

    def __init__(self, server: Server, key: str, tokens: int, **more: Any):
        self.begun = threading.Event()
        self.text = ""
        self.done = False
        self.error: dict | None = None
        self.broken: str | None = None
        self.request_id = ""
        self.status = 0
        self._server, self._key = server, key
        self._body = body(LONG_STORY, max_tokens=tokens, stream=True, ignore_eos=True, **more)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with self._server.http(self._key) as client, \
                    client.stream("POST", "/v1/chat/completions", json=self._body) as answer:
                self.status = answer.status_code
                self.request_id = answer.headers.get("x-request-id", "")
                for event in events(answer.iter_lines()):
                    self._take(event)
        except httpx.TransportError as error:
            self.broken = repr(error)
        finally:
            self.begun.set()

    def _take(self, event: Any) -> None:
        if event == "[DONE]":
            self.done = True
        elif "error" in event:
            self.error = event["error"]
        elif event["choices"] and event["choices"][0]["delta"].get("content"):
            self.text += event["choices"][0]["delta"]["content"]
            self.begun.set()

    def wait_begun(self, wait_s: float = 120) -> None:
        assert self.begun.wait(wait_s), "no text came"
        assert self.text, f"ended before its first text: {self.error} {self.broken}"

    def join(self, wait_s: float = 300) -> None:
        self._thread.join(wait_s)
        assert not self._thread.is_alive(), f"the stream did not end within {wait_s} s"


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """The results of work(0) to work(count - 1), all running at the same time."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))
