#!/usr/bin/env python3
"""The programs that ./up and ./test are made of: what they accept, refuse and tell the user."""

import importlib.machinery
import importlib.util
import json
import os
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import convert  # noqa: E402
import convert_start  # noqa: E402
import install  # noqa: E402
import llama  # noqa: E402
import model  # noqa: E402
import packages  # noqa: E402


def load_program(name: str):
    """A program of the repository's top folder as a module."""
    loader = importlib.machinery.SourceFileLoader(f"program_{name}", str(ROOT / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


class Sandbox(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name).resolve()
        environment = mock.patch.dict(os.environ, {"DEEPMOAT_CACHE": str(self.root / "cache")})
        environment.start()
        self.addCleanup(environment.stop)
        for name in ("DEEPMOAT_MODEL", "DEEPMOAT_LLAMA_SOURCE"):
            os.environ.pop(name, None)


class ConvertTest(Sandbox):
    def test_a_named_python_is_taken_only_when_it_has_all_that_is_needed(self):
        os.environ.pop("DEEPMOAT_CONVERT_PYTHON", None)
        named = self.root / "python"
        named.write_text("#!/bin/sh\necho torch\n", "utf-8")
        named.chmod(0o700)
        with mock.patch.dict(os.environ, {"DEEPMOAT_CONVERT_PYTHON": str(named)}):
            with self.assertRaisesRegex(packages.Problem, "lacks torch"):
                convert.environment()
            named.write_text("#!/bin/sh\n", "utf-8")
            self.assertEqual(convert.environment(), str(named))
            named.unlink()
            with self.assertRaisesRegex(packages.Problem, "does not run"):
                convert.environment()

    def test_who_may_not_install_is_told_one_command_and_the_other_way(self):
        os.environ.pop("DEEPMOAT_CONVERT_PYTHON", None)
        with mock.patch.object(install, "missing_packages", return_value=["python3-torch"]), \
                mock.patch.object(install, "prefix_for_root", return_value=None), \
                self.assertRaises(packages.Problem) as told:
            convert.environment()
        for part in ("apt-get install -y --no-install-recommends python3-torch", "650 MB",
                     "DEEPMOAT_CONVERT_PYTHON"):
            self.assertIn(part, str(told.exception))

    def test_the_storages_of_a_file_are_read_from_its_head(self):
        file = self.root / "model.safetensors"
        head = json.dumps({"__metadata__": {"a": "b"}, "x": {"dtype": "F8_E4M3"},
                           "y": {"dtype": "BF16"}}).encode()
        file.write_bytes(len(head).to_bytes(8, "little") + head)
        self.assertEqual(convert_start.storages(file), {"F8_E4M3", "BF16"})
        for broken in (b"", b"1234567", (2**63).to_bytes(8, "little"),
                       (20).to_bytes(8, "little") + b"{", (2).to_bytes(8, "little") + b"[]",
                       (7).to_bytes(8, "little") + b'{"x":1}'):
            file.write_bytes(broken)
            with self.assertRaises(SystemExit):
                convert_start.storages(file)

    def test_what_went_wrong_is_the_end_of_the_log(self):
        log = self.root / "log"
        log.write_text("$ python convert\nINFO\n\n  File x\nValueError: no\n", "utf-8")
        self.assertEqual(convert.last_words(log), "INFO / File x / ValueError: no")


class LlamaTest(Sandbox):
    def variants(self, flags: str) -> list[str]:
        with mock.patch.object(Path, "read_text", return_value=f"model\nflags\t\t: {flags}\n"):
            return llama.local_variants()

    def test_local_variants_always_hold_the_baseline_and_never_what_the_machine_lacks(self):
        avx2 = "avx2 fma f16c bmi2"
        avx512 = f"{avx2} avx512f avx512cd avx512vl avx512dq avx512bw"
        full = f"{avx512} avx512vbmi avx512_vnni avx512_bf16 amx_tile amx_int8"
        self.assertEqual(self.variants("sse2"), ["x64"])
        self.assertEqual(self.variants(avx2), ["x64", "haswell"])
        self.assertEqual(self.variants(avx512), ["x64", "haswell", "skylakex"])
        self.assertEqual(self.variants(full), ["x64", "haswell", "sapphirerapids", "zen4"])

    def test_what_is_built_covers_only_what_was_asked_before(self):
        self.assertTrue(llama.covers(["all"], ["x64"]))
        self.assertTrue(llama.covers(["x64", "haswell"], ["x64"]))
        self.assertFalse(llama.covers(["x64"], ["x64", "haswell"]))
        self.assertFalse(llama.covers(["x64"], []))  # [] asks for all

    def test_the_cache_entry_changes_with_the_source_and_the_patches(self):
        before = llama.entry_name("a")
        self.assertNotEqual(before, llama.entry_name("b"))
        self.assertEqual(before, llama.entry_name("a"))
        patch = self.root / "1.patch"
        patch.write_text("changed")
        with mock.patch.object(llama, "patches", return_value=[patch]):
            self.assertNotEqual(before, llama.entry_name("a"))

    def test_a_brought_source_that_is_no_tree_is_refused_with_the_reason(self):
        with self.assertRaisesRegex(packages.Problem, "neither a folder nor a file"):
            llama.named_source(str(self.root / "nothing"))
        with self.assertRaisesRegex(packages.Problem, "not a tree of llama.cpp"):
            llama.named_source(str(self.root))
        other = self.root / "other.tar.gz"
        other.write_bytes(b"x")
        with self.assertRaisesRegex(packages.Problem, llama.SDIST_SHA256):
            llama.named_source(str(other))

    def test_only_the_parts_that_the_build_reads_are_unpacked(self):
        tree = self.root / "in" / llama.SDIST_PREFIX
        for name in ("src/llama.cpp", "models/big.gguf", "CMakeLists.txt"):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text("x")
        archive = self.root / "a.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(self.root / "in", arcname="")
        llama.extract(archive, self.root / "out")
        found = sorted(p.relative_to(self.root / "out").as_posix()
                       for p in (self.root / "out").rglob("*") if p.is_file())
        self.assertEqual(found, ["CMakeLists.txt", "src/llama.cpp"])

    def test_a_half_written_record_means_build_again(self):
        work = llama.Build(self.root, 1)
        (self.root / "built.json").write_text('{"variants": ["x6')
        self.assertEqual(work.record(), {"variants": [], "targets": []})

    def test_every_patch_gives_its_reason_and_effect(self):
        for patch in llama.patches():
            text = patch.read_text(encoding="utf-8")
            self.assertRegex(text.split("\n--- ")[0], r"(?s)Why: .*Effect\b[^:]*: ", patch.name)


class ModelTest(Sandbox):
    def test_a_named_model_must_exist_and_be_gguf(self):
        with self.assertRaisesRegex(packages.Problem, "no model file"):
            model.find_model(str(self.root / "nothing.gguf"))
        wrong = self.root / "wrong.gguf"
        wrong.write_bytes(b"PK\x03\x04")
        with self.assertRaisesRegex(packages.Problem, "not a GGUF file"):
            model.find_model(str(wrong))
        right = self.root / "right.gguf"
        right.write_bytes(b"GGUF....")
        with mock.patch.dict(os.environ, {"DEEPMOAT_MODEL": str(right)}):
            self.assertEqual(model.find_model(), right)

    def test_a_cached_model_of_another_size_is_not_trusted(self):
        folder = packages.cache_folder() / "models"
        folder.mkdir(parents=True)
        (folder / model.MODEL_NAME).write_bytes(b"short")
        (folder / f"{model.MODEL_NAME}.sha256").write_text(model.MODEL_SHA256)
        with mock.patch.object(packages, "download", side_effect=packages.Problem("fetched")) as d:
            with self.assertRaisesRegex(packages.Problem, "fetched"):
                model.find_model()
            d.assert_called_once()


class PackagesTest(Sandbox):
    def test_an_archive_with_another_hash_is_refused_and_the_error_says_what_to_bring(self):
        def bring_wrong(command, _log, _progress, **_):
            target = Path(command[command.index("-d") + 1]) / "thing-1.tar.gz"
            target.write_bytes(b"not what was pinned")

        with mock.patch.object(packages, "run_logged", bring_wrong), \
                mock.patch.object(packages, "say"):
            with self.assertRaisesRegex(packages.Problem, "(?s)none with SHA-256 00.*bring this"):
                packages.download("thing", "1", "00", self.root, source=False, bring="bring this")
        self.assertEqual(list(self.root.glob("*.gz")), [])

    def test_a_failed_command_shows_the_failed_step_and_its_log(self):
        log = self.root / "log"
        script = "print('FAILED: x.o'); print('the reason'); print('noise\\n' * 60); exit(3)"
        with mock.patch.object(packages, "say"):
            with self.assertRaisesRegex(packages.Problem, f"(?s)the reason.*{log}"):
                packages.run_logged([sys.executable, "-c", script], log, packages.Progress("x"))

    def test_wanted_packages_leave_out_comments(self):
        self.assertEqual(install.wanted_packages("# a\ngcc  # b\n\ng++\n"), ["gcc", "g++"])

    def test_a_package_that_nobody_has_is_missing(self):
        self.assertEqual(install.missing_packages(["dpkg", "no-such-package-of-ours"]),
                         ["no-such-package-of-ours"])

    def test_without_root_the_exact_command_is_shown(self):
        with mock.patch.object(install, "prefix_for_root", return_value=None):
            with self.assertRaisesRegex(packages.Problem, "apt-get install .* no-such-package"):
                install.install(["no-such-package"])

    def test_every_requirement_is_pinned_with_a_hash(self):
        for path in (ROOT / "tests" / "requirements.txt", llama.REQUIREMENTS):
            text = path.read_text(encoding="utf-8").replace("\\\n", " ")
            lines = [line for line in text.splitlines() if line and not line.startswith("#")]
            self.assertTrue(lines)
            for line in lines:
                self.assertRegex(line, r"^[\w-]+==[\w.]+\s.*--hash=sha256:[0-9a-f]{64}")


class TestProgramTest(Sandbox):
    """./test itself: a suite that broke must never look like one that passed."""

    def setUp(self):
        super().setUp()
        self.program = load_program("test")

    def ctest_report(self, *tests: tuple[str, str]) -> Path:
        path = self.root / "ctest.xml"
        cases = "".join(f'<testcase name="{name}" status="{status}"/>' for name, status in tests)
        path.write_text(f"<testsuite>{cases}</testsuite>")
        return path

    def test_cases_are_counted_and_a_crash_after_the_last_case_is_a_failure(self):
        (self.root / "base_test.xml").write_text(
            '<testsuites><testsuite><testcase/><testcase/></testsuite></testsuites>')
        count = self.program.count_ctest(self.ctest_report(("base", "run"), ("tidy", "run")),
                                         self.root)
        self.assertEqual(count, (3, 0))
        count = self.program.count_ctest(self.ctest_report(("base", "fail"), ("tidy", "fail")),
                                         self.root)
        self.assertEqual(count, (2, 2))

    def test_failed_and_skipped_cases_are_failures(self):
        path = self.root / "j.xml"
        path.write_text("<testsuites><testsuite><testcase/><testcase><failure/></testcase>"
                        "<testcase><skipped/></testcase></testsuite></testsuites>")
        self.assertEqual(self.program.count_junit(path), (1, 2))

    def test_a_suite_that_cannot_run_is_a_failure(self):
        broken = mock.Mock(side_effect=packages.Problem("no compiler"))
        with mock.patch.dict(self.program.SUITES, {"unit": ("x", broken)}), \
                mock.patch.object(self.program, "say"):
            self.assertEqual(self.program.run_suite("unit", None), (0, 1))


class PresetsTest(unittest.TestCase):
    def test_the_four_builds_exist(self):
        presets = json.loads((ROOT / "CMakePresets.json").read_text(encoding="utf-8"))
        shown = {p["name"] for p in presets["configurePresets"] if not p.get("hidden")}
        self.assertEqual(shown, {"release", "debug", "tsan", "fuzz"})


if __name__ == "__main__":
    unittest.main()
