"""Client certificates from the command line."""

import os
from pathlib import Path

from support.program import command


def issue(server, folder: Path, client: str, *more: str) -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    done = command("client-certificate", "issue", "--client-id", client, "--out", folder,
                   "--data", server.data, *more)
    certificate, key = map(Path, done.stdout.splitlines())
    assert os.stat(key).st_mode & 0o077 == 0
    return certificate, key
