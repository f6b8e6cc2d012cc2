"""Every family's GGUF in llama.cpp, beside transformers' own logits, for random tiny models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.models import without_llama_cpp
from tests.models.tiny_models import cases, family_of, in_format
from tests.models.transformers_models import POSITIONS, from_folder, logits_of, save_random, some_tokens
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
@pytest.mark.parametrize("weights", ["F32", "F16"])
@pytest.mark.parametrize("case", cases())
def test_logits_are_those_of_transformers(
    case: str, weights: str, tmp_path: Path, record_property: Any
) -> None:
    theirs_model = save_random(case, tmp_path)
    spec = models.load(tmp_path)
    if spec.family in without_llama_cpp.FAMILIES:
        record_property("without", without_llama_cpp.REASON)
        models.save_gguf(spec, tmp_path / "model.gguf")
        assert without_llama_cpp.refuses(tmp_path / "model.gguf")
        return
    if weights != "F32":
        spec = in_format(spec, weights)
        models.save_hf(spec, tmp_path / weights)
        theirs_model = from_folder(tmp_path / weights)
    models.save_gguf(spec, tmp_path / "model.gguf")
    limit = windows_that_llama_cpp_leaves_out(case, spec)
    tokens = some_tokens(spec.hyper.vocab, min(POSITIONS, limit or POSITIONS))
    theirs = logits_of(theirs_model, tokens)
    computed = llama_cpp_logits(tmp_path / "model.gguf", tokens)
    errors, reach = np.abs(computed - theirs).max(axis=1), float(theirs.max() - theirs.min())
    print(f"{case} {weights}: worst {errors.max() / reach:.2g}, median {np.median(errors) / reach:.2g}")
    if weights == "F32":
        assert errors.max() <= 1e-3 * reach
    else:
        # It rounds what it multiplies float16 weights with to float16 as well, of which a state and a router's
        # choice can make much at single positions.
        assert np.median(errors) <= 2e-3 * reach
