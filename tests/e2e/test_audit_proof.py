"""What strangers and second places can show about the audit log: Go's checksum database library
checks its checkpoints and tiles, the verifier finds what a rolled-back folder hides, and a full
disk leaves administrators a way in."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.chat import check_error
from support.program import command, program
from support.server import Server, wait_for

HERE = Path(__file__).resolve().parent
DISK_MIB = 16


@pytest.fixture(scope="session")
def audit_go(tmp_path_factory) -> Callable[..., subprocess.CompletedProcess]:
    """The independent checker of tests/audit_go, built with Debian's Go and its x/mod package."""
    built = tmp_path_factory.mktemp("go") / "audit_go"
    subprocess.run(["/usr/bin/go", "build", "-o", built, "."], cwd=HERE.parent / "audit_go",
                   env={"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "",
                        "GOCACHE": str(built.parent / "cache"), "HOME": str(built.parent),
                        "PATH": "/usr/bin:/bin"}, check=True, timeout=300)
    return lambda *arguments: subprocess.run([built, *map(str, arguments)], capture_output=True,
                                             text=True, timeout=60, check=False)


def verify_program(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([program().with_name("deepmoat-verify"), *map(str, arguments)],
                          capture_output=True, text=True, timeout=120, check=False)


def key_of(server: Server) -> str:
    return (server.data / "audit/verifier.key").read_text(encoding="utf-8").split("\n")[0]


def checkpoint_over(server: Server, records: int) -> Path:
    """Waits for a checkpoint of at least so many records, and keeps a copy of it."""
    path = server.data / "audit/checkpoint"

    def covers() -> bool:
        return path.exists() and int(path.read_text(encoding="utf-8").split("\n")[1]) >= records

    wait_for(f"a checkpoint over {records} records", covers)
    copy = server.data.parent / f"checkpoint-{records}"
    shutil.copy(path, copy)
    return copy


def write_records(server: Server, calls: int) -> int:
    with server.http(server.shared_key("user")) as client:
        for _ in range(calls):
            assert client.get("/v1/models").status_code == 200
    return len(server.audit())


def test_go_checks_checkpoints_and_tiles(make_server, audit_go):
    server = make_server().start()
    older = checkpoint_over(server, write_records(server, 20))
    records = write_records(server, 300)  # over a tile of 256
    server.stop()  # a server that runs may take a newer tile for the one that a checkpoint names
    newer = checkpoint_over(server, records)
    key = key_of(server)
    for checkpoint in (older, newer):
        done = audit_go("checkpoint", checkpoint, key)
        assert done.returncode == 0, done.stderr
    done = audit_go("consistency", server.data / "audit", older, newer, key)
    assert done.returncode == 0, done.stdout + done.stderr
    forged = newer.with_name("forged")
    forged.write_text(newer.read_text(encoding="utf-8").replace("\n", "\n1", 1), encoding="utf-8")
    assert audit_go("checkpoint", forged, key).returncode != 0
    tile = server.data / "audit/tile/0/000"
    bytes_of_tile = bytearray(tile.read_bytes())
    bytes_of_tile[100] ^= 1
    tile.write_bytes(bytes_of_tile)
    assert audit_go("consistency", server.data / "audit", older, newer, key).returncode != 0


def test_the_sm_profile_signs_with_both(make_server, audit_go):
    server = make_server({"audit": {"sm": True}}).start()
    checkpoint = checkpoint_over(server, write_records(server, 10))
    text = checkpoint.read_text(encoding="utf-8")
    assert text.split("\n")[3].startswith("sm3 ") and text.count("— deepmoat/") == 2
    assert audit_go("checkpoint", checkpoint, key_of(server)).returncode == 0
    server.stop()
    key = server.data / "audit/verifier.key"
    done = verify_program("log", server.data / "audit", "--key", key, "--tiles")
    assert done.returncode == 0, done.stdout + done.stderr
    # Either signature counts, and the SM3 root is under both.
    path = server.data / "audit/checkpoint"
    lines = path.read_text(encoding="utf-8").split("\n")
    for number in (3, 5, 6):
        altered = list(lines)
        place = altered[number].rindex(" ") + 20
        letter = "A" if altered[number][place] != "A" else "B"
        altered[number] = altered[number][:place] + letter + altered[number][place + 1:]
        path.write_text("\n".join(altered), encoding="utf-8")
        done = verify_program("log", server.data / "audit", "--key", key)
        assert done.returncode == 1, (number, done.stdout)


def test_an_older_copy_does_not_start(make_server, tmp_path):
    second = tmp_path / "second"
    second.mkdir()
    server = make_server({"audit": {"checkpoint_places": [f"directory:{second}"]}}).start()
    write_records(server, 10)
    server.stop()
    backup = tmp_path / "backup"
    shutil.copytree(server.data, backup, ignore=shutil.ignore_patterns("*.sock"))
    server.start()
    write_records(server, 10)
    server.stop()
    kept = next(second.iterdir())
    key = server.data / "audit/verifier.key"
    done = verify_program("log", server.data / "audit", "--key", key, "--checkpoint", kept)
    assert done.returncode == 0, done.stdout

    shutil.rmtree(server.data)
    shutil.copytree(backup, server.data)
    done = verify_program("log", server.data / "audit", "--key", key, "--checkpoint", kept)
    assert done.returncode == 1 and "NOT intact" in done.stdout, done.stdout
    done = command("serve", "--data", server.data, "--config", server.config, check=False)
    assert done.returncode == 1, done.stderr
    assert "does not continue the checkpoint" in done.stderr and str(second) in done.stderr


def test_a_place_that_is_not_mounted_stops_the_start(make_server, tmp_path):
    place = tmp_path / "mount"
    server = make_server({"audit": {"checkpoint_places": [f"directory:{place}"]}})
    done = command("serve", "--data", server.data, "--config", server.config, check=False)
    assert done.returncode == 1 and str(place) in done.stderr and "mount" in done.stderr


def test_an_unknown_place_is_named(make_server):
    server = make_server({"audit": {"checkpoint_places": ["ftp://elsewhere"]}})
    done = command("serve", "--data", server.data, "--config", server.config, check=False)
    assert done.returncode != 0
    assert "audit.checkpoint_places" in done.stderr and "directory:" in done.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes; the packages were installed by the same rights."""
    as_root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    mount = tmp_path / "small"
    mount.mkdir()
    options = f"size={DISK_MIB}m,mode=1777"
    subprocess.run([*as_root, "mount", "-t", "tmpfs", "-o", options, "tmpfs", mount], check=True)
    try:
        yield mount
    finally:
        subprocess.run([*as_root, "umount", "--lazy", mount], check=True)


def test_a_full_disk_leaves_a_way_in_and_heals(small_disk, make_server):
    server = make_server({"audit": {"segment_mib": 1}})
    server.data = small_disk / "data"
    server.ca = server.data / "tls/ca.crt"
    server.start()
    user, admin = server.shared_key("user"), server.shared_key("admin")
    ballast = small_disk / "ballast"
    wait_for("the spare file", (server.data / "audit/reserve").exists)
    with ballast.open("wb", buffering=0) as file:  # all that is left
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass
    with server.http(user) as client, server.http(admin) as administrator:
        answers = 0
        answer = client.get("/v1/models")
        while answer.status_code == 200:
            answers += 1
            assert answers < 20_000
            answer = client.get("/v1/models")
        check_error(answer, 503, "audit_unavailable")
        assert answers > 500, "what was made ahead is used first"
        ready = client.get("/readyz")
        assert ready.status_code == 503 and ready.json()["checks"]["audit_log"] == "disk_full"
        status = administrator.get("/admin/v1/status")
        assert status.status_code == 200 and status.json()["audit_log"] == "disk_full"
        ballast.unlink()
        wait_for("the server serves again",
                 lambda: client.get("/v1/models").status_code == 200, 30)
        assert client.get("/readyz").json()["checks"]["audit_log"] == "ok"
    server.stop()


def test_a_log_that_was_never_signed_is_no_alarm(make_server, tmp_path):
    """But to who has a key of his own, and once there was a checkpoint."""
    server = make_server().start()
    write_records(server, 2)
    server.stop()
    log = server.data / "audit"
    (log / "checkpoint").unlink()
    done = command("audit", "verify", "--data", server.data, check=False)
    assert done.returncode == 1 and "NOT intact" in done.stdout
    shutil.rmtree(log / "checkpoints")
    assert command("audit", "verify", "--data", server.data).returncode == 0
    key = tmp_path / "auditors.key"
    shutil.copy(log / "verifier.key", key)
    done = command("audit", "verify", "--data", server.data, "--key", key, check=False)
    assert done.returncode == 1


@pytest.fixture
def witnessed(make_server, tmp_path):
    """A server whose checkpoints another one keeps, and that other one."""
    witness = make_server().start()
    key_file = tmp_path / "node.key"
    key_file.write_text(witness.key("user", "node-a") + "\n", encoding="utf-8")
    key_file.chmod(0o600)
    server = make_server().start()  # once without, so that its key is known
    log_key = key_of(server)
    server.stop()
    witness.stop()
    witness.configure({"audit": {"witness_keys": [log_key]}})
    server.configure({"audit": {"checkpoint_places": [f"node:{witness.url}"],
                                "node_key_file": str(key_file),
                                "node_ca_file": str(witness.ca)}})
    return server, witness.start()


def witnessed_size(witness: Server) -> int:
    notes = list((witness.data / "witnessed").glob("*.checkpoint"))
    return int(notes[0].read_text(encoding="utf-8").split("\n")[1]) if notes else 0


def test_another_node_keeps_the_checkpoints(witnessed, tmp_path):
    server, witness = witnessed
    server.start()
    write_records(server, 10)
    server.stop()
    first = witnessed_size(witness)
    assert first >= 10
    backup = tmp_path / "backup"
    shutil.copytree(server.data, backup, ignore=shutil.ignore_patterns("*.sock"))
    server.start()
    write_records(server, 300)
    server.stop()
    assert witnessed_size(witness) >= first + 300
    assert [r for r in witness.audit() if r["action"] == "audit.witness.add"]

    shutil.rmtree(server.data)
    shutil.copytree(backup, server.data)
    done = command("serve", "--data", server.data, "--config", server.config, check=False)
    assert done.returncode == 1 and "does not continue the checkpoint" in done.stderr
    assert witness.url in done.stderr
    witness.stop()
    done = command("serve", "--data", server.data, "--config", server.config, check=False)
    assert done.returncode == 1 and "does not answer" in done.stderr


def test_a_node_that_does_not_know_the_log_says_so(witnessed):
    server, witness = witnessed
    witness.stop()
    witness.configure({})
    witness.start()
    done = command("serve", "--data", server.data, "--config", server.config, check=False)
    assert done.returncode == 1 and "audit.witness_keys" in done.stderr
