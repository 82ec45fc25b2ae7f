#!/usr/bin/env python3
"""Converts a folder of safetensors to one GGUF file, with the converter of our llama.cpp.

`convert.py FOLDER TARGET` is run by `deepmoat model import FOLDER`. Standard output: one JSON
object, {"tool": ...} or {"error": ...}. The converter needs PyTorch and Transformers, about 1 GB,
which are not installed behind your back: it runs with the Python that DEEPMOAT_CONVERT_PYTHON
names (or python3), and when that lacks something the error says what to install.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import llama  # noqa: E402
import packages  # noqa: E402
from packages import Problem, say  # noqa: E402

PARTS = ("convert_hf_to_gguf.py", "conversion", "gguf-py")
NEEDED = ("torch", "transformers", "numpy", "sentencepiece", "safetensors")
VENV = "~/.cache/deepmoat/convert"
INSTALL = f"""python3 -m venv {VENV}
  {VENV}/bin/pip install --index-url https://download.pytorch.org/whl/cpu torch==2.11.0
  {VENV}/bin/pip install transformers==4.57.6 sentencepiece safetensors protobuf pyyaml
  export DEEPMOAT_CONVERT_PYTHON={VENV}/bin/python3"""


def converter() -> Path:
    """The converter's folder: of the source that the user brought, or out of the pinned archive."""
    named, digest = llama.named_source(None)
    if named is not None and named.is_dir():
        return named
    folder = packages.cache_folder() / f"converter-{digest[:12]}"
    with packages.locked(packages.cache_folder() / "locks" / folder.name, "converter"):
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            with tarfile.open(named or llama.fetch_archive()) as tar:
                for member in tar:
                    name = member.name.removeprefix(llama.SDIST_PREFIX)
                    if name != member.name and name.split("/", 1)[0] in PARTS:
                        member.name = name
                        tar.extract(member, folder, filter="data")
            (folder / "done").touch()
    return folder


def check_python(python: str) -> None:
    code = ("import importlib.util as u; "
            f"print(*[n for n in {NEEDED!r} if u.find_spec(n) is None])")
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise Problem(f"{python} does not run: {found.stderr.strip()}")
    if found.stdout.strip():
        raise Problem(f"converting needs {found.stdout.strip().replace(' ', ', ')} in {python}, "
                      f"about 1 GB on the disk; install them once:\n  {INSTALL}")


def convert(folder: Path, target: Path) -> str:
    python = os.environ.get("DEEPMOAT_CONVERT_PYTHON") or sys.executable
    check_python(python)
    source = converter()
    done = subprocess.run(
        [python, str(source / "convert_hf_to_gguf.py"), str(folder), "--outfile", str(target),
         "--outtype", "bf16"],
        stdout=sys.stderr, env={**os.environ, "PYTHONPATH": str(source / "gguf-py"),
                                "HF_HUB_OFFLINE": "1"}, check=False)
    if done.returncode != 0:
        raise Problem(f"the converter ended with status {done.returncode}; it says why above")
    return f"llama.cpp {llama.COMMIT} converter to BF16"


def main() -> int:
    folder, target = map(Path, sys.argv[1:3])
    packages.terminate_like_interrupt()
    try:
        print(json.dumps({"tool": convert(folder, target)}))
    except Problem as problem:
        print(json.dumps({"error": str(problem)}))
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
