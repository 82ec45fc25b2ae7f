"""Our patches of the engine's kernels change how fast a model is and not what it says: perplexity
of the demo model with our kernels and with those of llama-server's build."""

import json
import subprocess
from pathlib import Path

import pytest
from support.llama_server import CPU_PREFIX, llama_server_program
from support.program import ROOT, environment, model_file, program

TEXTS = [ROOT / "ARCHITECTURE.md", ROOT / "docs" / "models.md"]
MEASURE_WAIT_S = 600
EQUAL_PERCENT = 0.1


def measure(text: Path, variant: str = "", engine: Path | None = None) -> dict:
    flags = [*(["--cpu-variant", variant] if variant else []),
             *(["--engine-dir", str(engine)] if engine else [])]
    done = subprocess.run(
        [program().parent / "deepmoat-worker", "--measure", model_file(), "--text", text,
         "--rounds", "1", "--output-tokens", "1", *flags],
        capture_output=True, text=True, check=False, timeout=MEASURE_WAIT_S, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])["speed"]


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_the_kernels_say_the_same(text: Path):
    ours = measure(text)
    peer = llama_server_program().parent
    assert (peer / f"{CPU_PREFIX}{ours['cpu_variant']}.so").exists()
    theirs = measure(text, ours["cpu_variant"], peer)
    assert ours["perplexity_tokens"] == theirs["perplexity_tokens"] > 500
    change = 100 * abs(ours["perplexity"] / theirs["perplexity"] - 1)
    print(f"{text.name}: {ours['perplexity']:.4f} and {theirs['perplexity']:.4f}, {change:.4f} %")
    assert change < EQUAL_PERCENT
