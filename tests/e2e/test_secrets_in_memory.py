"""Where secrets must not be found: core files, logs, database, audit log, environment. The same
search finds what was put there on purpose."""

import base64
import ctypes
import ctypes.util
import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from support.chat import body
from support.program import command, model_file
from support.server import MODEL, Server, every_byte_under

SENTENCE = b"deepmoat root key file without a passphrase, version 1"


def open_aes_gcm(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    """By libcrypto itself, so that the test needs no package for it."""
    crypto = ctypes.CDLL(ctypes.util.find_library("crypto"))
    for name in ("EVP_CIPHER_CTX_new", "EVP_aes_256_gcm"):
        getattr(crypto, name).restype = ctypes.c_void_p
    context = ctypes.c_void_p(crypto.EVP_CIPHER_CTX_new())
    size = ctypes.c_int()
    plain = ctypes.create_string_buffer(len(sealed))
    text, tag = sealed[:-16], sealed[-16:]
    assert crypto.EVP_DecryptInit_ex(context, ctypes.c_void_p(crypto.EVP_aes_256_gcm()), None, key,
                                     nonce) == 1
    assert crypto.EVP_DecryptUpdate(context, None, ctypes.byref(size), associated,
                                    len(associated)) == 1
    assert crypto.EVP_DecryptUpdate(context, plain, ctypes.byref(size), text, len(text)) == 1
    assert crypto.EVP_CIPHER_CTX_ctrl(context, 0x11, 16, tag) == 1  # EVP_CTRL_GCM_SET_TAG
    assert crypto.EVP_DecryptFinal_ex(context, plain, ctypes.byref(size)) == 1, "the tag is wrong"
    return plain.raw[:len(text)]


def root_secrets(server: Server, passphrase: Path, scratch: Path) -> dict[str, bytes]:
    """Those of a copy of the data folder, taken out of their sealing."""
    shutil.copytree(server.data, scratch, ignore=shutil.ignore_patterns("*.sock"))
    command("custody", "rewrap", "--no-passphrase", "--data", scratch,
            DEEPMOAT_KEYS_PASSPHRASE_FILE=str(passphrase))
    file = (scratch / "keys" / "root.key").read_bytes()
    header = file[:12] + bytes(4) + file[16:48]
    plain = open_aes_gcm(hashlib.sha256(SENTENCE).digest(), file[48:60], file[60:], header)
    shutil.rmtree(scratch)
    return {"signing": plain[:32], "pepper": plain[32:64], "fingerprint": plain[64:]}


def spellings(secret: bytes) -> list[bytes]:
    return [secret, secret.hex().encode(), secret.hex().upper().encode(), base64.b64encode(secret)]


def cores(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("core*") if file.is_file()]


def test_secrets_are_nowhere_after_an_abort(tmp_path, monkeypatch):
    marker = os.urandom(12).hex()  # public on purpose: in the log and in the audit log
    here = tmp_path / "cwd"
    here.mkdir()
    monkeypatch.chdir(here)
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    assert hard == resource.RLIM_INFINITY, "core files must be possible for this test to say much"
    passphrase = tmp_path / "passphrase"
    secret_phrase = "passphrase-" + os.urandom(16).hex()
    passphrase.write_text(secret_phrase, encoding="utf-8")
    passphrase.chmod(0o600)
    folder = tmp_path / f"server-{marker}"
    server = Server(folder, {"keys": {"passphrase_file": str(passphrase)}}, model_file())
    try:
        server.start()
        key = server.key("user", f"client-{marker}")
        other = "0" if key[-1] != "0" else "1"
        with server.http(key) as client:
            answer = client.post("/v1/chat/completions", json=body())
            wrong = client.get("/v1/models", headers={"authorization": f"Bearer {key[:-1]}{other}"})
        assert answer.status_code == 200 and answer.json()["model"] == MODEL
        assert wrong.status_code == 401
        processes = [server.pid, *(worker.pid for worker in server.workers())]
        assert len(processes) == 2
        environments = b""
        for pid in processes:
            environments += Path(f"/proc/{pid}/environ").read_bytes()
            environments += Path(f"/proc/{pid}/cmdline").read_bytes()
            limits = Path(f"/proc/{pid}/limits").read_text(encoding="utf-8")
            core_line = next(x for x in limits.splitlines() if x.startswith("Max core file size"))
            assert core_line.split()[4:6] == ["0", "0"], core_line
        for pid in reversed(processes):
            os.kill(pid, signal.SIGABRT)
        assert server.wait_end() == -signal.SIGABRT
    finally:
        server.discard()
    assert not cores(tmp_path), "a core file was written"
    found = every_byte_under(folder) + environments
    secrets = root_secrets(server, passphrase, tmp_path / "copy")
    secrets |= {"key": key.encode(), "key's digits": key[9:73].encode(),
                "salt": key[41:73].encode(), "passphrase": secret_phrase.encode()}
    for name, secret in secrets.items():
        for spelling in spellings(secret):
            assert spelling not in found, f"{name} is on the disk or in an environment"

    # Controls: the same search over the same places finds what is there.
    log = server.log.read_bytes()
    assert marker.encode() in log and log in found
    assert f"client-{marker}".encode() in every_byte_under(server.data / "audit")
    assert f"client-{marker}".encode() in found


def test_an_ordinary_program_would_leave_its_memory_in_a_core_file(tmp_path):
    """The control of the test above: core files are possible here, and hold what was in memory."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text(encoding="utf-8").strip()
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    code = "import os; kept = 'mark' + 'er-' + '5e' * 8; os.abort()"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGABRT
    if pattern.startswith(("|", "/")):
        assert not cores(tmp_path)  # the system takes them elsewhere: the limits above must do
    else:
        assert b"marker-" + b"5e" * 8 in every_byte_under(*cores(tmp_path))
