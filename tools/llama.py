#!/usr/bin/env python3
"""Finds llama.cpp, or fetches and builds it once into the cache folder.

Prints one JSON object on standard output: {"source", "lib_dir", "bin_dir"}. Progress goes to
standard error. Called by cmake/llama.cmake when CMake configures, and by ./up and ./test.

The source is the tree inside a pinned Python source package, or what DEEPMOAT_LLAMA_SOURCE names
(the tree's folder, or that source package as a file) on a site without a network. The cache entry
is named by everything that decides the result: tree, flags, compiler and our patches. A run that
was interrupted goes on where it stopped; two runs at once build once.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import packages  # noqa: E402
from packages import Problem, Progress, say  # noqa: E402

PACKAGE = "llama-cpp-python"
VERSION = "0.3.36"
COMMIT = "0c1e57098"
SDIST_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
TREE_SHA256 = "7589bc349be4e2c34cd2a070d64a4a7ab305c15c9ae79ad5bcea205d02f643fa"  # tree_digest()
SDIST_PREFIX = f"llama_cpp_python-{VERSION}/vendor/llama.cpp/"

# What the build reads. The rest of the tree (120 MB of test vocabularies and documents) stays out.
PARTS = ("CMakeLists.txt", "LICENSE", "licenses", "cmake", "common", "ggml", "include",
         "scripts", "src", "tools", "vendor")

# What only tests read: chat templates of many models. It decides nothing that is built, so it has
# no part in the entry's name.
TEMPLATES = "models/templates"

ROOT = Path(__file__).resolve().parent.parent
PATCHES = ROOT / "cmake" / "llama.cpp-patches"
REQUIREMENTS = ROOT / "tools" / "llama_requirements.txt"

FLAGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=ON",
    "-DGGML_NATIVE=OFF",  # one build serves every machine: the CPU variant is chosen at run time
    "-DGGML_BACKEND_DL=ON",
    "-DGGML_CPU_ALL_VARIANTS=ON",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_NUMBER=0",
    f"-DLLAMA_BUILD_COMMIT={COMMIT}",
)
# gcc whatever compiles our own code: CMake exports its own CC and CXX to what it calls.
COMPILERS = ("-DCMAKE_C_COMPILER=gcc", "-DCMAKE_CXX_COMPILER=g++")
ENGINE_TARGETS = ("ggml", "llama", "llama-common")
SERVER_TARGETS = ("llama-server", "llama-quantize")  # peers of the tests and the benchmark

BRING = (f"take {PACKAGE.replace('-', '_')}-{VERSION}.tar.gz (SHA-256 {SDIST_SHA256}) from "
         "the Python package index on another machine, and set DEEPMOAT_LLAMA_SOURCE to that "
         "file, or to the folder vendor/llama.cpp inside it.")

# CPU variants of llama.cpp with the CPU flags that each needs, slowest first.
X86_VARIANTS = (
    ("x64", set()),
    ("haswell", {"avx2", "fma", "f16c", "bmi2"}),
    ("alderlake", {"avx2", "fma", "f16c", "bmi2", "avx_vnni"}),
    ("skylakex", {"avx2", "fma", "avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw"}),
    ("icelake", {"avx512f", "avx512bw", "avx512vbmi", "avx512_vnni"}),
    ("zen4", {"avx512f", "avx512bw", "avx512vbmi", "avx512_vnni", "avx512_bf16"}),
    ("sapphirerapids", {"avx512f", "avx512bw", "avx512_bf16", "amx_tile", "amx_int8"}),
)


def local_variants() -> list[str]:
    """The variants that are worth building for this machine alone: the fastest that it can run,
    and what the worker falls back to when an instruction faults that CPUID promised."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    found = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    if found is None:
        return []  # not x86: llama.cpp's own list is short, build all of it
    flags = set(found.group(1).split())
    able = [name for name, needs in X86_VARIANTS if needs <= flags]
    ladder = [name for name in able if name in ("x64", "haswell", "sapphirerapids")]
    between = [name for name in able if name not in ladder]
    return ladder + between[-1:]


def source_files(tree: Path):
    for part in PARTS:
        top = tree / part
        if top.is_file():
            yield top
        elif top.is_dir():
            yield from sorted(path for path in top.rglob("*") if path.is_file())
        else:
            raise Problem(f"{tree} has no {part}: it is not a tree of llama.cpp at {COMMIT}")


def tree_digest(tree: Path) -> str:
    digest = hashlib.sha256()
    for path in source_files(tree):
        digest.update(f"{path.relative_to(tree)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def compiler_identity() -> str:
    """Name, version and target of the C++ compiler; another one makes another cache entry."""
    try:
        shown = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Problem(f"No C++ compiler g++ ({error}); on Debian: apt-get install g++") from error
    return shown.stdout.splitlines()[0] + os.uname().machine


def patches(peer: bool = False) -> list[Path]:
    """All, or for a peer to compare with: what chooses CPU variants alone, none of our kernels."""
    return sorted(PATCHES.glob("0001-*.patch" if peer else "*.patch"))


def entry_name(source_digest: str, peer: bool = False) -> str:
    digest = hashlib.sha256()
    for word in (source_digest, compiler_identity(), *FLAGS):
        digest.update(word.encode() + b"\0")
    for patch in patches(peer):
        digest.update(patch.read_bytes())
    return f"llama-{VERSION}-{'peer-' if peer else ''}{digest.hexdigest()[:12]}"


def prepare_source(named: Path | None, entry: Path, peer: bool = False) -> None:
    """Puts the patched tree into entry/source. The stamp is written last."""
    source, stamp = entry / "source", entry / "source.done"
    if stamp.exists():
        return
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    if named is not None and named.is_dir():
        for part in PARTS:
            origin = named / part
            if origin.is_dir():
                shutil.copytree(origin, source / part, symlinks=True)
            else:
                shutil.copy2(origin, source / part)
    else:
        archive = named or fetch_archive()
        extract(archive, source)
    for patch in patches(peer):
        say(f"llama.cpp: patch {patch.name}")
        applied = subprocess.run(["patch", "-p1", "--batch", "-i", str(patch)], cwd=source,
                                 capture_output=True, text=True, check=False)
        if applied.returncode != 0:
            raise Problem(f"{patch} does not apply to llama.cpp {COMMIT}:\n{applied.stdout}")
    stamp.touch()


def prepare_templates(named: Path | None, entry: Path) -> None:
    target = entry / "source" / TEMPLATES
    if target.is_dir():
        return
    partial = entry / "templates.part"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    if named is not None and named.is_dir():
        if (named / TEMPLATES).is_dir():
            shutil.copytree(named / TEMPLATES, partial / TEMPLATES)
    else:
        extract(named or fetch_archive(), partial, TEMPLATES + "/")
    if (partial / TEMPLATES).is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        (partial / TEMPLATES).rename(target)
    shutil.rmtree(partial)


def fetch_archive() -> Path:
    """The pinned source package. pip runs the package's build backend to learn its name, so that
    backend is pinned too and comes with hashes into an environment of its own."""
    folder = packages.cache_folder() / "downloads"
    kept = folder / f"{PACKAGE.replace('-', '_')}-{VERSION}.tar.gz"
    if kept.exists() and packages.sha256_of(kept) == SDIST_SHA256:
        return kept
    try:
        python = packages.tools_environment(REQUIREMENTS)
    except Problem as problem:
        raise Problem(f"{problem}\n\nWithout a network: {BRING}") from problem
    return packages.download(PACKAGE, VERSION, SDIST_SHA256, folder, source=True, python=python,
                             bring=BRING)


def extract(archive: Path, target: Path, only: str = "") -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            if not member.name.startswith(SDIST_PREFIX):
                continue
            member.name = member.name.removeprefix(SDIST_PREFIX)
            wanted = member.name.startswith(only) if only \
                else member.name.split("/", 1)[0] in PARTS
            if wanted:
                tar.extract(member, target, filter="data")


def named_source(argument: str | None) -> tuple[Path | None, str]:
    """The source that the user brought, if any, and what identifies the source."""
    named = argument or os.environ.get("DEEPMOAT_LLAMA_SOURCE") or None
    if named is None:
        return None, SDIST_SHA256
    path = Path(named).expanduser().resolve()
    if path.is_file():
        found = packages.sha256_of(path)
        if found != SDIST_SHA256:
            raise Problem(f"DEEPMOAT_LLAMA_SOURCE={path} has SHA-256 {found}, not {SDIST_SHA256}.\n"
                          f"To build another version, unpack it and name the folder.")
        return path, SDIST_SHA256
    if not path.is_dir():
        raise Problem(f"DEEPMOAT_LLAMA_SOURCE={path} is neither a folder nor a file")
    digest = tree_digest(path)
    if digest == TREE_SHA256:
        return path, SDIST_SHA256
    say(f"llama.cpp: {path} differs from the pinned commit {COMMIT}; building it as it is")
    return path, digest


class Build:
    def __init__(self, entry: Path, jobs: int):
        self.entry = entry
        self.folder = entry / "build"
        self.log = entry / "build.log"
        self.jobs = jobs
        self.env = {name: value for name, value in os.environ.items()
                    if name not in ("CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS")}
        self.env.update(NINJA_STATUS="[%p] ", CCACHE_BASEDIR=str(entry), CCACHE_NOHASHDIR="1")

    def record(self) -> dict:
        """What is built already: {"variants": [...], "targets": [...]}."""
        try:
            return json.loads((self.entry / "built.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {"variants": [], "targets": []}

    def ensure(self, variants: list[str], targets: list[str]) -> None:
        record = self.record()
        if covers(record["variants"], variants) and set(targets) <= set(record["targets"]):
            return
        # "all" stays all; otherwise add to what an earlier run asked for.
        wanted = [] if "all" in record["variants"] or not variants \
            else sorted({*record["variants"], *variants})
        self.configure(wanted)
        progress = Progress("llama.cpp: build")
        packages.run_logged(["ninja", "-C", str(self.folder), f"-j{self.jobs}",
                             *dict.fromkeys([*record["targets"], *targets])],
                            self.log, progress, env=self.env)
        progress.close("done")
        packages.write_whole(self.entry / "built.json", json.dumps({
            "variants": wanted or ["all"],
            "targets": sorted({*record["targets"], *targets})}) + "\n")

    def configure(self, variants: list[str]) -> None:
        self.log.unlink(missing_ok=True)
        progress = Progress("llama.cpp: configure")
        command = ["cmake", "-S", str(self.entry / "source"), "-B", str(self.folder), "-G", "Ninja",
                   *COMPILERS, *FLAGS, f"-DGGML_CPU_VARIANTS={';'.join(variants)}"]
        if shutil.which("ccache"):
            command += ["-DCMAKE_C_COMPILER_LAUNCHER=ccache",
                        "-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"]
        packages.run_logged(command, self.log, progress, env=self.env)


def covers(built: list[str], wanted: list[str]) -> bool:
    if "all" in built:
        return True
    return bool(wanted) and set(wanted) <= set(built)


def ensure_llama(source: str | None, variants: str, with_server: bool, jobs: int,
                 peer: bool = False) -> dict:
    named, digest = named_source(source)
    entry = packages.cache_folder() / entry_name(digest, peer)
    targets = [*ENGINE_TARGETS, *(SERVER_TARGETS if with_server else ())]
    with packages.locked(entry, "llama.cpp"):
        prepare_source(named, entry, peer)
        prepare_templates(named, entry)
        Build(entry, jobs).ensure([] if variants == "all" else local_variants(), targets)
    binaries = entry / "build" / "bin"
    return {"source": str(entry / "source"), "lib_dir": str(binaries), "bin_dir": str(binaries)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", metavar="DIR", help="use this source (DEEPMOAT_LLAMA_SOURCE)")
    parser.add_argument("--cpu-variants", choices=("local", "all"), default="local",
                        help="local: those for this machine (default); all: for packages")
    parser.add_argument("--with-server", action="store_true",
                        help="also llama-server and llama-quantize")
    parser.add_argument("--peer", action="store_true",
                        help="llama-server without our kernels, to compare with")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    packages.terminate_like_interrupt()
    try:
        print(json.dumps(ensure_llama(options.source or None, options.cpu_variants,
                                      options.with_server or options.peer, options.jobs,
                                      options.peer)))
    except Problem as problem:
        say(f"llama.cpp: {problem}")
        return 1
    except KeyboardInterrupt:
        say("\nllama.cpp: interrupted; the next run goes on from here")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
