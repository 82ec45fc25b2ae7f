"""A program that receives webhooks: keeps what came, and answers what the test says."""

import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple


class Received(NamedTuple):
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes
    status: int  # what it was answered

    @property
    def json(self) -> dict:
        return json.loads(self.body)

    def signed_by(self, secret: str) -> bool:
        """As docs/key-leak.md tells a receiver to check it."""
        fields = dict(part.split("=", 1)
                      for part in self.headers["x-deepmoat-signature"].split(","))
        signed = fields["t"].encode() + b"." + self.body
        right = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        return hmac.compare_digest(right, fields["v1"])


class Receiver:
    """`answers`: the statuses in order; afterwards 200."""

    def __init__(self, answers: Iterable[int] = (), port: int = 0,
                 certificate: tuple[Path, Path] | None = None):
        self.received: list[Received] = []
        self._answers = list(answers)
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.take(self.path, dict(self.headers), body)
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("location", "/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if certificate else "http"
        self.port = self._server.server_address[1]
        self.url = f"{scheme}://localhost:{self.port}/hook?from=deepmoat"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        with self._lock:
            status = self._answers.pop(0) if self._answers else 200
            lower = {name.lower(): value for name, value in headers.items()}
            self.received.append(Received(path, lower, body, status))
            return status

    def of_event(self, event: str) -> list[Received]:
        with self._lock:
            return [one for one in self.received if one.headers["x-deepmoat-event"] == event]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
