"""The quantizers beside llama.cpp's own, on a real model's tensors: no format loses more."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinsmith import _core
from tinsmith.formats import gguf
from tinsmith.formats.weights import WEIGHT_FORMATS, in_gguf, weight_format

FITTED = [name for name, kind in WEIGHT_FORMATS.items() if kind.block > 1 and in_gguf(name) == name]
TENSORS = ("token_embd", "blk.3.attn_q", "blk.11.attn_v", "blk.20.ffn_gate", "blk.29.ffn_down")


@pytest.fixture(scope="module")
def theirs() -> Callable[..., bytes]:
    """ggml_quantize_chunk: (format, float32 [rows, inputs], importance or None) -> blocks."""
    llama_cpp = pytest.importorskip("llama_cpp")
    library = ctypes.CDLL(str(min((Path(llama_cpp.__file__).parent / "lib").glob("*ggml-base*"))))
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_requires_imatrix.restype = ctypes.c_bool

    def quantize(name: str, x: np.ndarray, importance: np.ndarray | None) -> bytes:
        out = np.zeros(x.nbytes, np.uint8)
        library.ggml_quantize_init(weight_format(name).gguf)  # tables of some formats
        if library.ggml_quantize_requires_imatrix(weight_format(name).gguf) and importance is None:
            importance = np.ones(x.shape[1], np.float32)
        pointers = [None if a is None else ctypes.c_void_p(a.ctypes.data) for a in (x, out, importance)]
        counts = [ctypes.c_int64(count) for count in (0, *x.shape)]
        size = library.ggml_quantize_chunk(weight_format(name).gguf, *pointers[:2], *counts, pointers[2])
        return out[:size].tobytes()

    return quantize


@pytest.fixture(scope="module")
def tensors(base_gguf: Path) -> list[np.ndarray]:
    """Some rows of each tensor, as rows of 768 or 1536: the model's own 576 are no whole super-blocks.

    The file is in Q4_1, so noise of half a step is added: else weights lie on a grid, as no trained ones do.
    """
    rng = np.random.default_rng(7)
    file, weights = gguf.read(base_gguf), []
    for name in TENSORS:
        stored = file.tensors[f"{name}.weight"]
        rows = 64
        data = bytes(memoryview(stored.data)[: rows * stored.size // stored.shape[1]])  # type: ignore[arg-type]
        floats = np.frombuffer(_core.dequantize(stored.type.name, data, rows, stored.shape[0]), np.float32)
        noise = rng.uniform(-0.15, 0.15, floats.size) * floats.std()
        weights.append(
            (floats + noise).astype(np.float32).reshape(-1, 1536 if stored.shape[0] == 1536 else 768)
        )
    return weights


def error(name: str, x: np.ndarray, blocks: bytes, importance: np.ndarray | None) -> float:
    held = np.frombuffer(_core.dequantize(name, blocks, *x.shape), np.float32).reshape(x.shape)
    weight: Any = 1 if importance is None else importance
    return float(((held.astype(np.float64) - x) ** 2 * weight).sum())


@pytest.mark.parametrize("weighted", ["", "weighted", "spiked"])
@pytest.mark.parametrize("name", FITTED)
def test_no_worse_than_llama_cpp(
    theirs: Callable[..., bytes], tensors: list[np.ndarray], name: str, weighted: str
) -> None:
    rng = np.random.default_rng(8)
    for x in tensors:
        given = np.exp(rng.normal(0, 1.5, x.shape[1])).astype(np.float32) if weighted else None
        if weighted == "spiked":  # as by the few inputs of a real model that are thousands of times the others
            given[rng.integers(x.shape[1], size=3)] *= 1e4  # type: ignore[index]
        ours = _core.quantize(
            name, x.tobytes(), *x.shape, importance=None if given is None else given.tobytes()
        )
        ratio = error(name, x, ours, given) / error(name, x, theirs(name, x, given), given)
        print(f"{name} {weighted or 'plain'}: {ratio:.3f}")
        assert ratio <= 1.02
