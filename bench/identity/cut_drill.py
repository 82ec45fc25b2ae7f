"""How soon it is over: a leaked key with many open streams, beside keys that must go on.

    python3 bench/identity/cut_drill.py --streams 1000 --others 20

Starts the built program with the demo model (DEEPMOAT_BIN, DEEPMOAT_MODEL, as ./test sets them),
opens the streams over plain HTTP, runs `deepmoat key leak`, and reports. At most 64 calls compute
at once; the others wait in the model's queue with their stream begun and a keep-alive each second.

Times count from the moment when the intent of the leak was on the disk: a library that is loaded
into the server notes when each fdatasync() began and came back. Arrivals are the kernel's time
stamps, so that a client that is busy reading a thousand sockets makes no event late.
"""

import argparse
import json
import os
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tools")]
sys.dont_write_bytecode = True
import model  # noqa: E402
from support.program import program  # noqa: E402
from support.server import MODEL, Server  # noqa: E402

SO_TIMESTAMPNS = 35
OPEN_WAIT_S = 240
COMPUTE_AT_ONCE = 64  # calls of one worker
END_WAIT_S = 120
AFTER_S = 3  # how long the others are watched after the cut

TEXT = re.compile(rb'"content":"[^"]')

SYNC_TIMES = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int fdatasync(int fd) {
  static int (*real)(int);
  static FILE* out;
  if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
  if (!out && getenv("SYNC_TIMES")) out = fopen(getenv("SYNC_TIMES"), "ae");
  struct timespec begun, ended;
  clock_gettime(CLOCK_MONOTONIC, &begun);
  int done = real(fd);
  clock_gettime(CLOCK_MONOTONIC, &ended);
  if (out) {
    fprintf(out, "%lld %lld\n", begun.tv_sec * 1000000000LL + begun.tv_nsec,
            ended.tv_sec * 1000000000LL + ended.tv_nsec);
    fflush(out);
  }
  return done;
}
"""


class Stream:
    """One open stream, read by whoever polls its socket."""

    def __init__(self, server: Server, key: str, number: int):
        self.last_text_ns = 0
        self.last_byte_ns = 0
        self.error_ns = 0
        self.closed_ns = 0
        self.begun = False
        self.texts = 0
        self.tail = b""
        body = json.dumps({"model": MODEL, "stream": True, "max_tokens": 1500, "temperature": 0,
                           "ignore_eos": True, "messages": [{
                               "role": "user", "content": f"Count on from {number}."}]}).encode()
        self.socket = socket.create_connection(("127.0.0.1", server.http_port))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nAuthorization: Bearer " + key.encode() +
            b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body)
        self.socket.setblocking(False)

    def read(self, wall_minus_mono_ns: int) -> bool:
        """False: it has ended."""
        try:
            data, extra, _, _ = self.socket.recvmsg(65536, 256)
        except BlockingIOError:
            return True
        except ConnectionError:
            data, extra = b"", []
        at_ns = time.monotonic_ns()
        for level, kind, value in extra:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                seconds, nanos = struct.unpack("qq", value)
                at_ns = seconds * 1_000_000_000 + nanos - wall_minus_mono_ns
        if not data:
            self.closed_ns = at_ns
            return False
        self.last_byte_ns = at_ns
        if not self.begun:
            self.tail += data
            self.begun = b"text/event-stream" in self.tail
            if b"\r\n\r\n" in self.tail and not self.begun:
                raise RuntimeError(f"no stream: {self.tail.decode(errors='replace')}")
        if b'"error"' in data:
            self.error_ns = at_ns
        if TEXT.search(data):
            self.last_text_ns = at_ns
            self.texts += 1
        return True


class Reader:
    """Reads all streams on one thread."""

    def __init__(self):
        self.streams: dict[int, Stream] = {}
        self.stop = threading.Event()
        self.problem: Exception | None = None
        self._poll = select.epoll()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def add(self, stream: Stream) -> None:
        self.streams[stream.socket.fileno()] = stream
        self._poll.register(stream.socket, select.EPOLLIN)

    def end(self) -> None:
        self.stop.set()
        self._thread.join()

    def _run(self) -> None:
        offset = time.time_ns() - time.monotonic_ns()
        try:
            while not self.stop.is_set():
                for number, _ in self._poll.poll(0.05, 4096):
                    if not self.streams[number].read(offset):
                        self._poll.unregister(number)
        except Exception as error:  # noqa: BLE001 - said by main()
            self.problem = error


def call_all_the_time(port: int, key: str, output: int) -> None:
    """In a process of its own: calls until it is refused, and says when it last was not."""
    request = (f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"
               f"Authorization: Bearer {key}\r\n\r\n").encode()
    sent_ns = answered_ns = calls = 0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while True:
            begun = time.monotonic_ns()
            connection.sendall(request)
            answer = connection.recv(65536)
            if not answer.startswith(b"HTTP/1.1 200"):
                break
            sent_ns, answered_ns, calls = begun, time.monotonic_ns(), calls + 1
    os.write(output, json.dumps([sent_ns, answered_ns, calls]).encode())


def caller(port: int, key: str) -> tuple[int, int]:
    """The process and where it answers."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            call_all_the_time(port, key, writing)
        finally:
            os._exit(0)
    os.close(writing)
    return pid, reading


def cpu_ns(pid: int) -> int:
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((thread / "schedstat").read_text().split()[0])
        except OSError:
            pass
    return total


def wait_until(what: str, condition, wait_s: float, reader: Reader) -> None:
    end_s = time.monotonic() + wait_s
    while not condition():
        if reader.problem is not None:
            raise reader.problem
        if time.monotonic() > end_s:
            raise RuntimeError(f"not within {wait_s} s: {what}")
        time.sleep(0.05)


def start_server(folder: Path, streams: int) -> tuple[Server, Path]:
    source, library, times = folder / "sync.c", folder / "sync.so", folder / "sync.txt"
    source.write_text(SYNC_TIMES, encoding="utf-8")
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
    server = Server(folder / "server", {
        "server": {"keep_alive_s": 1, "connections_per_address_max": 2 * streams + 100},
        "limits": {"queue_total": 2 * streams, "queue_per_tenant": 2 * streams,
                   "concurrent_calls": 2 * streams}}, model.find_model())
    os.environ.update(LD_PRELOAD=str(library), SYNC_TIMES=str(times))
    try:
        server.launch()
    finally:
        del os.environ["LD_PRELOAD"], os.environ["SYNC_TIMES"]
    return server, times


def durable_after(times: Path, written_ns: int) -> int:
    """A record that was made at `written_ns` is in the first fdatasync() that began after it."""
    lines = times.read_text(encoding="utf-8").splitlines()
    syncs = sorted(tuple(map(int, line.split())) for line in lines)
    return next(ended for begun, ended in syncs if begun > written_ns)


def ms(nanos: int) -> str:
    return f"{nanos / 1e6:.2f} ms"


def spread(values: list[int]) -> str:
    ordered = sorted(values)
    middle = ordered[len(ordered) // 2]
    return f"first {ms(ordered[0])}, median {ms(middle)}, last {ms(ordered[-1])}"


def drill(options: argparse.Namespace, folder: Path) -> None:
    server, times = start_server(folder, options.streams + options.others)
    reader = Reader()
    try:
        server.wait_ready()
        run(options, server, times, reader)
    finally:
        reader.end()
        server.discard()


def run(options: argparse.Namespace, server: Server, times: Path, reader: Reader) -> None:
    leaked = server.key("user", "leaked")
    other_keys = [server.key("user", f"other-{i}") for i in range(min(5, max(options.others, 1)))]
    others = [Stream(server, other_keys[i % len(other_keys)], 10_000 + i)
              for i in range(options.others)]
    streams = []
    for stream in others:
        reader.add(stream)
    for number in range(options.streams):
        streams.append(Stream(server, leaked, number))
        reader.add(streams[-1])
    wait_until("all streams are open", lambda: all(s.begun for s in streams + others), OPEN_WAIT_S,
               reader)
    computing = min(options.streams, COMPUTE_AT_ONCE - options.others) // 2
    wait_until(f"{computing} streams of the key have text",
               lambda: sum(1 for s in streams if s.texts > 2) >= computing, OPEN_WAIT_S, reader)
    pid, answers = caller(server.http_port, leaked)
    time.sleep(1)
    ended_early = sum(1 for s in streams + others if s.closed_ns or s.error_ns)
    running = server.status()["calls_running"]
    before_ns, before_s = cpu_ns(server.pid), time.monotonic()
    time.sleep(1)
    usual_ns = (cpu_ns(server.pid) - before_ns) / (time.monotonic() - before_s)
    profile = start_profile(options, server.pid)
    before_ns, before_s = cpu_ns(server.pid), time.monotonic()
    leak = subprocess.Popen([program(), "key", "leak", leaked, "--reason", "drill", "--data",
                             server.data], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_until("all streams of the key have ended", lambda: all(s.closed_ns for s in streams),
               END_WAIT_S, reader)
    used_ns, used_s = cpu_ns(server.pid) - before_ns, time.monotonic() - before_s
    assert leak.wait(60) == 0, leak.stderr.read()
    if profile:
        profile.send_signal(signal.SIGINT)
        profile.wait()
    os.waitpid(pid, 0)
    sent_ns, answered_ns, calls = json.loads(os.read(answers, 4096))
    time.sleep(AFTER_S)
    reader.end()
    records = {r["phase"]: r for r in server.audit() if r["action"] == "key.leak"}
    intent_ns = records["intent"]["mono_ns"]
    durable_ns = durable_after(times, intent_ns)
    in_force_ns = records["result"]["mono_ns"]
    cut = [s for s in others if s.closed_ns or s.error_ns]
    print(f"{options.streams} streams of the key, {options.others} of {len(other_keys)} others; "
          f"{running} calls in all, {ended_early} ended early; load {os.getloadavg()[0]:.1f}")
    print(f"from the intent's record to its fdatasync done: {ms(durable_ns - intent_ns)}")
    print("from the durable intent to")
    print(f"  the result's record (after the database):  {ms(in_force_ns - durable_ns)}")
    print(f"  the last accepted call of {calls}: sent {ms(sent_ns - durable_ns)}, "
          f"answered {ms(answered_ns - durable_ns)}")
    texts = [s.last_text_ns - durable_ns for s in streams if s.last_text_ns]
    print(f"  the last text of a stream ({len(texts)} had any): {ms(max(texts))}")
    print(f"  the error event:   {spread([s.error_ns - durable_ns for s in streams])}")
    print(f"  the end of stream: {spread([s.closed_ns - durable_ns for s in streams])}")
    print(f"gateway: {ms(used_ns)} of CPU in {used_s:.2f} s until the last stream had ended, of "
          f"which {ms(round(usual_ns * used_s))} at the rate before")
    late = max(s.closed_ns for s in streams)
    going = [s for s in others if s.last_text_ns > late]
    print(f"streams of other keys: {len(cut)} cut, {len(going)} of {len(others)} had text after it")
    if cut or any(not s.error_ns for s in streams):
        raise RuntimeError("another key's stream was cut, or one of the key ended without a word")


def start_profile(options: argparse.Namespace, pid: int) -> subprocess.Popen | None:
    if options.profile is None:
        return None
    return subprocess.Popen(["perf", "record", "-g", "-F", "2999", "-p", str(pid), "-o",
                             options.profile], stderr=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=1000, help="of the leaked key")
    parser.add_argument("--others", type=int, default=20, help="streams of five other keys")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--profile", help="where perf writes what the cut costs")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory(prefix="deepmoat-drill-") as folder:
            drill(options, Path(folder))


if __name__ == "__main__":
    main()
