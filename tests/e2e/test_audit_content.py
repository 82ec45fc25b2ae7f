"""What auditors set from the command line: content that is kept sealed, read with a reason, and
held; and retention, by hand on a stopped server."""

import json
from pathlib import Path

import pytest
from support.chat import body
from support.program import command
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
    assert auditor("hold", "place", "--reason", "of nothing", check=False).returncode == 1
    auditor("hold", "release", hold_id)
    listed = json.loads(auditor("hold", "list", "--json").stdout)
    assert listed[0]["state"] == "released"


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


def test_no_time_shorter_than_the_law_is_taken(make_server):
    server = make_server({"audit": {"keep_days": 30}})
    done = command("config", "check", server.config, check=False)
    assert done.returncode != 0 and "keep_days" in done.stderr + done.stdout
    assert "184" in done.stderr + done.stdout
