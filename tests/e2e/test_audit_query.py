"""Questions to the audit log that nothing can fit: refused by name, not answered with nothing."""

import pytest
from support.chat import check_error
from support.program import command
from support.server import Server

SPAN = ("--since", "2026-12-01", "--until", "2026-11-30")


@pytest.mark.parametrize(("flags", "words"), [
    (("--class", "secret"), ("--class: one of public, internal, sensitive, restricted",)),
    (("--operation", "LOOK"), ("--operation: one of READ",)),
    (("--outcome", "good"), ("--outcome: one of pending",)),
    (("--phase", "first"), ("--phase: one of operations",)),
    (("--since", "yesterday"), ("--since: ", "2026-11-30")),
    (SPAN, ("--until: 2026-11-30", "is not after --since, 2026-12-01")),
    (("--limit", "0"), ("--limit: from 1",)),
    (("--tenant", ""), ("--tenant: ", "leave it out")),
    (("--person", ""), ("--person: ", "leave it out")),
])
def test_the_command_names_its_option_and_prints_nothing_else(server: Server, flags, words):
    done = command("audit", "query", "--data", server.data, "--format", "table", *flags,
                   check=False)
    assert (done.returncode, done.stdout) == (2, ""), done.stdout
    assert all(word in done.stderr for word in words), done.stderr


def test_an_export_that_nothing_fits_is_refused_too(server: Server, tmp_path):
    path = tmp_path / "export.ndjson"
    for flags, option in ((("--class", "secret"), "--class: "), (SPAN, "--until: ")):
        done = command("audit", "export", "-o", path, "--data", server.data, "--config",
                       server.config, *flags, check=False)
        assert done.returncode == 2 and option in done.stderr, done.stderr
        assert not path.exists()


@pytest.mark.parametrize("shape", ["csv", "table"])
def test_an_answer_has_its_header_with_records_and_without(server: Server, shape):
    def lines(*flags: str) -> list[str]:
        return command("audit", "query", "--data", server.data, "--format", shape,
                       *flags).stdout.splitlines()

    server.shared_key("user")  # is made, which is on record
    some, none = lines("--limit", "1"), lines("--tenant", "nobody-has-this")
    assert len(some) == 2 and none == some[:1]


@pytest.mark.parametrize(("query", "param"), [
    ("class=secret", "class"),
    ("since=2026-12-01&until=2026-11-30", "until"),
    ("since=2026-11-30&until=2026-11-30", "until"),
    ("tenant=", "tenant"),
    ("tenant", "tenant"),
    ("operator=", "operator"),
    ("since=", "since"),
    ("format=", "format"),
    ("=acme", "query"),
])
def test_over_http_it_is_refused_with_the_parameter(server: Server, query, param):
    with server.http(server.shared_key("auditor")) as client:
        for route in ("records", "export"):
            answer = client.get(f"/admin/v1/audit/{route}?{query}")
            error = check_error(answer, 400, "invalid_value", param)
            assert error["message"].startswith(f"{param}: "), error


def test_a_question_mark_alone_asks_for_nothing(server: Server):
    with server.http(server.shared_key("auditor")) as client:
        for query in ("?", "?limit=1&"):
            assert client.get("/admin/v1/audit/records" + query).status_code == 200, query
