"""Somebody tries keys, by the hundred thousand and from many addresses: no key is found, each
address is held off and told for how long, all of it is on record, and a user elsewhere works on."""

import re
import socket
import statistics
import threading
import time
from collections import Counter
from random import Random

import httpx
from support.chat import body, check_error
from support.keys import well_formed_key
from support.program import model_file
from support.server import Server

GUESSES = 100_000
ADDRESSES = 50
CONNECTIONS = 2  # of each address
IN_FLIGHT = 20  # on each connection
FAILURES_PER_MINUTE = 20
RETRY_AFTER = re.compile(rb"\r\nretry-after: (\d+)\r\n", re.IGNORECASE)
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def address_of(guesser: int) -> str:
    """All of 127.0.0.0/8 is this machine; to a server each is another peer."""
    return f"127.0.1.{guesser + 1}"


class Guesser:
    """One connection, on a thread of its own, with several requests in flight."""

    def __init__(self, server: Server, number: int):
        self.statuses: Counter[int] = Counter()
        self.waits: set[int] = set()
        self.problem: Exception | None = None
        self._random = Random(number)
        self._port = server.http_port
        self._address = address_of(number % ADDRESSES)
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=120,
                                          source_address=(self._address, 0)) as connection:
                for _ in range(GUESSES // (ADDRESSES * CONNECTIONS * IN_FLIGHT)):
                    connection.sendall(b"".join(self._request() for _ in range(IN_FLIGHT)))
                    self._take_answers(connection)
        except Exception as error:  # noqa: BLE001 - said by the test
            self.problem = error

    def _request(self) -> bytes:
        key = well_formed_key(self._random.choice(("live", "ops", "adm", "aud")),
                              self._random.randbytes(32).hex())
        return (f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: Bearer {key}\r\n\r\n").encode()

    def _take_answers(self, connection: socket.socket) -> None:
        seen = b""
        while seen.count(b'"code":') < IN_FLIGHT and seen.count(b"HTTP/1.1 200") == 0:
            piece = connection.recv(65536)
            if not piece:
                raise ConnectionError(f"closed after {seen[-200:]!r}")
            seen += piece
        self.statuses.update(map(int, STATUS.findall(seen)))
        self.waits.update(map(int, RETRY_AFTER.findall(seen)))


class User:
    """Goes about his work from another address until told to stop."""

    def __init__(self, server: Server):
        self.latencies_s: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.stop = threading.Event()
        self._server, self._key = server, server.key("user", "works-on")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._server.http(self._key) as client:
            while not self.stop.is_set():
                begun = time.monotonic()
                self.statuses[client.get("/v1/models").status_code] += 1
                self.latencies_s.append(time.monotonic() - begun)
                answer = client.post("/v1/chat/completions", json=body(max_tokens=1))
                self.statuses[answer.status_code] += 1

    def end(self) -> None:
        self.stop.set()
        self._thread.join(120)
        assert not self._thread.is_alive()


def from_address(server: Server, address: str, key: str) -> httpx.Response:
    transport = httpx.HTTPTransport(local_address=address)
    with httpx.Client(transport=transport, timeout=60) as client:
        return client.get(f"{server.http_url}/v1/models",
                          headers={"authorization": f"Bearer {key}"})


def shown(name: str, latencies_s: list[float]) -> str:
    ordered = sorted(latencies_s)
    return (f"{name}: {len(ordered)} calls, median {statistics.median(ordered) * 1e3:.1f} ms, "
            f"p99 {ordered[len(ordered) * 99 // 100] * 1e3:.1f} ms")


def test_a_hundred_thousand_guesses(make_server, capsys):
    server = make_server(
        {"limits": {"authentication_failures_per_minute": FAILURES_PER_MINUTE}},
        model=model_file()).start()
    alone = User(server)
    time.sleep(1)
    alone.end()
    user = User(server)
    guessers = [Guesser(server, number) for number in range(ADDRESSES * CONNECTIONS)]
    begun = time.monotonic()
    for guesser in guessers:
        guesser.thread.start()
    for guesser in guessers:
        guesser.thread.join(120)
        assert not guesser.thread.is_alive() and guesser.problem is None, guesser.problem
    took_s = time.monotonic() - begun
    user.end()

    statuses = sum((guesser.statuses for guesser in guessers), Counter())
    with capsys.disabled():
        print(f"\n{GUESSES} guesses from {ADDRESSES} addresses in {took_s:.1f} s "
              f"({GUESSES / took_s:.0f}/s): {dict(statuses)}")
        print(shown("the user without them", alone.latencies_s))
        print(shown("the user beside them", user.latencies_s))
    assert statuses.total() == GUESSES and set(statuses) == {401, 429}
    # What may be looked at: each address's burst, and what ran out of its bucket meanwhile. Calls
    # of one address on its connections may pass together.
    allowed = FAILURES_PER_MINUTE * (1 + CONNECTIONS * took_s / 60) + CONNECTIONS
    assert ADDRESSES * FAILURES_PER_MINUTE <= statuses[401] <= ADDRESSES * allowed
    assert set(user.statuses) == {200} and len(user.latencies_s) > 5, user.statuses
    # One failure runs out of a bucket of 20 a minute in 3 s: no address waits longer.
    assert set().union(*(guesser.waits for guesser in guessers)) <= {1, 2, 3}
    check_the_wait(server)
    check_the_record(server, statuses)
    server.stop()


def check_the_wait(server: Server) -> None:
    """As long as it says and no longer, and for nobody else."""
    key = server.shared_key("user")
    address = address_of(0)
    assert from_address(server, "127.0.2.1", key).status_code == 200
    for _ in range(5):  # one failure runs out each 3 s: a slow moment of the machine
        for _ in range(FAILURES_PER_MINUTE):  # at its fullest, whatever ran out since
            from_address(server, address, well_formed_key("live", "5a" * 32))
        held = from_address(server, address, key)
        if held.status_code == 429:
            break
    check_error(held, 429, "too_many_failed_authentications")
    wait_s = int(held.headers["retry-after"])
    assert 1 <= wait_s <= 3
    time.sleep(wait_s)
    assert from_address(server, address, key).status_code == 200


def check_the_record(server: Server, statuses: Counter) -> None:
    """Every guess is on record with its address, and none names a key or its holder."""
    guesses = [r for r in server.audit()
               if r["phase"] == "result" and r.get("ip_address", "").startswith("127.0.1.")]
    first = guesses[:GUESSES]
    assert Counter(r["status"] for r in first) == statuses
    assert all(r["outcome"] == "refused" and not r.get("key_id") and not r.get("operator")
               for r in first)
    assert len({r["ip_address"] for r in first}) == ADDRESSES
