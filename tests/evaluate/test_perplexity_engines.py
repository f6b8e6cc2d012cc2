"""SmolLM2-135M's perplexity on the same text by our runtime, llama.cpp and onnxruntime, at the same weights."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import tinsmith
from tinsmith import models, quant
from tinsmith.backends.onnx_export import export
from tinsmith.evaluate.perplexity import perplexity
from tinsmith.system.progress import PlainDisplay

pytest.importorskip("llama_cpp")
pytest.importorskip("onnxruntime_genai")

# 85,000 are some 20,000 tokens, and take a quarter of an hour.
CHARACTERS = int(os.environ.get("TINSMITH_CHARACTERS", "12_000"))
CONTEXT = 512


@pytest.fixture(scope="module")
def text() -> str:
    """The book and the licence."""
    root = Path(__file__).parents[2]
    files = [root / "LICENSE", *sorted(root.glob("*.md")), *sorted(root.rglob("docs/**/*.md"))]
    return "\n".join(file.read_text("utf-8") for file in files)[:CHARACTERS]


def measure(path: Path, text: str, backend: str) -> float:
    measured = perplexity(tinsmith.load(path, backend=backend), text, CONTEXT, PlainDisplay())
    print(f"{path.name} by {backend}: {measured['perplexity']:.4f} over {measured['tokens']} tokens")
    value: float = measured["perplexity"]
    return value


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "precision"), [("F32", "fp32"), ("F16", "fp16"), ("Q8_0", "same"), ("Q4_0", "same")]
)
def test_the_engines_agree_within_a_percent(
    base_gguf: Path, text: str, tmp_path: Path, preset: str, precision: str
) -> None:
    spec = quant.apply(quant.apply(models.load(base_gguf), "F32"), preset)
    gguf, onnx = tmp_path / f"{preset}.gguf", tmp_path / precision
    models.save_gguf(spec, gguf)
    export(spec, onnx, precision)
    native = measure(gguf, text, "native")
    llama = measure(gguf, text, "llama.cpp")
    onnxruntime = measure(onnx, text, "onnxruntime")
    assert llama == pytest.approx(native, rel=0.01)
    assert onnxruntime == pytest.approx(native, rel=0.01)
