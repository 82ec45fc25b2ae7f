"""Servers for the tests. One is shared by the whole run; a test that breaks its server gets a
fresh one."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "models")]
import make_models  # noqa: E402
from support.program import model_file  # noqa: E402
from support.server import Server, demo_server  # noqa: E402

KEEP_ALIVE_S = 1


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The shared server, with the demo model. Its end is a test too: see Server.stop()."""
    shared = demo_server(tmp_path_factory.mktemp("shared"),
                         {"server": {"keep_alive_s": KEEP_ALIVE_S}})
    try:
        yield shared.start()
        shared.stop()
    finally:
        shared.discard()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The file of one of the tiny models of tests/models, by its name."""
    folder = tmp_path_factory.mktemp("tiny-models")
    return lambda name: make_models.make(name, model_file(), folder)


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[Server]:
    """A server of this test alone, with the demo model; the test ends it as it likes."""
    fresh = demo_server(tmp_path)
    try:
        yield fresh.start()
    finally:
        fresh.discard()


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Makes servers that are not started, by default without a model."""
    made: list[Server] = []

    def make(settings: dict | None = None, **more) -> Server:
        made.append(Server(tmp_path / f"server{len(made)}", settings, **more))
        return made[-1]

    yield make
    for one in made:
        one.discard()
