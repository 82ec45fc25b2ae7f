"""Requests and the whole answers to them, as text beside this file.

Each *.txt holds a request, a line `----` and the answer. In a request {{admin}}, {{user}},
{{fresh}} (of this case alone), {{revoked}} and {{expired}} are keys, {{x*9}} is nine x, and each
{{again}} sends it once more. In an answer {{id}} stands for any request id, {{seconds}} for any
wait. `pytest tests/golden --update-golden` writes the answers anew; look at the difference then.
"""

import re
from pathlib import Path

import pytest
from support.program import command
from support.raw_http import RawConnection
from support.server import Server

HERE = Path(__file__).resolve().parent
CASES = sorted(HERE.glob("*.txt"))
FENCE = "\n----\n"
SETTINGS = {"server": {"body_bytes_max": 1024}, "limits": {"requests_per_minute": 3}}


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory):
    """A server without a model; it takes about a second to start."""
    server = Server(tmp_path_factory.mktemp("golden"), SETTINGS)
    try:
        yield server.start()
        server.stop()
    finally:
        server.discard()


BOUND = {"elsewhere": ("--ip", "10.0.0.0/8"), "narrow": ("--scope", "see_models")}


def key(name: str, server: Server, case: str) -> str:
    if name in ("admin", "user"):
        return server.shared_key(name)
    made = server.key("user", case.replace("_", "-"), *BOUND.get(name, ()))
    if name == "revoked":
        command("key", "revoke", made, "--reason", "golden", "--data", server.data)
    elif name == "expired":
        command("key", "expire", made, "--data", server.data)
    return made


def wire(text: str, server: Server, case: str) -> bytes:
    """A request as it is sent: line ends of HTTP, keys, and the length of its body."""
    text = re.sub(r"\{\{(admin|user|fresh|revoked|expired|elsewhere|narrow)\}\}",
                  lambda m: key(m[1], server, case), text)
    text = re.sub(r"\{\{(.)\*(\d+)\}\}", lambda m: m[1] * int(m[2]), text)
    head, _, body = text.replace("{{again}}", "").partition("\n\n")
    head = head.rstrip("\n").replace("{{length}}", str(len(body.encode())))
    return head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body.encode()


def shown(answer) -> str:
    """An answer as text, without what differs from run to run."""
    headers = {**answer.headers, "x-request-id": "{{id}}"}
    for name, varies in (("retry-after", "{{seconds}}"), ("x-audit-record", "{{record}}")):
        if name in headers:
            headers[name] = varies
    head = "".join(f"{name}: {value}\n" for name, value in sorted(headers.items()))
    body = answer.body.decode().replace(answer.headers["x-request-id"], "{{id}}")
    return f"{answer.status}\n{head}\n{body}\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_answer_is_as_written_down(case: Path, quiet: Server, request: pytest.FixtureRequest):
    asked, _, expected = case.read_text(encoding="utf-8").partition(FENCE)
    sent = wire(asked, quiet, case.stem)
    with RawConnection(quiet.http_port) as connection:
        for _ in range(1 + asked.count("{{again}}")):
            connection.send(sent)
            answer = connection.answer()
    assert len(answer.headers["x-request-id"]) == 32
    got = shown(answer)
    if request.config.getoption("--update-golden"):
        case.write_text(asked + FENCE + got, encoding="utf-8")
    else:
        assert got == expected


def test_every_case_says_something_else():
    asked = [case.read_text(encoding="utf-8").partition(FENCE)[0] for case in CASES]
    assert len(set(asked)) == len(asked) > 30
