"""Leaked keys are found in files, logs, folders, git and pipes, and are never shown whole."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from support.program import command, environment, program
from support.server import Server


def scan(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess:
    return subprocess.run([program(), "key", "scan", *map(str, arguments)], input=stdin,
                          capture_output=True, check=False, timeout=120, env=environment())


def found(done: subprocess.CompletedProcess) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", folder, "-c", "user.name=t", "-c", "user.email=t@t.example",
                           "-c", "commit.gpgsign=false", *arguments],
                          capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> tuple[Server, dict[str, str]]:
    """Keys of an installation without a server: one of each state, and one of nobody."""
    server = Server(tmp_path_factory.mktemp("scan"))
    made = {name: server.key("user", name) for name in ("active", "revoked", "expired")}
    command("key", "revoke", made["revoked"], "--reason", "test", "--data", server.data)
    command("key", "expire", made["expired"], "--data", server.data)
    other = Server(tmp_path_factory.mktemp("other"))
    made["strange"] = other.key("user", "strange")
    return server, made


def test_files_folders_and_pipes(keys, tmp_path):
    key = keys[1]["active"]
    (tmp_path / "clean.txt").write_text("dmk_live_ is how they begin\n", encoding="utf-8")
    done = scan(tmp_path)
    assert (done.returncode, done.stdout) == (0, b"")

    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "app.log").write_text(f"one\ntwo key={key}&x\n", encoding="utf-8")
    (tmp_path / "image.bin").write_bytes(bytes(range(256)) * 9 + key.encode() + b"\0\xff")
    (tmp_path / "win.txt").write_bytes(f"\ufeff$key = '{key}'\r\n".encode("utf-16-le"))
    # Over the end of the buffer that files are read with.
    (tmp_path / "cut.txt").write_bytes(b"x" * (1024 * 1024 - 30) + key.encode() + b"\n")
    os.symlink(tmp_path / "image.bin", tmp_path / "link")
    os.symlink("/", tmp_path / "everything")
    os.mkfifo(tmp_path / "pipe")
    done = scan(tmp_path, "--json")
    assert done.returncode == 1
    places = {(Path(f["place"]).name, f["line"]) for f in found(done)}
    assert places == {("app.log", 2), ("image.bin", 10), ("win.txt", 1), ("cut.txt", 1)}
    assert all(f["key"] == f"{key[:12]}...{key[-4:]}" and f["kind"] == "live" for f in found(done))

    piped = scan("-", stdin=f"\n\n{key}".encode())
    assert piped.returncode == 1 and piped.stdout.startswith(b"-:3: dmk_live_")
    linked = scan(tmp_path / "link")
    assert linked.returncode == 1, "a link that is named is followed"
    for one in (done, piped, linked):
        assert key.encode() not in one.stdout + one.stderr


def test_what_cannot_be_read(keys, tmp_path):
    missing = scan(tmp_path / "nowhere")
    assert missing.returncode == 2 and b"nowhere" in missing.stderr
    (tmp_path / "a").write_text(keys[1]["active"], encoding="utf-8")
    assert scan(tmp_path / "nowhere", tmp_path / "a").returncode == 1
    assert scan().returncode == 2
    assert scan("-", "--revoke", "--reason", "x").returncode == 2
    assert scan("-", "--data", tmp_path / "nowhere").returncode == 2


def test_says_whose_they_are(keys):
    server, made = keys
    text = "\n".join(made.values()).encode()
    done = scan("-", "--json", "--data", server.data, stdin=text)
    assert done.returncode == 1
    states = [f["state"] for f in found(done)]
    assert states == ["active", "revoked", "expired", "unknown"]
    assert [f.get("client_id") for f in found(done)] == ["active", "revoked", "expired", None]
    plain = scan("-", "--data", server.data, stdin=text).stdout.decode()
    assert "active  key_" in plain and "unknown" in plain


@pytest.mark.parametrize("running", [False, True])
def test_revokes_those_that_work(make_server, running):
    server = make_server()
    key, bystander = server.key("user", "leaky"), server.key("user", "bystander")
    if running:
        server.start()
    again = f"{key}\n{key}\n".encode()
    assert scan("-", "--data", server.data, "--revoke", stdin=again).returncode == 2  # no reason
    done = scan("-", "--json", "--data", server.data, "--revoke", "--reason", "in a log",
                stdin=again)
    assert [(f["state"], f["revoked_now"]) for f in found(done)] == [("revoked", True)] * 2
    listed = json.loads(command("key", "list", "--json", "--data", server.data).stdout)
    assert {k["client_id"]: k["state"] for k in listed} == {"leaky": "revoked",
                                                            "bystander": "active"}
    assert bystander
    revokes = [r for r in server.audit() if r["action"] == "key.revoke"]
    assert len(revokes) == 2 and revokes[0]["reason"] == "in a log"
    if running:
        server.stop()


def test_the_folder_is_free_during_a_search(make_server, tmp_path):
    """A server can start while a search runs: the folder is held only while it is asked."""
    server = make_server()
    key = server.key("user", "found")
    (tmp_path / "a").write_text(key, encoding="utf-8")
    os.mkfifo(tmp_path / "b")
    with subprocess.Popen([program(), "key", "scan", tmp_path / "a", tmp_path / "b", "--json",
                           "--data", server.data], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=environment()) as searching:
        with open(tmp_path / "b", "wb") as pipe:  # opens once the search waits for its bytes
            server.start()
            pipe.write(key.encode())
        out, errors = searching.communicate(timeout=120)
    assert searching.returncode == 1, errors
    assert [json.loads(line)["state"] for line in out.splitlines()] == ["active", "active"]
    server.stop()


def test_a_terminal_does_not_obey_a_path(keys, tmp_path):
    hostile = tmp_path / os.fsdecode(b"\x1b]0;owned\x07\xc2\x9b2J\xff")
    hostile.mkdir()
    (hostile / "a").write_text(keys[1]["active"], encoding="utf-8")
    (hostile / ".git").mkdir()  # a problem that names the folder
    for flags in ((), ("--json",)):
        done = scan(hostile, *flags)
        assert done.returncode == 1 and b"git history" in done.stderr
        for bad in (b"\x1b", b"\x07", b"\xc2\x9b", b"\xff"):
            assert bad not in done.stdout + done.stderr, bad
    assert b"?]0;owned??2J?" in scan(hostile).stderr


def test_git_history(keys, tmp_path):
    """A key that was committed and taken out again, one in a message, and one amended away."""
    made = keys[1]
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "-q", "-b", "main")
    # What a hostile repository might configure must not be run.
    canary = tmp_path / "canary"
    for name in ("core.fsmonitor", "core.pager", "diff.external", "gpg.program"):
        git(repository, "config", name, f"touch {canary}; cat")
    git(repository, "config", "log.showSignature", "true")
    settings = repository / "settings with space.env"
    settings.write_text(f"a=1\nKEY={made['active']}\n", encoding="utf-8")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "Add settings")
    first = git(repository, "rev-parse", "HEAD")
    settings.write_text("a=1\n", encoding="utf-8")
    git(repository, "commit", "-q", "-a", "-m", f"Take out {made['revoked']}")
    message = git(repository, "rev-parse", "HEAD")
    (repository / "other").write_text(made["expired"], encoding="utf-8")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "Oops")
    amended = git(repository, "rev-parse", "HEAD:other")
    git(repository, "rm", "-q", "other")
    git(repository, "commit", "-q", "--amend", "--allow-empty", "-m", "Nothing")
    git(repository, "reflog", "expire", "--expire=now", "--all")
    canary.unlink(missing_ok=True)  # the set-up above may have run what it configured

    done = scan(repository, "--json")
    assert done.returncode == 1, done.stderr
    places = {f["place"].removeprefix(f"{repository}@"): f["line"] for f in found(done)}
    assert places.pop(f"{first}:settings with space.env") == 2
    assert places.pop(f"commit {message}") >= 1
    assert places.pop(f"blob {amended}") == 1
    assert not canary.exists()
    assert all("/.git/" in place for place in places), places  # its own files, such as logs
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "-q", "--mirror", str(repository), str(bare))
    assert any(first in f["place"] for f in found(scan(bare, "--json")))
    clean = scan(repository, "--no-history", "--json")
    assert all(first not in f["place"] for f in found(clean))


def test_a_broken_repository_is_said(tmp_path):
    (tmp_path / ".git").mkdir()
    done = scan(tmp_path)
    assert done.returncode == 2 and b"git history" in done.stderr
