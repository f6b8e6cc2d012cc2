"""A file of `auto` in llama.cpp: it loads, holds what was chosen, and says what the native runtime says."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import tinsmith
from tinsmith import cli, models

np = pytest.importorskip("numpy")
pytest.importorskip("torch")
pytest.importorskip("llama_cpp")
oracle = pytest.importorskip("gguf")

from tests.models.tiny_models import tiny_spec  # noqa: E402
from tinsmith.models import family  # noqa: E402


def test_llama_cpp_loads_it(tmp_path: Path) -> None:
    sizes = {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 4}
    models.save_gguf(tiny_spec(family.by_name("llama"), **sizes), tmp_path / "in.gguf")
    (tmp_path / "words.txt").write_text("in the hall the lamp is on, in the kitchen it is off; " * 40)
    path = tmp_path / "auto.gguf"
    given = ["--type", "auto", "--bits", "5", "--calibration", str(tmp_path / "words.txt")]
    assert cli.main(["quantize", str(tmp_path / "in.gguf"), str(path), *given]) == 0
    held = {tensor.name: tensor.tensor_type.name for tensor in oracle.GGUFReader(path).tensors}
    ours = tinsmith.load(path, threads=1)
    theirs = tinsmith.load(path, backend="llama.cpp", threads=1)
    assert len(set(held.values()) - {"F32"}) > 1
    assert held == {name: tensor.type.name for name, tensor in tinsmith.formats.gguf.read(path).tensors.items()}
    source = random.Random(4)
    tokens = [source.randrange(4, 260) for _ in range(60)]
    native, other = np.asarray(ours.logits(tokens)), np.asarray(theirs.logits(tokens))
    # Both quantize activations to 8 bits, each in its own way.
    assert np.abs(other - native).max() <= 0.03 * (native.max() - native.min())
