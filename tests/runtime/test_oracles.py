"""Logits against outsiders: transformers for the float model, llama.cpp for the same GGUF.

The bounds come from the formats. What our runtime rounds is the key-value cache (float16) and, for quantized
weights, the activations (int8 blocks of 32). llama.cpp rounds the same things in its own order, so the two may
differ by no more than either differs from a computation without that rounding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.models.effort import EFFORT
from tinsmith import _core, models, quant
from tinsmith.compiler import build_image
from tinsmith.runtime import Model

np = pytest.importorskip("numpy")

POSITIONS = 2000
WINDOW = 500


@pytest.fixture(scope="module")
def text() -> str:
    """Real prose of some 2,400 tokens."""
    return (Path(__file__).parents[2] / "LICENSE").read_text()


def windows(model: Model, text: str) -> list[list[int]]:
    tokens = model.tokenize(text)
    assert len(tokens) >= POSITIONS
    return [tokens[at : at + WINDOW] for at in range(0, POSITIONS, WINDOW)]


def log_softmax(logits: Any) -> Any:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True, dtype=np.float64)).astype(np.float32)


def compare(ours: list[Any], theirs: list[Any]) -> tuple[float, float]:
    """Mean KL divergence of ours from theirs in nats, and the fraction of positions with the same best token;
    both as one array of logits a window."""
    divergence, same = [], []
    for mine, other in zip(ours, theirs, strict=True):
        p, q = log_softmax(other), log_softmax(mine)
        divergence.append((np.exp(p) * (p - q)).sum(axis=-1, dtype=np.float64))
        same.append(mine.argmax(axis=-1) == other.argmax(axis=-1))
    return float(np.concatenate(divergence).mean()), float(np.concatenate(same).mean())


def all_logits(model: Model, rows: list[list[int]]) -> list[Any]:
    return [np.asarray(model.logits(row)) for row in rows]


@pytest.fixture(scope="module")
def float_spec(base_gguf: Path) -> models.Spec:
    return quant.apply(models.load(base_gguf), "F32")


@pytest.fixture(scope="module")
def float_model(float_spec: models.Spec) -> Model:
    return in_memory(float_spec)


def in_memory(spec: models.Spec) -> Model:
    image = build_image(spec)
    return Model(_core.Model(image), image, threads=2)


def test_float_model_against_transformers(
    float_spec: models.Spec, float_model: Model, text: str, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    models.save_hf(float_spec, tmp_path)
    theirs_model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    rows = windows(float_model, text)[: 2 * EFFORT]
    with torch.no_grad():
        theirs = [theirs_model(torch.tensor([row])).logits[0].numpy() for row in rows]
    ours = all_logits(float_model, rows)
    divergence, agreement = compare(ours, theirs)
    reach = max(float(window.max() - window.min()) for window in theirs)
    worst = max(float(np.abs(mine - other).max()) for mine, other in zip(ours, theirs, strict=True))
    print(
        f"float against transformers: KL {divergence:.3g}, top-1 {agreement:.4f}, worst {worst:.3g}/{reach:.3g}"
    )
    # float16 keys and values carry 11 bits: an error of 2^-11 of the logits' reach, and KL of half its square.
    step = 2.0**-11 * reach
    assert divergence <= step**2 / 2
    assert worst <= 4 * step
    assert agreement >= 0.99


def llama_cpp_logits(path: Path, rows: list[list[int]], vocab: int) -> list[Any]:
    """Logits of every position by llama.cpp's own batch interface, key-value cache in float16 as by default."""
    llama = pytest.importorskip("llama_cpp")
    engine = llama.Llama(str(path), n_ctx=WINDOW, n_batch=WINDOW, n_threads=2, logits_all=True, verbose=False)
    computed = []
    for row in rows:
        engine.reset()
        engine.eval(row)
        computed.append(np.array(engine.scores[: len(row)], np.float32))
    assert computed[0].shape == (WINDOW, vocab)
    return computed


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["as it is", "F16", "Q8_0", "Q4_0"])
def test_same_gguf_in_llama_cpp(
    base_gguf: Path, float_spec: models.Spec, text: str, tmp_path: Path, preset: str
) -> None:
    spec, path = models.load(base_gguf), base_gguf
    if preset != "as it is":
        spec, path = quant.apply(float_spec, preset), tmp_path / "model.gguf"
        models.save_gguf(spec, path)
    ours_model = tinsmith.load(path)
    rows = windows(ours_model, text)
    ours = all_logits(ours_model, rows)
    theirs = llama_cpp_logits(path, rows, ours_model.info.vocab)
    divergence, agreement = compare(ours, theirs)
    # The same weights without rounded activations.
    exact = all_logits(in_memory(quant.apply(spec, "F32")), rows)
    rounding, kept = compare(theirs, exact)
    own, _ = compare(ours, exact)
    print(f"{preset} against llama.cpp: KL {divergence:.3g}, top-1 {agreement:.4f}")
    print(f"{preset} against exact: ours KL {own:.3g}, llama.cpp KL {rounding:.3g}, top-1 {kept:.4f}")
    # KL grows with the square of an error: two engines that are each that far from the exact computation are
    # at most four times that apart. Weights that need no rounded activations leave float16 caches alone.
    floor = 1e-5
    assert own <= max(1.1 * rounding, floor)
    assert divergence <= max(4 * rounding, floor)
    assert agreement >= 1 - 2 * (1 - kept) - 0.001
