#!/usr/bin/env python3
"""tools/tidy.py finds what it should: every rule is shown one piece of code that it must refuse,
and code near it that it must let pass."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import cpp_text  # noqa: E402
import tidy  # noqa: E402

TABLE = """\
| module | one responsibility | may use |
|---|---|---|
| `base/` | x | nothing of ours |
| `audit/` | x | `base` |
| `verifier/` | x | nothing of ours |
| `gateway/` | x | `base` `audit` |
"""

# (rule, path, content that breaks it)
BAD = [
    ("include", "src/base/a.cc", '#include "audit/log.h"\n'),
    ("include", "src/gateway/a.cc", '#include "log.h"\n'),
    ("include", "src/audit/a.cc", '// Head.\n#include "verifier/log.h"\n'),
    ("llama", "src/gateway/a.cc", "#include <llama.h>\n"),
    ("llama", "src/audit/CMakeLists.txt", "deepmoat_module(audit LINK deepmoat_llama)\n"),
    ("link", "src/base/CMakeLists.txt", "deepmoat_module(base LINK PUBLIC deepmoat_audit)\n"),
    ("modules", "src/novel/a.cc", "// A module that the table does not know.\n"),
    ("file_size", "src/base/a.cc", "int x;\n" * 801),
    ("file_size", "src/base/a.h", "int x;\n" * 301),
    ("columns", "src/base/a.cc", "//" + "x" * 99 + "\n"),
    ("function_size", "src/base/a.cc", "int f() {\n" + "  g();\n" * 70 + "}\n"),
    ("function_size", "tools/a.py", "def f():\n" + "    g()\n" * 70),
    ("clock", "src/audit/a.cc", "auto t = std::chrono::steady_clock::now();\n"),
    ("random", "src/audit/a.cc", "std::random_device source;\n"),
    ("compare", "src/gateway/a.cc", "bool same = memcmp(a, b, 32) == 0;\n"),
    ("reveal", "src/audit/a.cc", "write(secret.reveal());\n"),
    ("environment", "src/audit/a.cc", 'auto home = std::getenv("HOME");\n'),
    ("format", "src/base/a.cc", "#include <format>\n"),
    ("format", "src/base/a.cc", 'auto s = std::format("{}", 1);\n'),
    ("new", "src/base/a.cc", "auto* p = new Thing(1);\n"),
    ("new", "src/base/a.cc", "void f() { delete p; }\n"),
    ("using_namespace", "src/base/a.cc", "using namespace std;\n"),
    ("throw", "src/base/a.cc", "void f() { throw Thing(); }\n"),
    ("output", "src/base/a.cc", "void f() { std::cerr << 1; }\n"),
    ("detach", "src/base/a.cc", "void f() { thread.detach(); }\n"),
    ("coroutine", "src/audit/a.cc", "void f() { co_return; }\n"),
    ("co_await", "src/gateway/a.cc", "void f() { g(co_await a(), co_await b()); }\n"),
    ("co_await", "src/gateway/a.cc", "void f() { auto x = c ? co_await a() : b; }\n"),
    ("wall_clock_test", "src/base/a_test.cc", "void f() { EXPECT_LT(elapsed_ms, 5); }\n"),
    ("skipped_test", "src/base/a_test.cc", "void f() { GTEST_SKIP(); }\n"),
    ("singleton", "src/base/a.h", "static Thing& instance();\n"),
    ("name", "src/base/a.h", "class KeyManager {};\n"),
    ("name", "src/base/string_utils.h", "// Strings.\n"),
    ("file_head", "src/base/a.h", "#pragma once\n"),
    ("pragma_once", "src/base/a.h", "// What it is for.\n"),
    ("marks", "docs/a.md", "TO" "DO: write this\n"),
    ("machine", "docs/a.md", "see /ro" "ot/notes\n"),
    ("dead_file", "src/base/lost.cc", "// Nobody builds this.\n"),
    ("boundary", None, None),  # BoundaryTest
    ("layout", None, None),    # FormatTest
]

# (path, content) that no rule may refuse
GOOD = [
    ("src/gateway/a.cc", '// Head.\n#include "audit/log.h"\n#include <vector>\n'),
    ("src/audit/a_test.cc", '// Head.\n#include "verifier/log.h"\n'),
    ("src/base/a.cc", '// Head: std::cerr, throw, new Thing, 1\'000.\nauto s = "throw new X";\n'),
    ("src/base/a.cc", "// Head.\nX(const X&) = delete;\nauto p = std::unique_ptr<X>(new X(1));\n"),
    ("src/base/a.cc", "// Head.\nusing namespace std::chrono_literals;\n"),
    ("src/base/clock.cc", "// Head.\nauto t = std::chrono::steady_clock::now();\n"),
    ("src/gateway/a.cc", "// Head.\nvoid f() {\n  auto x = co_await a();\n  g(co_await b());\n}\n"),
    ("src/base/a.cc", "// Head.\nvoid f() { log(R\"(std::cout << 1; // throw)\"); }\n"),
    ("src/base/a.cc", "// Head.\nnamespace x {\n" + "void f() {\n}\n" * 40 + "}  // namespace x\n"),
    ("src/audit/a_test.cc", "EXPECT_EQ(secret.reveal(), \"x\");\n"),
]


class Sandbox(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.write("ARCHITECTURE.md", TABLE)
        for module in ("base", "audit", "verifier", "gateway"):
            self.write(f"src/{module}/CMakeLists.txt", "a.cc a_test.cc clock.cc string_utils.cc\n")

    def write(self, path: str, content: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")

    def rules(self, path: str) -> set[str]:
        return {v.rule for v in tidy.check(self.root) if v.path.startswith(path)}


class RulesTest(Sandbox):
    def test_an_empty_tree_is_clean(self):
        self.assertEqual(tidy.check(self.root), [])

    def test_every_bad_piece_is_refused_by_its_rule(self):
        for rule, path, content in BAD:
            if path is None:
                continue
            with self.subTest(rule=rule, content=content[:60]):
                before = (self.root / path).read_text() if (self.root / path).exists() else None
                self.write(path, content)
                where = "src/novel" if "novel" in path else path
                self.assertIn(rule, self.rules(where))
                if before is None:
                    (self.root / path).unlink()
                    if "novel" in path:
                        (self.root / path).parent.rmdir()
                else:
                    self.write(path, before)

    def test_good_code_passes(self):
        for path, content in GOOD:
            with self.subTest(content=content[:60]):
                self.write(path, content)
                self.assertEqual(tidy.check(self.root), [])
                (self.root / path).unlink()

    def test_every_rule_has_a_bad_piece(self):
        shown = {rule for rule, _, _ in BAD}
        source = Path(tidy.__file__).read_text(encoding="utf-8")
        known = {ban.rule for ban in tidy.BANS}
        known |= set(tidy.re.findall(r'Violation\([^"]*(?:"[\w./]+", )?[^"]*?"(\w+)",', source))
        self.assertEqual(known - shown, set())

    def test_a_row_without_a_folder_is_found(self):
        self.write("ARCHITECTURE.md", TABLE + "| `quota/` | x | `base` |\n")
        self.assertEqual(self.rules("ARCHITECTURE.md"), {"modules"})

    def test_a_named_file_that_is_not_there_is_found(self):
        self.write("ARCHITECTURE.md", TABLE + "\nSee `base/gone.cc`.\n")
        self.assertEqual(self.rules("ARCHITECTURE.md"), {"modules"})


class FormatTest(Sandbox):
    def test_other_layout_is_found_and_rewritten(self):
        self.write(".clang-format", "BasedOnStyle: Google\n")
        self.write("src/base/a.cc", "// Head.\nint   x ;\n")
        self.assertEqual(self.rules("src/base/a.cc"), {"layout"})
        list(tidy.check_format(tidy.Tree(self.root), fix=True))
        self.assertEqual((self.root / "src/base/a.cc").read_text(), "// Head.\nint x;\n")


class BoundaryTest(Sandbox):
    def link(self, gateway: str, worker: str) -> list[str]:
        self.write("build/build.ninja", f"""
rule link
  command = ld $in
build deepmoat: link {gateway}
build deepmoat-worker: link {worker}
""")
        return [v.message for v in tidy.check_program_links(self.root / "build")]

    def test_the_gateway_links_no_engine_and_the_worker_no_keys(self):
        self.assertEqual(self.link("libdeepmoat_crypto.a", "libdeepmoat_engine.a libllama.so"), [])
        found = self.link("libdeepmoat_engine.a", "libdeepmoat_identity.a libdeepmoat_audit.a")
        self.assertEqual(len(found), 3)

    def test_a_missing_program_is_found(self):
        self.write("build/build.ninja", "rule r\n  command = true\n")
        self.assertEqual(len(list(tidy.check_program_links(self.root / "build"))), 2)


class FunctionTest(unittest.TestCase):
    CODE = """// Head.
namespace deepmoat {
class Thing {
 public:
  explicit Thing(int a) : a_{a}, b_(2) {
    run();
  }
  int get() const { return a_; }

 private:
  int a_{3};
};
const auto table = std::array{1, 2};
template <class T>
Result<T> parse(std::string_view text) {
  auto inner = [&](int x) {
    return x;
  };
  if (inner(1)) {
    return 1'000;
  }
  return T{};
}
struct Pair make() {
  return {};
}
}  // namespace deepmoat
TEST(Thing, works) {
}
"""

    def test_functions_and_their_lengths(self):
        found = [(f.name, f.line_count) for f in cpp_text.functions(self.CODE)]
        self.assertEqual(found, [("Thing", 3), ("get", 1), ("parse", 10), ("make", 3), ("TEST", 2)])

    def test_literals_become_spaces_of_the_same_length(self):
        code = 'a("x//y", \'"\', 1\'000, R"(")");  // end'
        blank = cpp_text.without_literals(code)
        self.assertEqual(len(blank), len(code))
        self.assertNotIn("end", blank)
        self.assertIn("1'000", blank)


if __name__ == "__main__":
    unittest.main()
