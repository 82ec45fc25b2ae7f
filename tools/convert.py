#!/usr/bin/env python3
"""Converts a folder of safetensors to one GGUF file, with the converter of our llama.cpp.

`convert.py FOLDER TARGET` is run by `deepmoat model import FOLDER`. Standard output: one JSON
object, {"tool": ...} or {"error": ...}. `convert.py --prepare` only installs what is needed.

The converter wants PyTorch and Transformers. PyTorch comes as Debian's package, because that one is
for CPUs and small; the rest are pinned Python packages in an environment of their own. Both are
installed the first time, which is said. DEEPMOAT_CONVERT_PYTHON names another Python that has all
of it; then nothing is installed.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import install  # noqa: E402
import llama  # noqa: E402
import packages  # noqa: E402
from packages import Problem, Progress, say  # noqa: E402

PARTS = ("convert_hf_to_gguf.py", "conversion", "gguf-py")
NEEDED = ("torch", "transformers", "numpy", "sentencepiece")
DEBIAN_PACKAGES = ("python3-torch", "python3-numpy", "python3-venv")
DEBIAN_PYTHON = "/usr/bin/python3"  # the one that Debian's packages are for
SIZE = "PyTorch from Debian, 150 MB to fetch and 650 MB on the disk"  # measured on amd64
REQUIREMENTS = Path(__file__).resolve().parent / "convert_requirements.txt"
START = Path(__file__).resolve().parent / "convert_start.py"


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


def environment() -> str:
    """The Python to convert with; installs what is missing the first time."""
    named = os.environ.get("DEEPMOAT_CONVERT_PYTHON")
    if named:
        check_python(named)
        return named
    missing = install.missing_packages(list(DEBIAN_PACKAGES))
    if missing:
        say(f"Converting safetensors needs, once: {SIZE}.")
        try:
            install.install(missing)
        except Problem as problem:
            raise Problem(f"Converting safetensors needs {SIZE}. {problem}\nOr set "
                          f"DEEPMOAT_CONVERT_PYTHON to a Python that has {', '.join(NEEDED)}."
                          ) from problem
    return packages.tools_environment(REQUIREMENTS, python=DEBIAN_PYTHON, system_packages=True)


def prepare() -> None:
    """Installs and unpacks all that the first conversion would."""
    environment()
    converter()


def check_python(python: str) -> None:
    code = ("import importlib.util as u; "
            f"print(*[n for n in {NEEDED!r} if u.find_spec(n) is None])")
    try:
        found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Problem(f"DEEPMOAT_CONVERT_PYTHON={python} does not run: {error}") from error
    if found.stdout.strip():
        raise Problem(f"DEEPMOAT_CONVERT_PYTHON={python} lacks "
                      f"{found.stdout.strip().replace(' ', ', ')}")


def convert(folder: Path, target: Path) -> str:
    python = environment()
    source = converter()
    log = target.with_name(target.name + ".log")
    try:
        progress = Progress("converting")
        packages.run_logged(
            [python, str(START), str(source / "convert_hf_to_gguf.py"), str(folder),
             "--outfile", str(target), "--outtype", "bf16"],
            log, progress, env={**os.environ, "PYTHONPATH": str(source / "gguf-py"),
                                "HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"})
        progress.close("done")
    except Problem as problem:
        say(packages.what_failed(log))
        raise Problem(f"llama.cpp's converter refused the folder: {last_words(log)}") from problem
    finally:
        log.unlink(missing_ok=True)
    return f"llama.cpp {llama.COMMIT} converter to BF16"


def last_words(log: Path) -> str:
    """The last lines of the log: the end of a Python traceback says what was wrong."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line.strip() for line in lines if line.strip() and not line.startswith("$ ")]
    return " / ".join(told[-3:])


def main() -> int:
    packages.terminate_like_interrupt()
    try:
        if sys.argv[1:] == ["--prepare"]:
            prepare()
            return 0
        folder, target = map(Path, sys.argv[1:3])
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
