#!/usr/bin/env python3
"""Holds the tree to its rules; run as a unit test (`ctest -R tidy`) and by hand.

    tools/tidy.py [--build build/release]   every violation as "file:line: [rule] message"
    tools/tidy.py --fix-format              let clang-format rewrite what it would lay out otherwise

Each message says what to write instead. Which module may include which stands in the table of
ARCHITECTURE.md; the sizes and bans stand below, and tests/tidy_test.py shows that each one bites.
"""

import argparse
import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True
import cpp_text  # noqa: E402

COLUMNS_MAX = 100
SOURCE_LINES_MAX = 800
HEADER_LINES_MAX = 300
FUNCTION_LINES_MAX = 70

CPP = (".cc", ".h")
TEXT = (*CPP, ".py", ".md", ".txt", ".cmake", ".json", ".toml", ".proto", ".sql", ".yml", ".sh",
        ".html", ".js", ".css", ".patch", "")
SKIPPED_FOLDERS = {".git", "build", "data", "__pycache__", "corpus", "node_modules", ".venv"}


class Violation(NamedTuple):
    path: str
    line: int
    rule: str
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: [{self.rule}] {self.message}"


class Ban(NamedTuple):
    """A pattern of code (comments and literals blanked out) and what to write instead."""
    rule: str
    pattern: str
    instead: str
    where: str = r"^(src|fuzz|tests|bench)/"  # paths it holds for
    but_in: str = r"^$"                       # paths that it does not hold for


TESTS = r"_test\.cc$|^(tests|fuzz|bench)/"

BANS = (
    Ban("clock", r"\b(?:system|steady|high_resolution)_clock::now\b|\bclock_gettime\b"
        r"|\bgettimeofday\b|\btime\((?:nullptr|NULL|0)\)",
        "take a Clock (base/clock.h), so that tests decide the time",
        but_in=r"^src/base/clock\.cc$|^tests/|^bench/"),
    Ban("random", r"\brandom_device\b|\bs?rand\(|\bdrand48\b|\bRAND_(?:priv_)?bytes\b"
        r"|\bgetrandom\(",
        "use random_bytes() of base/random.h", but_in=r"^src/base/random\.cc$"),
    Ban("compare", r"\bmemcmp\(", "use equal_constant_time() of crypto: memcmp tells by its time "
        "how much of a secret was right", where=r"^src/(crypto|identity|gateway|cli|store)/",
        but_in=TESTS),
    Ban("reveal", r"[.>]reveal\(\)", "pass the Secret on; only crypto, identity, cli and the "
        "answer that shows a new key, a webhook's secret or kept content open it",
        where=r"^src/", but_in=r"^src/(crypto|identity|cli)/|^src/base/secret"
        r"|^src/gateway/(?:key_admin|oversight_admin|people_admin|second_factor_json|sign_in)\.cc$"
        r"|^src/gateway/successor\.cc$"
        r"|^src/webhook/service\.cc$|" + TESTS),
    Ban("environment", r"\bgetenv\(|\benviron\b", "read the environment where a program begins and "
        "pass what it says as configuration", where=r"^src/",
        but_in=r"^src/cli/|^src/base/config|^src/worker/startup\.cc$|" + TESTS),
    Ban("format", r"\bstd::v?format(?:_to)?\b|<format>|\bstd::print(?:ln)?\b|<print>",
        "use fmt::format: g++ 12 has no <format>"),
    Ban("new", r"(?<!unique_ptr)\bnew\s+[A-Za-z_:][\w:]*|\bdelete\s+[A-Za-z_*]|\bdelete\[\]",
        "use std::make_unique, or std::unique_ptr<T>(new T(...)) where the constructor is private"),
    Ban("using_namespace", r"\busing\s+namespace\s+(?!std::(?:\w+::)*\w*literals\b)",
        "name what you use: using deepmoat::audit::Record;"),
    Ban("throw", r"\bthrow\b", "return fail(Code::..., \"...\"): errors are values",
        where=r"^src/", but_in=TESTS),
    Ban("output", r"\bstd::(?:cout|cerr|clog)\b|(?<!\w)(?:std::)?f?printf\s*\(|\bfmt::print\b",
        "write through base/log.h; only the programs' own commands print", where=r"^src/",
        but_in=r"^src/cli/|^src/base/log|^src/worker/(?:main|probe|startup|gguf_tool)\.cc$|"
        + TESTS),
    Ban("detach", r"[.>]detach\(\)", "keep the std::jthread as a member, so that it is joined",
        but_in=r"^src/gateway/name_lookup\.cc$"),  # getaddrinfo() ends when it likes
    Ban("coroutine", r"\bco_(?:await|return|yield)\b",
        "coroutines live in gateway/ (and above it); elsewhere use a callback or a thread",
        where=r"^src/", but_in=r"^src/(gateway|cli)/"),
    Ban("wall_clock_test", r"\b(?:EXPECT|ASSERT)_(?:LT|LE|GT|GE|NEAR|TRUE)\([^;]*"
        r"(?:elapsed|clock::now|duration_cast|mono_ns\(\))",
        "assert what happened, by a ManualClock: a loaded machine makes wall-clock tests fail",
        where=TESTS),
    Ban("skipped_test", r"\bGTEST_SKIP\b|\bDISABLED_|pytest\.mark\.(?:skip|xfail)|pytest\.skip\(",
        "make the test run, or take it away", where=r"^(src|tests|fuzz)/",
        but_in=r"^tests/tidy_test\.py$"),
    Ban("singleton", r"\bstatic\s+[\w:]+\s*&\s*(?:instance|get_instance|singleton)\(",
        "pass it as a constructor argument", where=r"^src/"),
    Ban("name", r"\b(?:class|struct)\s+\w*(?:Manager|Helper|Utils?|Misc)\b",
        "name it by what it is: KeyStore, TokenBucket, Checkpoint"),
)

# In every text file, comments included. Written in parts: this file would find itself.
MARKS = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")
MACHINE = re.compile(r"(?<![\w.])/(?:work|root)/|(?<![\w.])/home/\w+|/tmp/" r"w/|\bpkg\.dev\b")
NAMES = re.compile(r"(?:^|_)(?:utils?|manager|helpers?|common|misc)(?:_test)?\.(?:cc|h)$")
LLAMA_HEADER = re.compile(r"^(?:llama(?:-cpp)?|ggml[\w-]*|gguf|mtmd[\w-]*|chat|common|sampling|arg|"
                          r"json-schema-to-grammar|speculative)\.h$")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)

# The security boundary: what the link line of each program must not hold.
PROGRAMS = {
    "deepmoat": ("scheduler", "engine", "worker", "llama"),
    "deepmoat-worker": ("crypto", "identity", "store", "audit"),
}


class Tree:
    def __init__(self, root: Path):
        self.root = root
        self.files = sorted(self.text_files())

    def text_files(self):
        for path in self.root.rglob("*"):
            relative = path.relative_to(self.root)
            if any(part in SKIPPED_FOLDERS for part in relative.parts[:-1]):
                continue
            if path.is_file() and not path.is_symlink() and path.suffix in TEXT:
                yield relative.as_posix()

    def read(self, relative: str) -> str:
        return (self.root / relative).read_text(encoding="utf-8", errors="replace")

    def cpp(self):
        return [name for name in self.files
                if name.endswith(CPP) and name.split("/")[0] in ("src", "fuzz", "tests", "bench")]


def module_table(architecture: str) -> dict[str, set[str]]:
    """module -> modules that it may use, from the rows "| `name/` | ... | a, b |"."""
    table: dict[str, set[str]] = {}
    for row in re.finditer(r"^\| `(\w+)/` \|.*\| ([^|]*) \|$", architecture, re.MULTILINE):
        table[row.group(1)] = set(re.findall(r"`(\w+)`", row.group(2)))
    return table


def check_modules(tree: Tree):
    if "ARCHITECTURE.md" not in tree.files:
        yield Violation("ARCHITECTURE.md", 1, "modules", "missing: it holds the table of modules")
        return
    architecture = tree.read("ARCHITECTURE.md")
    for match in re.finditer(r"`((?:\w+/)+\w+\.(?:cc|h))`", architecture):
        if not {match.group(1), f"src/{match.group(1)}"} & set(tree.files):
            yield Violation("ARCHITECTURE.md", cpp_text.line_of(architecture, match.start()),
                            "modules", f"names {match.group(1)}, which is not there")
    table = module_table(architecture)
    source = tree.root / "src"
    on_disk = {folder.name for folder in source.iterdir()
               if folder.is_dir() and any(folder.rglob("*.*"))}
    for name in sorted(on_disk - table.keys()):
        yield Violation(f"src/{name}", 1, "modules", "no row in the table of ARCHITECTURE.md")
    for name in sorted(table.keys() - on_disk):
        yield Violation("ARCHITECTURE.md", 1, "modules", f"a row for `{name}/`, but no src/{name}")
    for name in tree.cpp():
        yield from check_includes(tree, name, table)
    for name in tree.files:
        if re.fullmatch(r"src/\w+(?:/\w+)?/CMakeLists\.txt", name):
            yield from check_module_links(tree, name, table)


# Shares nothing with what it checks, so the tests of every module may ask it.
IN_ALL_TESTS = "verifier"
FOR_TESTS = re.compile(r"_test\.cc$|/scratch_[^/]*\.h$")


def check_includes(tree: Tree, name: str, table: dict[str, set[str]]):
    text = tree.read(name)
    parts = name.split("/")
    module = parts[1] if parts[0] == "src" and len(parts) > 2 else None
    for match in INCLUDE.finditer(text):
        line = cpp_text.line_of(text, match.start())
        path = match.group(1) or match.group(2)
        if LLAMA_HEADER.match(path) and module != "engine":
            yield Violation(name, line, "llama", f"{path}: only src/engine includes llama.cpp")
        elif match.group(1) and "/" not in path and module not in (None, "engine"):
            yield Violation(name, line, "include", f'include "{module}/{path}": by path from src/')
        if module is None or not match.group(1):
            continue
        target = path.split("/")[0]
        if target == IN_ALL_TESTS and FOR_TESTS.search(name):
            continue
        if target in table and target != module and target not in table.get(module, set()):
            yield Violation(name, line, "include", f"{module} may not use {target}: "
                            f"the table of ARCHITECTURE.md allows "
                            f"{', '.join(sorted(table.get(module, ()))) or 'nothing'}")


def check_module_links(tree: Tree, name: str, table: dict[str, set[str]]):
    module = name.split("/")[1]
    for number, line in enumerate(tree.read(name).splitlines(), 1):
        for target in re.findall(r"\bdeepmoat_(\w+)", line.split("#", 1)[0]):
            if target in table and target not in {module, *table.get(module, ())}:
                if target == IN_ALL_TESTS and "TEST_LINK" in line:
                    continue
                yield Violation(name, number, "link", f"{module} may not link deepmoat_{target}: "
                                f"see the table of ARCHITECTURE.md")
            if target == "llama" and module != "engine":
                yield Violation(name, number, "llama", "only src/engine links deepmoat_llama")


def check_program_links(build: Path):
    """What ninja would run to link the programs, held to the security boundary."""
    for program, banned in PROGRAMS.items():
        shown = subprocess.run(["ninja", "-C", str(build), "-t", "commands", "-s", program],
                               capture_output=True, text=True, check=False)
        if shown.returncode != 0:
            yield Violation("CMakeLists.txt", 1, "boundary", f"no target {program}: "
                            f"{shown.stderr.strip()}")
        for word in banned:
            if re.search(rf"lib(?:deepmoat_)?{word}\b", shown.stdout):
                yield Violation("CMakeLists.txt", 1, "boundary", f"{program} links {word}: the "
                                "gateway never parses a model, a worker never holds a key")


def check_sizes(tree: Tree, name: str):
    text = tree.read(name)
    lines = text.splitlines()
    most = HEADER_LINES_MAX if name.endswith(".h") else SOURCE_LINES_MAX
    if len(lines) > most:
        yield Violation(name, most, "file_size", f"{len(lines)} lines, {most} at most: split it by "
                        "responsibility")
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS_MAX:
            yield Violation(name, number, "columns", f"{len(line)} columns, {COLUMNS_MAX} at most")
    for function in functions_of(name, text):
        if function.line_count > FUNCTION_LINES_MAX:
            yield Violation(name, function.first_line, "function_size",
                            f"{function.name} has {function.line_count} lines, "
                            f"{FUNCTION_LINES_MAX} at most: name its parts")


def functions_of(name: str, text: str):
    if name.endswith(CPP):
        yield from cpp_text.functions(text)
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield cpp_text.Function(node.name, node.lineno, node.end_lineno - node.lineno + 1)


def check_code(tree: Tree, name: str):
    """The bans, and what every C++ file must have."""
    text = tree.read(name)
    code = cpp_text.without_literals(text) if name.endswith(CPP) else text
    for ban in BANS:
        if not name.endswith(CPP) and ban.rule != "skipped_test":
            continue
        if not re.search(ban.where, name) or re.search(ban.but_in, name):
            continue
        for match in re.finditer(ban.pattern, code):
            if ban.rule == "new" and is_placed_in_unique_ptr(code, match.start()):
                continue
            yield Violation(name, cpp_text.line_of(code, match.start()), ban.rule,
                            f"{' '.join(match.group(0).split())[:40]}: {ban.instead}")
    if not name.endswith(CPP):
        return
    yield from check_co_await(name, code)
    own_header = name.removesuffix(".cc") + ".h"
    if not text.startswith("//") and own_header not in tree.files \
            and not name.endswith("_test.cc"):
        yield Violation(name, 1, "file_head", "begin with a comment: what the file is for, and on "
                        "which thread it runs")
    if name.endswith(".h") and "#pragma once" not in text:
        yield Violation(name, 1, "pragma_once", "add #pragma once")
    if NAMES.search(name):
        yield Violation(name, 1, "name", "name the file by what is in it: key_store, token_bucket")


def is_placed_in_unique_ptr(code: str, offset: int) -> bool:
    before = code[max(0, offset - 120):offset]
    return re.search(r"(?:unique_ptr<[^;{}]*>\s*(?:\w+\s*)?[({]|\breset\()\s*$", before) is not None


def check_co_await(name: str, code: str):
    """One co_await a statement, no ?: beside it: g++ 12 destroys its temporaries twice."""
    begin = 0
    for match in re.finditer(r"[;{}]", code + ";"):
        statement = code[begin:match.start()]
        count = len(re.findall(r"\bco_await\b", statement))
        if count > 1 or (count == 1 and re.search(r"\s\?\s", statement)):
            line = cpp_text.line_of(code, begin + len(statement) - len(statement.lstrip()))
            yield Violation(name, line, "co_await", "one co_await a statement and no ?: beside it: "
                            "put its result into a named variable")
        begin = match.end()


def check_text(tree: Tree, name: str):
    for number, line in enumerate(tree.read(name).splitlines(), 1):
        if MARKS.search(line):
            yield Violation(name, number, "marks", "do it now, or open an issue")
        if MACHINE.search(line):
            yield Violation(name, number, "machine", "a path or host of one machine: use a "
                            "relative path, an option or an environment variable")


def check_dead_files(tree: Tree):
    lists: dict[str, str] = {}
    for name in tree.files:
        if name.endswith("CMakeLists.txt"):
            lists[name.rpartition("/")[0]] = tree.read(name)
    for name in tree.cpp():
        if not name.endswith(".cc") or re.fullmatch(r"fuzz/\w+_fuzz\.cc", name):
            continue  # fuzz/CMakeLists.txt takes every *_fuzz.cc
        folder, _, file = name.rpartition("/")
        while folder:
            relative = name.removeprefix(folder + "/")
            if re.search(rf"(?<![\w/]){re.escape(relative)}(?!\w)", lists.get(folder, "")):
                break
            folder = folder.rpartition("/")[0]
        else:
            yield Violation(name, 1, "dead_file", f"no CMakeLists.txt names {file}")


def check_format(tree: Tree, fix: bool = False):
    if not (tree.root / ".clang-format").exists():
        return
    mode = ["-i"] if fix else ["--dry-run", "-Werror"]
    shown = subprocess.run(["clang-format-19", *mode, *tree.cpp()], cwd=tree.root,
                           capture_output=True, text=True, check=False)
    for name in sorted(set(re.findall(r"^(\S+?):\d+:\d+: error:", shown.stderr, re.MULTILINE))):
        yield Violation(name, 1, "layout", "run tools/tidy.py --fix-format")


def check(root: Path, build: Path | None = None) -> list[Violation]:
    tree = Tree(root)
    found = list(check_modules(tree))
    found += check_dead_files(tree)
    python = [name for name in tree.files
              if name.endswith(".py") or name in ("up", "test")]
    for name in [*tree.cpp(), *python]:
        found += check_sizes(tree, name)
        found += check_code(tree, name)
    for name in tree.files:
        found += check_text(tree, name)
    found += check_format(tree)
    if build is not None:
        found += check_program_links(build)
    return sorted(set(found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--build", type=Path,
                        help="a configured build folder: check link lines too")
    parser.add_argument("--fix-format", action="store_true", help="run clang-format -i")
    options = parser.parse_args()
    if options.fix_format:
        list(check_format(Tree(options.root), fix=True))
    violations = check(options.root, options.build)
    for violation in violations:
        print(violation)
    print(f"tidy: {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
