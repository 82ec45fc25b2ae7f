"""Our patches of the engine's kernels change how fast a model is and not what it says: perplexity
of the demo model with our kernels and with those of llama-server's build.

With F32 weights nothing is rounded on the way, and the two are the same to a few parts in 100,000.
With quantised weights each product rounds its input to 8 bits; then a last bit of a sum decides now
and then about a step of 1/127, for either kernel, and a text of a thousand tokens tells half a
percent of chance and not more.
"""

import json
import subprocess
from pathlib import Path

import pytest
from support.llama_server import CPU_PREFIX, llama_server_program
from support.program import ROOT, environment, model_file, program

TEXT = ROOT / "README.md"
JOB_WAIT_S = 600


def worker(*arguments: object) -> dict:
    done = subprocess.run([program().parent / "deepmoat-worker", *map(str, arguments)],
                          capture_output=True, text=True, check=False, timeout=JOB_WAIT_S,
                          env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory):
    """The demo model with its weights as plain numbers."""
    file = tmp_path_factory.mktemp("exact") / "demo-f32.gguf"
    file.touch()
    worker("--quantize", model_file(), file, "F32", "--from-quantized")
    yield file
    file.unlink()


def measure(model: Path, *flags: object) -> dict:
    return worker("--measure", model, "--text", TEXT, "--rounds", 1, "--output-tokens", 1,
                  *flags)["speed"]


@pytest.mark.parametrize(("weights", "most_percent"), [("exact", 0.02), ("quantised", 1.5)])
def test_the_kernels_say_the_same(exact: Path, weights: str, most_percent: float):
    model = exact if weights == "exact" else model_file()
    ours = measure(model)
    peer = llama_server_program().parent
    variant = ours["cpu_variant"]
    assert (peer / f"{CPU_PREFIX}{variant}.so").exists()
    theirs = measure(model, "--cpu-variant", variant, "--engine-dir", peer)
    assert ours["perplexity_tokens"] == theirs["perplexity_tokens"] > 500
    change = 100 * abs(ours["perplexity"] / theirs["perplexity"] - 1)
    print(f"{weights}: {ours['perplexity']:.4f} and {theirs['perplexity']:.4f}, {change:.4f} %")
    assert change < most_percent
