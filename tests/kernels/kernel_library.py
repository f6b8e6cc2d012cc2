"""The kernels as a shared library, called through ctypes on NumPy arrays."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np
from gguf import quants

KERNELS = Path(__file__).resolve().parents[2] / "kernels"
Q8 = np.dtype([("scale", "<f4"), ("sum", "<i4"), ("q", "i1", 32)])


class Impl(NamedTuple):
    """A kernel that a vector set has."""

    op: str
    type: str
    isa: str


_LISTS = """
#include "isa.def"
#include "kernels.def"
#define EACH(name, guard) SET(name, TIN_LINE_##name(STEP)) TIN_KERNELS_##name(HAS)
TIN_ISAS(EACH)
TIN_KERNELS(KERNEL, )
"""


@cache
def _expanded() -> str:
    """The lists of the .def files, of all sets, as the preprocessor makes them."""
    command = [os.environ.get("CC", "cc"), "-E", "-P", f"-I{KERNELS}", "-x", "c", "-"]
    return subprocess.run(command, input=_LISTS, capture_output=True, text=True, check=True).stdout


def kernels() -> dict[str, str]:
    """Every kernel and its type."""
    return dict(re.findall(r"KERNEL\(, (\w+), (\w+)\)", _expanded()))


def sets() -> dict[str, list[str]]:
    """Every instruction set, with its ancestors and itself."""
    matches = re.findall(r"SET\((\w+), ((?:STEP\(\w+\) ?)+)\)", _expanded())
    return {name: re.findall(r"STEP\((\w+)\)", line) for name, line in matches}


def implementations() -> list[Impl]:
    types = kernels()
    pairs = re.findall(r"HAS\((\w+), (\w+)\)", _expanded())
    return [Impl(op, types[op], isa) for op, isa in pairs if isa != "scalar"]


def fields(
    pointers: str = "", sizes: str = "", counts: str = "", floats: str = ""
) -> list[tuple[str, type[ctypes._SimpleCData[Any]]]]:
    """Of a struct of the kernels, which have them in this order."""
    kinds = (ctypes.c_void_p, pointers), (ctypes.c_size_t, sizes), (ctypes.c_uint32, counts)
    return [(name, kind) for kind, names in (*kinds, (ctypes.c_float, floats)) for name in names.split()]


class Matmul(ctypes.Structure):
    _fields_ = fields(
        pointers="weights x out residual bias next",
        sizes="x_stride out_stride residual_stride",
        counts="rows inputs outputs",
    )


class Kv(ctypes.Structure):
    _fields_ = fields(pointers="keys values", counts="capacity head_dim")


class Attention(ctypes.Structure):
    _fields_ = fields(
        pointers="q out",
        sizes="q_stride out_stride",
        counts="rows heads position window until",
        floats="scale cap",
    )


class Softmax(ctypes.Structure):
    _fields_ = fields(pointers="scores weights maximum sum alpha", counts="rows count", floats="scale")


class Conv(ctypes.Structure):
    _fields_ = fields(
        pointers="weights bias before x to out", sizes="x_stride out_stride", counts="rows taps silu"
    )


class Delta(ctypes.Structure):
    _fields_ = fields(
        pointers="before q k v decay beta to out",
        sizes="qk_stride v_stride out_stride",
        counts="rows inputs plain",
        floats="scale skip",
    )


class Format(NamedTuple):
    """A line of formats.def."""

    id: int
    gguf: int
    name: str
    block: int
    bytes: int
    activations: str


def formats() -> list[Format]:
    pattern = r"^    X\(a, b, (\d+), (\d+), \w+, (\w+), (\d+), (\d+), (\w+),"
    lines = re.findall(pattern, (KERNELS / "formats.def").read_text(), flags=re.M)
    return [Format(int(i), int(g), n, int(b), int(size), a) for i, g, n, b, size, a in lines]


FORMATS = {line.name: line for line in formats()}


def halves_at(name: str) -> list[int]:
    """Where a block's float16 values stand in GGUF: the scale, then the minimum."""
    first = {"q6_k": 208, "q3_k": 108, "q2_k": 80, "tq2_0": 64, "tq1_0": 52}.get(name, 0)
    return [first, first + 2] if name in ("q4_1", "q5_1", "q4_k", "q5_k", "q2_k") else [first]


def random_blocks(
    rng: np.random.Generator, name: str, count: int, halves: Callable[[int], np.ndarray]
) -> np.ndarray:
    """GGUF bytes [count, bytes a block]: every bit random, but for the float16 values: halves(count)."""
    blocks = rng.integers(0, 256, (count, FORMATS[name].bytes), dtype=np.uint8)
    for at in halves_at(name):
        blocks[:, at : at + 2] = halves(count).astype(np.float16)[:, None].view(np.uint8)
    return blocks


IQ3_NL = np.array([0, 3, 5, 7, 8, 10, 12, 15], np.uint8)  # its numbers, as Q4_0 has them


def iq3_nl_codes(blocks: np.ndarray) -> np.ndarray:
    high = np.unpackbits(blocks[:, 2:6], axis=1, bitorder="little")
    return np.concatenate([blocks[:, 6:] >> shift & 3 for shift in (0, 2, 4, 6)], axis=1) | high << 2


def decoded(name: str, blocks: np.ndarray) -> np.ndarray:
    """By gguf, of blocks [count, bytes]; those that it has not as blocks of Q4_0."""
    if name == "iq3_nl":
        q = IQ3_NL[iq3_nl_codes(blocks)]
        blocks = np.concatenate([blocks[:, :2], q[:, :16] | q[:, 16:] << 4], axis=1)
    return quants.dequantize(blocks, gguf.GGMLQuantizationType(FORMATS[name].gguf))


def guarded(array: np.ndarray, offset: int = 0) -> np.ndarray:
    """A copy whose last byte is `offset` bytes before a page that must not be touched."""
    page, size = mmap.PAGESIZE, array.nbytes
    pages = (size + offset + page - 1) // page + 1
    memory = mmap.mmap(-1, pages * page)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(base + (pages - 1) * page), ctypes.c_size_t(page), 0) == 0
    flat = np.frombuffer(memory, np.uint8, size, (pages - 1) * page - size - offset)
    copy = flat.view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def _pointer(array: np.ndarray | None) -> ctypes.c_void_p | None:
    return None if array is None else ctypes.c_void_p(array.ctypes.data)


class Library:
    """The built kernels; arrays are checked no further than C would."""

    def __init__(self, path: Path) -> None:
        self.c = ctypes.CDLL(str(path))
        self.c.tini_kernels_available.restype = ctypes.POINTER(ctypes.c_char_p)
        self.c.tini_kernels_select.restype = ctypes.POINTER(ctypes.c_char_p)
        self.c.tini_packed_size.restype = self.c.tini_gguf_size.restype = ctypes.c_size_t

    def isas(self) -> list[str]:
        """The sets that this processor runs, best last."""
        names, k = [], 0
        while table := self.c.tini_kernels_available(k):
            names.append(table[0].decode())
            k += 1
        return names

    def kernel(self, op: str, isa: str = "scalar") -> Callable[..., Any]:
        return getattr(self.c, f"tini_{op}_{isa}")

    def pack(
        self, name: str, gguf: np.ndarray, rows: int, inputs: int, order: np.ndarray | None = None
    ) -> np.ndarray:
        packed = np.full(self.c.tini_packed_size(FORMATS[name].id, rows, inputs), 0xA5, np.uint8)
        assert (
            self.c.tini_pack(FORMATS[name].id, _pointer(packed), _pointer(gguf), rows, inputs, _pointer(order))
            == 0
        )
        return packed

    def unpack(
        self, name: str, packed: np.ndarray, rows: int, inputs: int, order: np.ndarray | None = None
    ) -> np.ndarray:
        gguf = np.zeros(self.c.tini_gguf_size(FORMATS[name].id, rows, inputs), np.uint8)
        assert (
            self.c.tini_unpack(
                FORMATS[name].id, _pointer(gguf), _pointer(packed), rows, inputs, _pointer(order)
            )
            == 0
        )
        return gguf

    def unpack_row(self, name: str, packed: np.ndarray, row: int, inputs: int) -> np.ndarray:
        out = np.full(inputs, np.nan, np.float32)
        self.c.tini_unpack_row(FORMATS[name].id, _pointer(out), _pointer(packed), row, inputs)
        return out

    def dequantize(self, name: str, gguf: np.ndarray, rows: int, inputs: int) -> np.ndarray:
        out = np.zeros((rows, inputs), np.float32)
        assert self.c.tini_dequantize(FORMATS[name].id, _pointer(out), _pointer(gguf), rows, inputs) == 0
        return out

    def quantize(self, name: str, x: np.ndarray, importance: np.ndarray | None = None) -> np.ndarray:
        """GGUF bytes of x[rows, inputs]; raises ValueError with the status on failure."""
        rows, inputs = x.shape
        x = np.ascontiguousarray(x, np.float32)
        gguf = np.zeros(self.c.tini_gguf_size(FORMATS[name].id, rows, inputs), np.uint8)
        status = self.c.tini_quantize(
            FORMATS[name].id, _pointer(gguf), _pointer(x), rows, inputs, _pointer(importance)
        )
        if status:
            raise ValueError(status)
        return gguf

    def matmul(
        self,
        op: str,
        isa: str,
        weights: np.ndarray,
        x: np.ndarray,
        out: np.ndarray,
        inputs: int,
        outputs: int,
        *,
        residual: np.ndarray | None = None,
        bias: np.ndarray | None = None,
        tiles: tuple[int, int] | None = None,
    ) -> None:
        m = Matmul(
            _pointer(weights), _pointer(x), _pointer(out), _pointer(residual), _pointer(bias), None,
            x.strides[0], out.strides[0] // 4, 0 if residual is None else residual.strides[0] // 4,
            len(x), inputs, outputs,
        )  # fmt: skip
        begin, end = tiles or (0, (outputs + 15) // 16)
        self.kernel(op, isa)(ctypes.byref(m), begin, end)

    def quantize_q8(self, x: np.ndarray, isa: str = "scalar") -> np.ndarray:
        out = guarded(np.zeros((*x.shape[:-1], x.shape[-1] // 32), Q8))
        self.kernel("quantize_q8", isa)(_pointer(out), _pointer(x), x.size)
        return out

    def rms_norm(
        self, out: np.ndarray, x: np.ndarray, weight: np.ndarray, eps: float, isa: str = "scalar"
    ) -> None:
        self.kernel("rms_norm", isa)(_pointer(out), _pointer(x), _pointer(weight), x.size, ctypes.c_float(eps))

    def layer_norm(
        self, out: np.ndarray, x: np.ndarray, affine: np.ndarray, eps: float, isa: str = "scalar"
    ) -> None:
        """affine: [2][n], weight and bias."""
        pointers = (_pointer(out), _pointer(x), _pointer(affine[0]), _pointer(affine[1]))
        self.kernel("layer_norm", isa)(*pointers, x.size, ctypes.c_float(eps))

    def gate(self, op: str, out: np.ndarray, gate: np.ndarray, up: np.ndarray, isa: str = "scalar") -> None:
        self.kernel(op, isa)(_pointer(out), _pointer(gate), _pointer(up), out.size)

    def rope(self, x: np.ndarray, table: np.ndarray, isa: str = "scalar") -> None:
        heads, head_dim = x.shape
        self.kernel("rope", isa)(_pointer(x), _pointer(table), heads, head_dim, table.size // 2)

    def kv_append(
        self, kv: Kv, position: int, key: np.ndarray, value: np.ndarray, op: str, isa: str = "scalar"
    ) -> None:
        self.kernel(op, isa)(ctypes.byref(kv), position, _pointer(key), _pointer(value))

    def attention(
        self,
        kv: Kv,
        q: np.ndarray,
        out: np.ndarray,
        position: int,
        scale: float,
        op: str,
        isa: str = "scalar",
        window: int = 0,
        cap: float = 0.0,
        until: int = 0,
    ) -> None:
        """q, out: [rows, heads, head_dim], rows strided at will."""
        a = Attention(
            _pointer(q), _pointer(out), q.strides[0] // 4, out.strides[0] // 4,
            len(q), q.shape[1], position, window, until, scale, cap,
        )  # fmt: skip
        self.kernel(op, isa)(ctypes.byref(kv), ctypes.byref(a))

    def pack_q8(self, x: np.ndarray, isa: str = "scalar") -> np.ndarray:
        """x: [32 inputs, 16 rows], rows strided at will. The packed block."""
        out = guarded(np.zeros(34 * 16, np.uint8))
        self.kernel("pack_q8", isa)(_pointer(out), _pointer(x), ctypes.c_size_t(x.strides[0] // 4))
        return out

    def softmax(
        self, scores: np.ndarray, count: int, state: np.ndarray, scale: float, isa: str = "scalar"
    ) -> np.ndarray:
        """scores: [rows, 256]; state: [3, rows], maximum, sum and alpha, which move on. The weights' blocks."""
        out = guarded(np.zeros((len(scores), 8), Q8))
        pointers = [_pointer(row) for row in state]
        s = Softmax(_pointer(scores), _pointer(out), *pointers, len(scores), count, scale)
        self.kernel("softmax_q8", isa)(ctypes.byref(s))
        return out[:, : -(-count // 32)]

    def conv(
        self,
        weights: np.ndarray,
        state: np.ndarray,
        x: np.ndarray,
        out: np.ndarray,
        isa: str = "scalar",
        *,
        silu: bool = False,
        bias: np.ndarray | None = None,
        tiles: tuple[int, int] | None = None,
    ) -> None:
        """weights [channels / 16, taps, 16], bias [channels], state [channels / 16, taps - 1, 16], which moves
        on; x, out [rows, channels], rows strided at will."""
        c = Conv(
            _pointer(weights), None if bias is None else _pointer(bias),
            _pointer(state), _pointer(x), _pointer(state), _pointer(out),
            x.strides[0] // 4, out.strides[0] // 4, len(x), weights.shape[1], silu,
        )  # fmt: skip
        self.kernel("conv", isa)(ctypes.byref(c), *(tiles or (0, len(weights))))

    def delta(
        self,
        state: np.ndarray,
        q: np.ndarray,
        k: np.ndarray,
        v: np.ndarray,
        gates: tuple[np.ndarray, np.ndarray],
        out: np.ndarray,
        scale: float,
        isa: str = "scalar",
        *,
        skip: float | None = None,
        tiles: tuple[int, int] | None = None,
    ) -> None:
        """state [columns / 16, inputs, 16], which moves on; q, k [rows, inputs] of one stride, v, out
        [rows, columns]; gates: decay and beta, [rows]. skip: of the plain kind, None for the delta rule."""
        d = Delta(
            _pointer(state), _pointer(q), _pointer(k), _pointer(v), *map(_pointer, gates), _pointer(state),
            _pointer(out), q.strides[0] // 4, v.strides[0] // 4, out.strides[0] // 4,
            len(q), state.shape[1], skip is not None, scale, skip or 0.0,
        )  # fmt: skip
        self.kernel("delta", isa)(ctypes.byref(d), *(tiles or (0, len(state))))


class Cache(NamedTuple):
    """A key-value head's cache of one type, `f16` or `q8`, as bytes: [places / 16, 16 places of them]."""

    keys: np.ndarray
    values: np.ndarray
    head_dim: int

    @property
    def kv(self) -> Kv:
        return Kv(_pointer(self.keys), _pointer(self.values), 16 * len(self.keys), self.head_dim)


def empty_cache(kind: str, capacity: int, head_dim: int, fill: int = 0) -> Cache:
    place = 2 * head_dim if kind == "f16" else head_dim // 32 * 34
    keys, values = (guarded(np.full((capacity // 16, 16 * place), fill, np.uint8)) for _ in range(2))
    return Cache(keys, values, head_dim)


def f16_cache(keys: np.ndarray, values: np.ndarray, capacity: int) -> Kv:
    """keys [groups, head_dim, 16], values [places, head_dim], float16; capacity in positions."""
    return Kv(_pointer(keys), _pointer(values), capacity, values.shape[-1])
