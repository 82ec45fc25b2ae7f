"""One process holds a data folder, says who it is, and lets go of it when it ends: at once,
whatever it was at, and no child of it holds on."""

import os
import signal
import socket
from pathlib import Path

import pytest
from support import processes
from support.program import command, model_file
from support.server import Server, wait_for

TEBIBYTE = 1 << 40  # to read it takes ten minutes and more


@pytest.fixture
def endless_model(tmp_path: Path) -> Path:
    """A model's file that nobody will have read by the end of the test. It takes no place."""
    path = tmp_path / "endless.gguf"
    with open(path, "wb") as file:
        file.write(b"GGUF\x03\0\0\0")
        file.truncate(TEBIBYTE)
    return path


def is_hashing(server: Server) -> bool:
    return server.log.exists() and any("hashing" in line["message"] for line in server.log_lines())


def test_a_start_that_fails_lets_go_of_the_folder(make_server, endless_model):
    server = make_server(model=endless_model)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", server.port))
        taken.listen()
        server.launch()
        assert server.wait_end() == 1, server.tail()
    assert str(server.port) in server.tail()
    assert command("key", "list", "--data", server.data).returncode == 0


def test_a_server_ends_while_it_reads_a_model(make_server, endless_model):
    server = make_server(model=endless_model).launch()
    wait_for("the model's file is being read", lambda: is_hashing(server))
    server.stop()
    assert command("key", "list", "--data", server.data).returncode == 0


def test_a_command_names_who_does_not_answer(make_server):
    """A server that is stopped holds the folder and takes no calls; its socket is away."""
    server = make_server().start()
    (server.data / "admin.sock").unlink()
    refused = command("key", "list", "--data", server.data, check=False)
    assert refused.returncode == 1 and f"process {server.pid} holds" in refused.stderr
    server.stop()


def files_of(pid: int) -> list[str]:
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(entry))
        except OSError:
            pass  # closed meanwhile
    return found


def test_no_worker_holds_anything_of_the_folder(make_server):
    server = make_server(model=model_file()).start()
    assert any(name.startswith(str(server.data)) for name in files_of(server.pid))
    workers = server.workers()
    assert workers
    for worker in workers:
        theirs = [name for name in files_of(worker.pid) if name.startswith(str(server.data))]
        assert not theirs, theirs
    # Killed, it leaves a worker behind for a moment: the folder is free all the same.
    server.signal(signal.SIGKILL)
    server.wait_end()
    assert command("key", "list", "--data", server.data).returncode == 0
    wait_for("its workers are gone", lambda: not [w for w in workers if processes.alive(w)])
