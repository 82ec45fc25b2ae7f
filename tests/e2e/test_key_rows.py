"""Rows of keys that somebody edited, copied or made in the database file: each is refused, whatever
column it was, and no other key suffers.

The columns are read from the table itself, so that one which is added later is tried too."""

import json
import sqlite3
from contextlib import closing

import pytest
from support.chat import check_error
from support.program import command
from support.server import Server

ATTRIBUTES = ("--model", "demo", "--adapter", "poet:0.7", "--ip", "127.0.0.0/8", "--data-class",
              "internal", "--scope", "see_models", "--requests-per-minute", "600",
              "--tokens-per-minute", "1000", "--concurrent-calls", "2", "--label", "note",
              "--label-pair", "team=x")


class Rows:
    """The table of a server that does not run."""

    def __init__(self, server: Server):
        self._path = server.data / "deepmoat.db"

    def run(self, sql: str, *values: object) -> list[tuple]:
        with closing(sqlite3.connect(self._path)) as database, database:
            database.execute("PRAGMA ignore_check_constraints = ON")  # as a forger would
            return database.execute(sql, values).fetchall()

    def columns(self) -> list[str]:
        return [column[1] for column in self.run("PRAGMA table_info(api_keys)")]

    def of(self, key_id: str) -> dict:
        columns = self.columns()
        row, = self.run("SELECT * FROM api_keys WHERE key_id = ?", key_id)
        return dict(zip(columns, row, strict=True))

    def edit(self, key_id: str, column: str, value: object) -> None:
        self.run(f"UPDATE api_keys SET {column} = ? WHERE key_id = ?", value, key_id)

    def insert(self, row: dict) -> None:
        self.run(f"INSERT INTO api_keys ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
                 *row.values())


def edits_of(column: str, value: object) -> list[object]:
    if isinstance(value, int):
        return [value + 1] if column == "adapter_only" else [value + 1, value - 1, -value - 7]
    edits = [value + "x", "x" + value]
    return edits if not value else [*edits, "", value[:-1], value.swapcase() + " "]


def make_key(server: Server, client: str, role: str = "user", *more: str) -> tuple[str, str]:
    """The key and its id."""
    key = server.key(role, client, *more)
    shown = json.loads(command("key", "show", key, "--json", "--data", server.data).stdout)
    return key, shown["id"]


def make_keys(server: Server, wanted: list[dict]) -> list[tuple[str, str]]:
    """Many at once, over the admin interface."""
    with server.http(server.shared_key("admin")) as admin:
        answers = [admin.post("/admin/v1/keys", json=one) for one in wanted]
    assert {answer.status_code for answer in answers} == {200}, answers[0].text
    return [(answer.json()["key"], answer.json()["id"]) for answer in answers]


FIELDS = {"role": "user", "models": ["demo"], "adapter": "poet:0.7", "ip_ranges": ["127.0.0.0/8"],
          "data_class": "internal", "scopes": ["see_models"], "label": "note",
          "limits": {"requests_per_minute": 600, "tokens_per_minute": 1000, "concurrent_calls": 2},
          "labels": {"team": "x"}}


def status_of(server: Server, key: str):
    with server.http(key) as client:
        return client.get("/v1/models")


def test_every_column_edited(make_server):
    server = make_server().start()
    (template_key, template_id), = make_keys(server, [{"client_id": "template", **FIELDS}])
    rows = Rows(server)
    columns = rows.columns()
    edits = [(column, number) for column in columns
             for number in range(len(edits_of(column, rows.of(template_id)[column])))]
    keys = make_keys(server, [{"client_id": f"edited-{i}", **FIELDS} for i in range(len(edits))])
    assert all(status_of(server, key).status_code == 200 for key, _ in keys)
    server.stop()
    for (column, number), (_, key_id) in zip(edits, keys, strict=True):
        rows.edit(key_id, column, edits_of(column, rows.of(key_id)[column])[number])
    server.start()
    assert status_of(server, template_key).status_code == 200
    for (column, number), (key, _) in zip(edits, keys, strict=True):
        answer = status_of(server, key)
        assert answer.status_code == 401, f"{column}, edit {number}: {answer.text}"
        check_error(answer, 401, "invalid_api_key")
    listed = json.loads(command("key", "list", "--json", "--data", server.data).stdout)
    states = {one["id"]: one["state"] for one in listed}
    corrupt = [key_id for key_id, state in states.items() if state == "corrupt"]
    assert len(corrupt) == len(edits), "what was edited is listed as that"
    assert states[template_id] == "active"
    assert any("altered outside" in line["message"] for line in server.log_lines())
    server.stop()


def test_rows_copied_swapped_and_made(make_server, tmp_path):
    server = make_server().start()
    keys = make_keys(server, [{"client_id": f"low-{i}"} for i in range(6)])
    (boss, boss_id), = make_keys(server, [{"client_id": "boss", "role": "admin"}])
    server.stop()
    rows = Rows(server)
    admin_row, low = rows.of(boss_id), [rows.of(key_id) for _, key_id in keys]
    # 0: all of the administrator's row but what finds it.
    for column, value in admin_row.items():
        if column not in ("key_id", "lookup"):
            rows.edit(keys[0][1], column, value)
    # 1 and 2: each found by the other's key.
    rows.edit(keys[1][1], "lookup", "0" * 64)
    rows.edit(keys[2][1], "lookup", low[1]["lookup"])
    rows.edit(keys[1][1], "lookup", low[2]["lookup"])
    # 3: a row of another installation, with a key of there.
    other = make_server()
    their_key, their_id = make_key(other, "theirs", "admin")
    rows.insert(Rows(other).of(their_id))
    # 4: taken away and put back under another id.
    rows.run("DELETE FROM api_keys WHERE key_id = ?", keys[4][1])
    rows.insert({**low[4], "key_id": "key_" + "0" * 24})
    server.start()
    for name, key in (("copied", keys[0][0]), ("swapped", keys[1][0]), ("swapped", keys[2][0]),
                      ("another installation's", their_key), ("another id", keys[4][0])):
        answer = status_of(server, key)
        assert answer.status_code == 401, name
        check_error(answer, 401, "invalid_api_key")
    assert status_of(server, keys[5][0]).status_code == 200
    assert status_of(server, boss).status_code == 200
    server.stop()


@pytest.mark.parametrize("action", ["change", "revoke", "expire"])
def test_no_command_makes_an_edited_row_good(make_server, action):
    server = make_server()
    key, key_id = make_key(server, "app", "user", *ATTRIBUTES)
    rows = Rows(server)
    rows.edit(key_id, "ip_ranges", "0.0.0.0/0")
    arguments = {"change": ("--label", "x"), "revoke": ("--reason", "odd"), "expire": ()}[action]
    refused = command("key", action, key_id, *arguments, "--data", server.data, check=False)
    assert refused.returncode == 1 and "altered from outside" in refused.stderr, refused.stdout
    assert rows.of(key_id)["ip_ranges"] == "0.0.0.0/0"
    server.start()
    check_error(status_of(server, key), 401, "invalid_api_key")
    server.stop()
