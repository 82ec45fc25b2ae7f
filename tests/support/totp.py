"""What a client's authenticator does: RFC 6238, from the secret that the server showed."""

import base64
import hashlib
import hmac
import json
import struct
import time

from support.program import command
from support.server import Server

STEP_S = 30
HASHES = {"totp-sha1": "sha1", "totp-sha256": "sha256", "totp-sm3": "sm3"}


def code_of(secret: str, counter: int, algorithm: str = "totp-sha1") -> str:
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    name = HASHES[algorithm]
    message = struct.pack(">Q", counter)
    mac = hmac.new(key, message, lambda data=b"": hashlib.new(name, data)).digest()
    at = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[at:at + 4])[0] & 0x7fffffff) % 10**6:06}"


class Authenticator:
    """Never shows the same code twice: waits for no step, as the server takes the next one too."""

    def __init__(self, secret: str, algorithm: str = "totp-sha1"):
        self.secret, self.algorithm = secret, algorithm
        self.used = 0

    def fresh(self) -> str:
        """The oldest code that the server still takes and has not seen."""
        while True:
            now = int(time.time()) // STEP_S
            counter = max(self.used + 1, now - 1)
            if counter <= now + 1:
                # A step may end before the server reads the code: then the oldest is too old.
                if counter == now - 1 and time.time() % STEP_S > STEP_S - 5:
                    counter = now
                self.used = counter
                return code_of(self.secret, counter, self.algorithm)
            time.sleep(0.5)

    def last(self) -> str:
        return code_of(self.secret, self.used, self.algorithm)

    def wrong(self) -> str:
        """A code of none of the steps around now."""
        now = int(time.time()) // STEP_S
        near = {code_of(self.secret, now + step, self.algorithm) for step in range(-4, 5)}
        return next(f"{number:06}" for number in range(100) if f"{number:06}" not in near)


def enrolled(server: Server, client: str, algorithm: str = "totp-sha1",
             tenant: str = "default") -> tuple[Authenticator, list[str]]:
    """A confirmed second factor by the command line, and its recovery codes."""
    owner = ("--client-id", client, "--tenant", tenant, "--data", server.data)
    made = json.loads(command("totp", "enrol", "--algorithm", algorithm, "--json", *owner).stdout)
    device = Authenticator(made["secret"], algorithm)
    codes = command("totp", "confirm", "--code", device.fresh(), *owner).stdout.split()
    assert len(set(codes)) == 10
    return device, codes
