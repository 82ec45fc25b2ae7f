"""A SoftHSM 2 token of a test's own, and a module in front of it that misbehaves on request."""

import os
import subprocess
from pathlib import Path

import pytest

from support.program import program

SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "493817"


class Token:
    def __init__(self, folder: Path, patch: pytest.MonkeyPatch):
        tokens = folder / "tokens"
        tokens.mkdir(parents=True)
        self._mode = folder / "mode"
        self.pin_file = folder / "pin"
        self.pin_file.write_text(PIN + "\n", encoding="utf-8")
        self.pin_file.chmod(0o600)
        conf = folder / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\n",
                        encoding="utf-8")
        # The module reads these in the server, which inherits them.
        patch.setenv("SOFTHSM2_CONF", str(conf))
        patch.setenv("FAULTY_PKCS11_REAL", SOFTHSM)
        patch.setenv("FAULTY_PKCS11_MODE", str(self._mode))
        patch.setenv("FAULTY_PKCS11_SLOW_MS", "5000")
        self.behave("right")
        subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "test", "--so-pin",
                        "12345678", "--pin", PIN], check=True, capture_output=True)

    def behave(self, mode: str) -> None:
        """See tests/pkcs11/faulty_pkcs11.cc for what it can do."""
        part = self._mode.with_suffix(".new")
        part.write_text(mode, encoding="utf-8")
        os.replace(part, self._mode)

    def settings(self, **more: object) -> dict:
        """Sections for the server's configuration, with the faulty module."""
        return {"custody": {"kind": "pkcs11", "module": str(program().parent / "faulty_pkcs11.so"),
                            "token_label": "test", "pin_file": str(self.pin_file), **more}}
