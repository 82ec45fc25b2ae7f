"""HTTP/1.1 byte by byte, for requests that no client library would send."""

import socket
from typing import BinaryIO, NamedTuple


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    version: str


class RawConnection:
    def __init__(self, port: int, wait_s: float = 120):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=wait_s)
        self.reader: BinaryIO = self.socket.makefile("rb")

    def __enter__(self) -> "RawConnection":
        return self

    def __exit__(self, *_) -> None:
        self.reader.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def line(self) -> bytes:
        return self.reader.readline()

    def at_end(self) -> bool:
        """The server has closed (or reset) the connection."""
        try:
            return self.reader.read(1) == b""
        except ConnectionResetError:
            return True

    def answer(self) -> Answer:
        """One whole answer, whatever frames its body."""
        version, status, _ = self.line().decode("ascii").split(" ", 2)
        headers = {}
        while (line := self.line().strip()):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("transfer-encoding") == "chunked":
            body = b"".join(self._chunks())
        elif "content-length" in headers:
            body = self.reader.read(int(headers["content-length"]))
        else:
            body = self.reader.read() if int(status) >= 200 else b""
        return Answer(int(status), headers, body, version)

    def _chunks(self):
        while True:
            size = int(self.line().split(b";")[0], 16)
            chunk = self.reader.read(size)
            self.reader.read(2)
            if size == 0:
                return
            yield chunk


def request(method: str, path: str, key: str | None, body: bytes = b"", version: str = "1.1",
            **headers: str) -> bytes:
    """A request's bytes. A header given as `x_name` is sent as `x-name`; None leaves it out."""
    lines = {"host": "localhost", "content-length": str(len(body))}
    if key:
        lines["authorization"] = f"Bearer {key}"
    lines.update({name.replace("_", "-"): value for name, value in headers.items()})
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"{method} {path} HTTP/{version}\r\n{head}\r\n".encode() + body
