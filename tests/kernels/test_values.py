"""Parts of packed matrices as floats: the values of dequantizing, by every instruction set that runs here."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from tests.kernels.kernel_library import FORMATS, Library, random_blocks
from tinsmith import _core


class Part(ctypes.Structure):
    _fields_ = (
        ("first", ctypes.c_uint32),
        ("rows", ctypes.c_uint32),
        ("column", ctypes.c_uint32),
        ("columns", ctypes.c_uint32),
        ("order", ctypes.c_void_p),
    )


def bfloat16(values: np.ndarray) -> np.ndarray:
    """The bits, rounded to nearest even."""
    bits = values.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def blocks(rng: np.random.Generator, name: str, rows: int, inputs: int) -> np.ndarray:
    if name in ("f32", "f16", "bf16"):
        floats = rng.normal(0, 1, rows * inputs).astype(np.float32)
        return np.frombuffer(_core.quantize(name.upper(), floats.tobytes(), rows, inputs), np.uint8)
    count = rows * inputs // FORMATS[name].block
    return random_blocks(rng, name, count, lambda n: rng.normal(0, 0.01, n)).reshape(-1)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("narrow", [False, True])
def test_every_set_gives_the_values_of_dequantizing(
    lib: Library, rng: np.random.Generator, name: str, narrow: bool
) -> None:
    rows, inputs, first, count = 19, 768, 3, 11
    data = blocks(rng, name, rows, inputs)
    whole = lib.dequantize(name, data, rows, inputs)
    ran = 0
    for order in (None, rng.permutation(rows).astype(np.uint32)):
        wanted = (whole if order is None else whole[order])[first : first + count, 256:768]
        wanted = bfloat16(np.ascontiguousarray(wanted)) if narrow else wanted.view(np.uint32)
        part = Part(first, count, 256, 512, None if order is None else order.ctypes.data)
        for level in range(3):
            out = np.zeros((count + 1, 512), np.uint16 if narrow else np.uint32)
            status = lib.c.tini_values_by(
                level,
                FORMATS[name].id,
                ctypes.c_void_p(out.ctypes.data),
                narrow,
                ctypes.c_void_p(data.ctypes.data),
                inputs,
                ctypes.byref(part),
            )
            if status == 0:
                ran += 1
                assert np.array_equal(out[:count], wanted)
                assert not out[count].any()
    assert ran >= 2


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": "Q4_Z"}, "unknown weight format 'Q4_Z'; known: F32"),
        ({"data": b"x"}, "data or order have another size than 4 x 512 in Q4_K"),
        ({"order": np.arange(3, dtype=np.uint32)}, "data or order have another size"),
        ({"order": np.full(4, 4, np.uint32)}, "row_order names a row that is not there"),
        ({"first": 2}, "no such part of 4 x 512"),
        ({"column": 128}, "no such part"),
        ({"column": 512}, "no such part"),
        ({"columns": 128}, "no such part"),
        ({"out": bytearray(100)}, "out has other than its 3072 bytes"),
        ({"first": 2**32 - 2}, "no such part"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], text: str) -> None:
    given = {
        "name": "Q4_K",
        "data": bytes(4 * 288),
        "rows": 4,
        "inputs": 512,
        "order": None,
        "out": bytearray(3 * 256 * 4),
        "narrow": False,
        "first": 1,
        "count": 3,
        "column": 256,
        "columns": 256,
    } | change
    with pytest.raises(ValueError, match=text):
        _core.values(*given.values())
