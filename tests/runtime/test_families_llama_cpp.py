"""Every family's GGUF in llama.cpp, beside transformers' own logits, for random tiny models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_models import cases, family_of
from transformers_models import POSITIONS, logits_of, save_random, some_tokens

from tinsmith import models

np = pytest.importorskip("numpy")


def llama_cpp_logits(path: Path, tokens: list[int]) -> Any:
    """float32 [tokens, vocabulary]; keys and values in float32, as transformers has them."""
    llama = pytest.importorskip("llama_cpp")
    kinds = {"type_k": llama.GGML_TYPE_F32, "type_v": llama.GGML_TYPE_F32}
    engine = llama.Llama(
        str(path), n_ctx=512, n_batch=512, n_threads=1, logits_all=True, verbose=False, **kinds
    )
    engine.eval(tokens)
    return np.array(engine.scores[: len(tokens)], np.float32)


def windows_that_llama_cpp_leaves_out(case: str, spec: models.Spec) -> int | None:
    """The positions up to which it computes what the model says: it has phi3's windows switched off."""
    window = getattr(spec.hyper, "window", 0)
    return window if family_of(case).name == "phi3" and window else None


@pytest.mark.slow
@pytest.mark.proves("GGUF out")
@pytest.mark.parametrize("case", cases())
def test_logits_are_those_of_transformers(case: str, tmp_path: Path) -> None:
    theirs_model = save_random(case, tmp_path)
    spec = models.load(tmp_path)
    models.save_gguf(spec, tmp_path / "model.gguf")
    limit = windows_that_llama_cpp_leaves_out(case, spec)
    tokens = some_tokens(spec.hyper.vocab, min(POSITIONS, limit or POSITIONS))
    theirs = logits_of(theirs_model, tokens)
    found = llama_cpp_logits(tmp_path / "model.gguf", tokens)
    worst, reach = float(np.abs(found - theirs).max()), float(theirs.max() - theirs.min())
    print(f"{case}: worst {worst:.3g} of {reach:.3g}, {worst / reach:.2g}")
    assert worst <= 1e-3 * reach
