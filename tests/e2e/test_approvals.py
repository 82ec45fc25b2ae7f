"""Two persons for what cannot be undone, with the real program: nothing before the second one's
yes, all of it after, and what waits outlives the server."""

import json
import re
import signal
import sqlite3
import time
from collections.abc import Iterator

import httpx
import pytest
from support.certificates import issue
from support.chat import check_error
from support.program import command
from support.receiver import Receiver
from support.server import Server, wait_for

ROLL = "/admin/v1/custody/roll"
TWO_PERSONS = {"approval": {"two_persons": True}}


class Persons:
    """Two administrators of one server that wants both of them."""

    def __init__(self, server: Server):
        self.server = server
        self.keys = {name: server.key("admin", name) for name in ("boss", "second")}
        server.configure(TWO_PERSONS)
        server.signal(signal.SIGHUP)
        wait_for("the configuration is reloaded",
                 lambda: "configuration was reloaded" in server.log.read_text(), 30)

    def ask(self, name: str, method: str, path: str, body: dict | None = None) -> httpx.Response:
        with self.server.http(self.keys[name]) as client:
            return client.request(method, path, json=body)

    def held(self, name: str, path: str, body: dict | None = None) -> str:
        answer = self.ask(name, "POST", path, body)
        assert answer.status_code == 202, answer.text
        assert answer.json()["state"] == "waiting_for_approval"
        return answer.json()["approval"]["id"]

    def approve(self, name: str, approval: str) -> httpx.Response:
        return self.ask(name, "POST", f"/admin/v1/approvals/{approval}/approve")

    def state(self, approval: str) -> str:
        listed = self.ask("boss", "GET", "/admin/v1/approvals").json()["data"]
        return next(one["state"] for one in listed if one["id"] == approval)


@pytest.fixture
def persons(make_server) -> Persons:
    return Persons(make_server().start())


def desk(server: Server, *arguments: object, check: bool = True):
    return command(*arguments, "--data", server.data, "--config", server.config, check=check)


def generation(server: Server) -> int:
    return json.loads(desk(server, "custody", "status", "--json").stdout)["envelope"]["generation"]


def waits(done) -> str:
    """A command that did nothing yet says so to a person; returns the approval."""
    assert done.returncode == 1 and done.stdout == "", done.stdout
    assert "nothing is done yet" in done.stderr and "second person" in done.stderr
    assert "{" not in done.stderr, "a person is not shown JSON"
    return re.search(r"apr_[0-9a-f]{24}", done.stderr)[0]


def test_root_keys_are_rolled_by_two_over_a_restart(persons):
    server = persons.server
    approval = persons.held("boss", ROLL)
    assert generation(server) == 1
    check_error(persons.approve("boss", approval), 403, "second_person_required")
    server.kill()  # what waits is on the disk
    server.start()
    assert persons.state(approval) == "waiting" and generation(server) == 1
    done = persons.approve("second", approval)
    assert done.status_code == 200 and done.json()["new_generation"] == 2, done.text
    assert generation(server) == 2
    check_error(persons.approve("second", approval), 409, "approval_decided")
    assert generation(server) == 2
    rolls = [r for r in server.audit() if r["action"] == "custody.roll"]
    assert [(r["phase"], r["operator"], r["reason"]) for r in rolls] == [
        (phase, "boss", f"approved by default/second ({approval})")
        for phase in ("intent", "result")]
    approvals = [r for r in server.audit() if r["action"] == "approval.approve"
                 and r["operator"] == "second" and r["outcome"] == "success"]
    assert [r["reason"] for r in approvals] == ["custody.roll requested by default/boss"]
    server.stop()


def test_the_command_line_shows_what_waits_and_decides(persons):
    server = persons.server
    rolled = waits(desk(server, "custody", "roll", check=False))
    assert generation(server) == 1
    listed = desk(server, "approval", "list").stdout
    assert rolled in listed and "custody.roll" in listed and "default/local:" in listed
    own = desk(server, "approval", "approve", rolled, check=False)
    assert own.returncode == 1 and "another person" in own.stderr
    assert persons.approve("second", rolled).status_code == 200
    assert generation(server) == 2

    made = persons.held("boss", "/admin/v1/keys", {"client_id": "third", "role": "admin"})
    answer = json.loads(desk(server, "approval", "approve", made).stdout)
    assert answer["client_id"] == "third" and answer["key"].startswith("dmk_adm_")
    removed = waits(desk(server, "totp", "remove", "--client-id", "third", check=False))
    key = waits(desk(server, "key", "create", "--client-id", "x", "--role", "operator",
                     check=False))
    for approval in (removed, key):
        said = desk(server, "approval", "refuse", approval, "--reason", "a mistake").stdout
        assert "withdrawn" in said
        check_error(persons.approve("boss", approval), 409, "approval_decided")
    assert desk(server, "approval", "list").stdout.count("\n") == 1, "the heading alone"
    every = json.loads(desk(server, "approval", "list", "--all", "--json").stdout)
    assert sorted(one["state"] for one in every) == ["done", "done", "withdrawn", "withdrawn"]
    assert server.key("user", "anybody"), "a user's key needs one person"
    server.stop()


def test_without_a_server_there_is_one_person(persons):
    server = persons.server
    waiting = persons.held("boss", ROLL)
    server.stop()
    for arguments in (("custody", "roll"), ("totp", "remove", "--client-id", "boss"),
                      ("model", "remove", "qwen", "1"),
                      ("key", "create", "--client-id", "x", "--role", "admin"),
                      ("person", "create", "x", "--role", "admin"),
                      ("person", "reset-password", "x")):
        refused = desk(server, *arguments, check=False)
        assert refused.returncode == 1, arguments
        assert "two persons" in refused.stderr and "start the server" in refused.stderr
    for arguments in (("list",), ("approve", waiting)):
        refused = desk(server, "approval", *arguments, check=False)
        assert refused.returncode == 1 and "start it" in refused.stderr
    assert generation(server) == 1
    assert desk(server, "key", "create", "--client-id", "x").stdout.startswith("dmk_live_")
    server.start()
    assert persons.state(waiting) == "waiting"
    server.stop()


def test_a_row_edited_in_the_database_is_refused(persons):
    server = persons.server
    remove = "/admin/v1/second-factors/remove"
    harmless = persons.held("boss", remove, {"client_id": "gone"})
    late = persons.held("boss", ROLL)
    server.stop()
    with sqlite3.connect(server.data / "deepmoat.db") as database:
        body = json.dumps({"client_id": "second", "tenant": "default"})
        changed = database.execute("UPDATE approvals SET body = ? WHERE approval_id = ?",
                                   (body, harmless)).rowcount
        changed += database.execute("UPDATE approvals SET operator_id = 'third' "
                                    "WHERE approval_id = ?", (late,)).rowcount
        assert changed == 2
    database.close()
    server.start()
    for approval in (harmless, late):
        assert persons.state(approval) == "altered"
        for name in ("boss", "second"):
            check_error(persons.approve(name, approval), 409, "approval_altered")
    assert generation(server) == 1
    assert not [r for r in server.audit() if r["action"] in ("custody.roll",
                                                             "second_factor.remove")]
    server.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def test_administrators_are_told_that_something_waits(persons, receiver):
    server = persons.server
    desk(server, "webhook", "add", receiver.url, "--event", "approval.waiting")
    approval = persons.held("boss", "/admin/v1/keys", {"client_id": "third", "role": "admin"})
    wait_for("the receiver is told", lambda: receiver.received, 60)
    message = receiver.received[0].json
    assert message["event"] == "approval.waiting"
    told = message["approval"]
    assert (told["id"], told["action"], told["resource"], told["requested_by"]) == \
        (approval, "key.create", "default/third admin", "default/boss")
    assert told["expires_at"] > time.time() and "request" not in told
    server.stop()


def test_a_certificate_makes_nobody_a_second_person(persons, tmp_path):
    """An administrator can have a certificate of anybody, and would be both."""
    server = persons.server
    made = persons.ask("boss", "POST", "/admin/v1/people", {"name": "bea", "role": "admin"})
    assert made.status_code == 202, made.text
    assert persons.approve("second", made.json()["approval"]["id"]).status_code == 200
    assert persons.ask("boss", "POST", "/admin/v1/people",
                       {"name": "uwe", "role": "user"}).status_code == 200
    for name, status in (("bea", 401), ("uwe", 200)):
        trust = server.trust()
        trust.load_cert_chain(*issue(server, tmp_path / name, name))
        with httpx.Client(base_url=server.url, verify=trust, trust_env=False) as client:
            answer = client.post("/v1/sessions", json={"name": name})
        assert answer.status_code == status, answer.text
    assert [r["reason"] for r in server.audit() if r["action"] == "session.open"
            and r["outcome"] == "refused"] == ["certificate_not_enough"]
