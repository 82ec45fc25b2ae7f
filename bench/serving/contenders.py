"""Deepmoat and llama-server, started the same way: model file, CPU variant, threads, loopback."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from load import Target
from support.llama_server import LlamaServer
from support.server import MODEL, Server

DEEPMOAT = "deepmoat"
LLAMA_DEFAULT = "llama-server"
LLAMA_SLOTS = "llama-server -np N"
SLOT_SPARE_TOKENS = 128


@dataclass
class Running:
    """A started server. `targets`: keys of as many tenants as were asked for."""
    name: str
    targets: list[Target]
    server: Server | None = None

    @property
    def target(self) -> Target:
        return self.targets[0]


@contextmanager
def deepmoat(folder: Path, model: Path, tenants: int = 1) -> Iterator[Running]:
    server = Server(folder, None, model)
    try:
        server.start()
        keys = [server.key("user", f"bench-{n}", "--tenant", f"tenant-{n}") for n in range(tenants)]
        yield Running(DEEPMOAT, [Target(server.http_url, MODEL, key) for key in keys], server)
        server.stop()
    finally:
        server.discard()


@contextmanager
def llama_server(folder: Path, model: Path, variant: str, name: str, callers: int,
                 call_tokens: int, tenants: int = 1) -> Iterator[Running]:
    """`callers` and `call_tokens` size the slots where the contender has one a caller."""
    flags: tuple[str, ...] = ()
    if name == LLAMA_SLOTS:
        flags = ("-np", str(callers), "-c", str(callers * (call_tokens + SLOT_SPARE_TOKENS)))
    with LlamaServer(folder, model, variant, flags) as server:
        yield Running(name, [Target(server.url, MODEL)] * tenants)


def llama_server_build() -> str:
    """Name of the cache entry that llama-server comes from."""
    return Path(os.environ["DEEPMOAT_LLAMA_SERVER"]).resolve().parents[2].name
