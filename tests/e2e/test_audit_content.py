"""What auditors set from the command line: content that is kept sealed, read with a reason, and
held; and retention, by hand on a stopped server."""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.chat import body
from support.program import command, environment, program
from support.server import Server, every_byte_under

CHAT = "/v1/chat/completions"
QUESTION = "Where does the ferryman of Wuzhen keep his lantern?"


@pytest.fixture
def auditor(fresh_server: Server, tmp_path: Path):
    """The command line of an auditor of the server."""
    key_file = tmp_path / "auditor.key"
    key_file.write_text(fresh_server.shared_key("auditor") + "\n", encoding="utf-8")

    def run(*arguments: object, check: bool = True):
        return command("audit", *arguments, "--data", fresh_server.data, "--key-file", key_file,
                       check=check)

    return run


def ask(server: Server) -> tuple[dict, dict]:
    """The call's answer and its audit record."""
    with server.http(server.shared_key("user")) as client:
        answer = client.post(CHAT, json=body(QUESTION, max_tokens=8),
                             headers={"x-deepmoat-data-class": "sensitive"})
    assert answer.status_code == 200, answer.text
    return answer.json(), server.result_of(answer.headers["x-request-id"])


def test_kept_content_is_sealed_and_read_with_a_reason(fresh_server: Server, auditor):
    server = fresh_server
    assert "content" not in ask(server)[1], "without a policy nothing is kept"
    policy = auditor("policy", "add", "--class", "sensitive", "--days", "30",
                     "--reason", "inspection 7/2026").stdout.split()[0]
    answer, record = ask(server)
    assert len(record["content"]) == 64
    assert QUESTION.encode() not in every_byte_under(server.data)

    refused = auditor("content", record["request_id"], "--reason", "no", check=False)
    assert refused.returncode == 1 and "reason" in refused.stderr
    read = json.loads(auditor("content", record["request_id"], "--reason", "case 12/2026").stdout)
    assert QUESTION in read["input"]
    assert read["output"] == answer["choices"][0]["message"]["content"]
    assert read["content"] == record["content"]
    intent, result = [r for r in server.audit() if r["action"] == "audit.content.read"][-2:]
    assert (intent["phase"], intent["operator"]) == ("intent", "test-auditor")
    assert "case 12/2026" in intent["reason"] and result["outcome"] == "success"

    # The owner of the data folder administers, and may not.
    with server.http(server.shared_key("admin")) as admin:
        denied = admin.post(f"/admin/v1/audit/content/{record['request_id']}",
                            json={"reason": "curiosity"})
    assert denied.status_code == 403
    auditor("policy", "remove", policy)
    assert "content" not in ask(server)[1]
    assert json.loads(auditor("policy", "list", "--json").stdout) == []


def test_holds_are_placed_and_released(fresh_server: Server, auditor):
    hold = auditor("hold", "place", "--operator", "test-user", "--reason", "lawsuit 3/2026")
    hold_id = hold.stdout.split()[0]
    listed = json.loads(auditor("hold", "list", "--json").stdout)
    assert [(one["id"], one["state"]) for one in listed] == [(hold_id, "in_force")]
    nothing = auditor("hold", "place", "--reason", "of nothing", check=False)
    assert nothing.returncode == 1 and "--since and --until" in nothing.stderr
    auditor("hold", "release", hold_id)
    listed = json.loads(auditor("hold", "list", "--json").stdout)
    assert listed[0]["state"] == "released"


def test_a_hold_takes_the_times_that_a_query_takes(fresh_server: Server, auditor):
    auditor("hold", "place", "--since", "2026-11-01", "--until", "2026-11-30T12:00:00.001Z",
            "--reason", "lawsuit 3/2026")
    listed = json.loads(auditor("hold", "list", "--json").stdout)
    assert (listed[0]["since"], listed[0]["until"]) == (1_793_491_200, 1_796_040_001)
    for flags, words in ((("--since", "yesterday"), ("--since: ", "2026-11-30")),
                         (("--since", "1d", "--until", "2d"), ("--until: ", "after --since"))):
        done = auditor("hold", "place", *flags, "--reason", "lawsuit 3/2026", check=False)
        assert done.returncode == 1, done.stdout
        assert all(word in done.stderr for word in words), done.stderr


def test_a_hold_of_a_person_is_of_the_name_that_records_have(fresh_server: Server, auditor):
    auditor("hold", "place", "--operator", "person:alice", "--reason", "lawsuit 3/2026")
    listed = json.loads(auditor("hold", "list", "--json").stdout)
    assert listed[0]["operator_id"] == "alice"
    assert "person:NAME" in command("audit", "hold", "place", "--help").stdout


@pytest.mark.parametrize(("flags", "option"), [
    (("--days", "0"), "--days"),
    (("--days", "30", "--share", "2"), "--share"),
    (("--days", "30", "--class", "secret"), "--class"),
    (("--days", "30", "--tenant", "No Name"), "--tenant"),
    (("--days", "30", "--tenant", ""), "--tenant"),
])
def test_what_is_wrong_is_named_by_its_option(server: Server, tmp_path, flags, option):
    key_file = tmp_path / "auditor.key"
    key_file.write_text(server.shared_key("auditor") + "\n", encoding="utf-8")
    done = command("audit", "policy", "add", *flags, "--reason", "inspection 7/2026", "--data",
                   server.data, "--key-file", key_file, check=False)
    assert done.returncode != 0 and f"{option}: " in done.stderr, done.stderr


def test_retention_by_hand(make_server):
    server = make_server().start()
    beside = command("audit", "retention", "--data", server.data, "--config", server.config,
                     check=False)
    assert beside.returncode == 1 and "once a day" in beside.stderr
    server.stop()
    for flags in (("--dry-run",), (), ("--clock-is-right",)):
        done = command("audit", "retention", "--data", server.data, "--config", server.config,
                       *flags)
        assert "the text of 0 records" in done.stdout
    server.verify()


def fill_segments(server: Server, number: int) -> None:
    """Reads until there are records in this file of the log."""
    file = server.data / "audit" / f"audit-{number:012}.seg"
    with server.http(server.shared_key("user")) as client, ThreadPoolExecutor(8) as pool:
        for _ in range(200):
            if file.exists() and any(file.read_bytes()[1000:2000]):
                return
            list(pool.map(lambda _: client.get("/v1/models/" + 200 * "x"), range(100)))
    raise AssertionError(f"nothing in {file.name} after 20000 calls")


def test_a_dry_run_says_what_the_same_run_does(make_server):
    """Under a clock that is far ahead, as after a mistake."""
    server = make_server({"audit": {"segment_mib": 1}}).start()
    fill_segments(server, 3)
    server.stop()

    def retain(*flags: str) -> tuple[int, str]:
        """How many records went, or would, and what was said of the clock."""
        done = subprocess.run(
            ["faketime", "-f", "+400d", program(), "audit", "retention", "--data", server.data,
             "--config", server.config, *flags], capture_output=True, text=True, timeout=120,
            check=True, env=environment(FAKETIME_DONT_FAKE_MONOTONIC="1"))
        return int(re.search(r"the text of (\d+) records", done.stdout)[1]), done.stderr

    for flags in (("--dry-run",), ()):
        removed, said = retain(*flags)
        assert removed == 0, flags
        assert "days ahead" in said and "at most 2 days" in said, said
        assert "--clock-is-right goes the whole way" in said, said
    would, said = retain("--dry-run", "--clock-is-right")
    assert would > 500 and "--clock-is-right" not in said, said
    assert retain("--clock-is-right")[0] == would
    server.verify()


def test_no_time_shorter_than_the_law_is_taken(make_server):
    server = make_server({"audit": {"keep_days": 30}})
    done = command("config", "check", server.config, check=False)
    assert done.returncode != 0 and "keep_days" in done.stderr + done.stdout
    assert "184" in done.stderr + done.stdout
