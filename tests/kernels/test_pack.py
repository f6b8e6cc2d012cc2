"""The build side: packing is a bijection, dequantizing is what gguf does, quantizing beats the plain rules."""

import ctypes
import subprocess

import gguf
import numpy as np
import pytest
from gguf import quants

from tests.kernels.kernel_library import (
    FORMATS,
    KERNELS,
    Library,
    decoded,
    halves_at,
    iq3_nl_codes,
    random_blocks,
)

f32 = np.float32
NAMES = list(FORMATS)
BLOCKS = ["q8_0", "q4_0", "q4_1", "q5_0", "q5_1"]
WORDS = ["tq1_0", "iq3_s", "iq3_xxs", "iq2_s", "iq2_xs", "iq2_xxs"]
Q8 = [name for name, line in FORMATS.items() if line.activations == "q8"]


def kind(name: str) -> gguf.GGMLQuantizationType:
    return gguf.GGMLQuantizationType(FORMATS[name].gguf)


def weights(rng: np.random.Generator, rows: int = 64, inputs: int = 256) -> np.ndarray:
    """Rows like a model's: near normal, some with outliers, one of zeros, one constant."""
    w = rng.normal(0, 0.05, (rows, inputs)) * np.exp(rng.normal(0, 0.5, (rows, 1)))
    w[::7] = rng.standard_t(3, w[::7].shape) * 0.05
    w[1], w[2] = 0, 0.25
    return w.astype(f32)


def block_errors(
    name: str, lib: Library, x: np.ndarray, data: np.ndarray, weight: np.ndarray | float = 1.0
) -> np.ndarray:
    error = (lib.dequantize(name, data, *x.shape).astype(np.float64) - x) ** 2 * weight
    return error.reshape(len(x), -1, 32).sum(axis=2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", [1, 15, 16, 17, 33])
def test_packing_is_a_bijection(lib: Library, rng: np.random.Generator, name: str, rows: int) -> None:
    inputs = 3 * max(FORMATS[name].block, 32)
    data = rng.integers(0, 256, rows * inputs // FORMATS[name].block * FORMATS[name].bytes, dtype=np.uint8)
    for order in (None, rng.permutation(rows).astype(np.uint32)):
        packed = lib.pack(name, data, rows, inputs, order)
        assert np.array_equal(lib.unpack(name, packed, rows, inputs, order), data)
        assert len(packed) == len(data) // rows * ((rows + 15) // 16 * 16)
    whole = rows // 16 * (len(data) // rows) * 16
    if rows % 16 == 1:  # the last tile's missing rows are zero bytes, whatever was there
        tail = lib.pack(name, data, rows, inputs)[whole:]
        assert np.count_nonzero(tail) <= len(data) // rows


@pytest.mark.parametrize("name", NAMES)
def test_every_bit_has_its_place(lib: Library, name: str) -> None:
    """One bit at a time: each lands on a bit of the tile that no other has, so packing can lose none."""
    line = FORMATS[name]
    rows = 8 * line.bytes
    one_bit = np.packbits(np.eye(rows, dtype=np.uint8), axis=1, bitorder="little")
    packed = lib.pack(name, one_bit.reshape(-1), rows, line.block).reshape(-1, 16 * line.bytes)
    empty = lib.pack(name, np.zeros(16 * line.bytes, np.uint8), 16, line.block)
    bits = np.unpackbits(packed ^ empty, axis=1, bitorder="little")
    assert (bits.sum(axis=1) == 16).all()
    # Rows of one lane share their 8 * bytes places; over all tiles each place but those is hit at most once.
    places = bits.reshape(-1, 16 * rows).sum(axis=0)
    assert places.max() == 1


def numbers(name: str, blocks: np.ndarray) -> np.ndarray:
    """The unsigned numbers [rows, block] of GGUF blocks, as ggml's structs state them."""

    def plane(at: int, bits: int, run: int) -> np.ndarray:
        count = FORMATS[name].block * bits // 8
        held = blocks[:, at : at + count].reshape(len(blocks), -1, 1, run)
        shifts = np.arange(0, 8, bits, dtype=np.uint8).reshape(1, 1, -1, 1)
        return (held >> shifts & ((1 << bits) - 1)).reshape(len(blocks), -1)

    if name == "q8_0":
        return blocks[:, 2:] ^ 0x80
    if name in ("q4_0", "q4_1", "iq4_nl"):
        return plane(FORMATS[name].bytes - 16, 4, 16)
    if name in ("q5_0", "q5_1"):
        return plane(FORMATS[name].bytes - 16, 4, 16) | plane(FORMATS[name].bytes - 20, 1, 1) << 4
    if name == "iq4_xs":
        return plane(8, 4, 16)
    if name == "tq2_0":
        return plane(0, 2, 32)
    if name == "q4_k":
        return plane(16, 4, 32)
    if name == "q5_k":
        return plane(48, 4, 32) | plane(16, 1, 32) << 4
    if name == "iq3_nl":
        return iq3_nl_codes(blocks)
    if name == "q6_k":
        return plane(0, 4, 64) | plane(128, 2, 32) << 4
    return plane(32, 2, 32) | plane(0, 1, 32) << 2 if name == "q3_k" else plane(16, 2, 32)


# Where the small scales and minimums begin and how many bytes they take; the planes of a sub-block: how many
# bits, from which one on.
SCALES = {
    "q4_k": (4, 12),
    "q5_k": (4, 12),
    "q6_k": (192, 16),
    "q3_k": (96, 12),
    "q2_k": (0, 16),
    "iq4_xs": (2, 6),
}
PLANES = {
    "q8_0": [(8, 0)],
    "q5_0": [(1, 4), (4, 0)],
    "q5_1": [(1, 4), (4, 0)],
    "q5_k": [(1, 4), (4, 0)],
    "q6_k": [(2, 4), (4, 0)],
    "q3_k": [(1, 2), (2, 0)],
    "iq3_nl": [(1, 2), (2, 0)],
    "q2_k": [(2, 0)],
    "tq2_0": [(2, 0)],
}


@pytest.mark.parametrize("name", Q8)
def test_packed_places(lib: Library, rng: np.random.Generator, name: str) -> None:
    """The layout as pack.h states it, written out."""
    line = FORMATS[name]
    data = rng.integers(0, 256, (16, 2, line.bytes), dtype=np.uint8)
    packed = lib.pack(name, data.reshape(-1), 16, 2 * line.block).reshape(2, 16 * line.bytes)
    for b in range(2):
        want = [np.ascontiguousarray(data[:, b, at : at + 2]).reshape(-1) for at in halves_at(name)]
        first, count = SCALES.get(name, (0, 0))
        want.append(data[:, b, first : first + count].T.reshape(-1))
        if name in WORDS:
            words = np.delete(data[:, b], [halves_at(name)[0] + k for k in range(2)], axis=1)
            want.append(words.reshape(16, -1, 4).transpose(1, 0, 2).reshape(-1))
            assert np.array_equal(packed[b], np.concatenate(want))
            continue
        for sub in np.split(numbers(name, data[:, b]), line.block // 32, axis=1):
            groups = sub.reshape(16, 8, 4)
            for bits, shift in PLANES.get(name, [(4, 0)]):
                part = groups >> shift & ((1 << bits) - 1)
                for v in range(bits):  # 64 bytes: 4 inputs of 16 rows, groups v, v + bits, v + 2 bits, ...
                    fields = [part[:, g] << (g - v) for g in range(v, 8, bits)]
                    want.append(np.bitwise_or.reduce(fields).reshape(-1))
        assert np.array_equal(packed[b], np.concatenate(want))


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_tiles_is_what_blocks_decode_to(lib: Library, rng: np.random.Generator, name: str) -> None:
    """tini_unpack_row, which embeds a token."""
    line, rows = FORMATS[name], 35
    inputs = 2 * max(line.block, 32)
    if line.activations == "q8":
        blocks = random_blocks(rng, name, rows * inputs // line.block, lambda n: rng.normal(0, 1, n))
    else:
        blocks = lib.quantize(name, rng.normal(0, 1, (rows, inputs)).astype(f32))
    packed, floats = lib.pack(name, blocks, rows, inputs), lib.dequantize(name, blocks, rows, inputs)
    for row in (0, 1, 15, 16, 31, 34):
        assert lib.unpack_row(name, packed, row, inputs).tobytes() == floats[row].tobytes()


def test_row_order_names_the_source_of_each_packed_row(lib: Library, rng: np.random.Generator) -> None:
    x, order = rng.normal(0, 1, (20, 4)).astype(f32), rng.permutation(20).astype(np.uint32)
    assert np.array_equal(
        lib.pack("f32", x.view(np.uint8), 20, 4, order), lib.pack("f32", x[order].view(np.uint8), 20, 4)
    )


def test_sizes_refuse_what_is_not_whole_blocks(lib: Library) -> None:
    for line in FORMATS.values():
        assert lib.c.tini_gguf_size(line.id, 3, 512) == 3 * 512 // line.block * line.bytes
        if line.block > 1:
            for inputs in (48, line.block // 2, line.block + 16):
                assert lib.c.tini_gguf_size(line.id, 3, inputs) == 0
                assert lib.c.tini_packed_size(line.id, 3, inputs) == 0
    assert lib.c.tini_gguf_size(99, 1, 32) == 0


@pytest.mark.parametrize("name", ["f32", "f16", "bf16", *BLOCKS])
def test_dequantizing_agrees_with_gguf(lib: Library, rng: np.random.Generator, name: str) -> None:
    x = weights(rng)
    data = quants.quantize(x, kind(name))
    want = quants.dequantize(data, kind(name))
    assert lib.dequantize(name, data.reshape(-1).view(np.uint8), *x.shape).tobytes() == want.tobytes()


@pytest.mark.parametrize("name", Q8)
def test_dequantizing_any_bits_agrees_with_gguf(lib: Library, rng: np.random.Generator, name: str) -> None:
    line = FORMATS[name]
    blocks = random_blocks(rng, name, 400, lambda n: rng.normal(0, 1, n) * 10.0 ** rng.integers(-7, 4, n))
    want = decoded(name, blocks)
    assert lib.dequantize(name, blocks, 400, line.block).tobytes() == want.tobytes()


@pytest.mark.parametrize("name", ["f32", "f16", "bf16", "q8_0"])
def test_plain_formats_quantize_as_gguf_does(lib: Library, rng: np.random.Generator, name: str) -> None:
    x = np.concatenate([weights(rng), np.repeat(np.arange(64) - 31.5, 4).reshape(1, 256)]).astype(f32)
    x[-1, ::32] = 127  # halves, with a scale of 1
    assert lib.quantize(name, x).tobytes() == quants.quantize(x, kind(name)).tobytes()


@pytest.mark.parametrize("name", ["q4_0", "q4_1"])
def test_quantizing_beats_the_plain_rule(lib: Library, rng: np.random.Generator, name: str) -> None:
    x = weights(rng)
    plain = block_errors(name, lib, x, quants.quantize(x, kind(name)).reshape(-1).view(np.uint8))
    ours = block_errors(name, lib, x, lib.quantize(name, x))
    assert (ours <= plain * {"q4_0": 1.0001, "q4_1": 1.02}[name]).all()
    live = plain > 0
    assert np.mean(ours[live] / plain[live]) < {"q4_0": 0.92, "q4_1": 0.85}[name]


def best_q4_0_error(x: np.ndarray) -> float:
    """The block's least squared error, over every float16 scale that can matter."""
    scales = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64)
    top = np.abs(x).max()
    scales = scales[(scales >= top / 12) & (scales <= top / 4)]
    scales = np.concatenate([scales, -scales])[:, None]
    q = np.clip(np.rint(x / scales), -8, 7)
    return float(((x - scales * q) ** 2).sum(axis=1).min())


def test_q4_0_is_near_the_best_there_is(lib: Library, rng: np.random.Generator) -> None:
    x = weights(rng, 8)
    x = np.delete(x, [1, 2], axis=0)
    ours = block_errors("q4_0", lib, x, lib.quantize("q4_0", x)).sum()
    best = sum(best_q4_0_error(block.astype(np.float64)) for block in x.reshape(-1, 32))
    assert best <= ours < 1.02 * best


FITTED = [name for name in Q8 if name != "q8_0"]


@pytest.mark.parametrize("name", FITTED)
def test_importance_moves_the_error_to_where_it_matters_less(
    lib: Library, rng: np.random.Generator, name: str
) -> None:
    x, importance = weights(rng), np.exp(rng.normal(0, 2, 256)).astype(f32)
    plain = block_errors(name, lib, x, lib.quantize(name, x), importance).sum()
    weighted = block_errors(name, lib, x, lib.quantize(name, x, importance), importance).sum()
    assert weighted < 0.8 * plain
    assert lib.quantize(name, x, np.zeros(256, f32)).tobytes() == lib.quantize(name, x).tobytes()


@pytest.mark.parametrize("name", ["q8_0", "q4_0", "q4_1", "q5_0"])
def test_values_of_the_format_come_back_exactly(lib: Library, rng: np.random.Generator, name: str) -> None:
    """Blocks that use the whole range are found again, scale and all."""
    blocks = rng.integers(0, 256, (500, FORMATS[name].bytes), dtype=np.uint8)
    blocks[:, :2] = rng.uniform(0.01, 1, 500).astype(np.float16)[:, None].view(np.uint8)
    if name == "q8_0":
        blocks[:, 2:] = rng.integers(-127, 128, (500, 32)).astype(np.int8).view(np.uint8)
        blocks[:, 2] = 127
    elif name in ("q4_0", "q5_0"):
        blocks[:, -16] = 0x80 if name == "q4_0" else 0  # the lowest, and 0
        blocks[:, -20:-16] &= 0xFE if name == "q5_0" else 0xFF
    else:
        blocks[:, 2:4] = rng.normal(0, 1, 500).astype(np.float16)[:, None].view(np.uint8)
        blocks[:, -16] = 0xF0
    x = lib.dequantize(name, blocks.reshape(-1), 500, 32)
    assert np.array_equal(lib.dequantize(name, lib.quantize(name, x), 500, 32), x)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(lib: Library, name: str, value: float) -> None:
    x = np.zeros((2, 256), f32)
    x[1, 40] = value
    with pytest.raises(ValueError, match="-2"):
        lib.quantize(name, x)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("f32", "bf16")])
def test_what_float16_cannot_hold_is_refused(lib: Library, name: str) -> None:
    with pytest.raises(ValueError, match="-2"):
        lib.quantize(name, np.array([[1e12, -1e12] * 128], f32))


@pytest.fixture(scope="module")
def scalar_lib(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The build side alone, told that the machine runs no vector set."""
    folder = tmp_path_factory.mktemp("scalar")
    none = folder / "none.c"
    none.write_text("const void *tini_kernels_select(const char *isa) { (void)isa; return 0; }\n")
    sources = [
        *sorted(KERNELS.glob("pack/*.c")),
        *(KERNELS / f"core/base/{name}.c" for name in ("grids", "words")),
    ]
    flags = ["-std=c11", "-O2", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, *map(str, sources), str(none), "-o", str(folder / "scalar.so")], check=True)
    scalar = Library.__new__(Library)
    scalar.c = ctypes.CDLL(str(folder / "scalar.so"))
    scalar.c.tini_packed_size.restype = scalar.c.tini_gguf_size.restype = ctypes.c_size_t
    return scalar


@pytest.mark.parametrize("name", FITTED)
def test_every_machine_makes_the_same_blocks(
    lib: Library, scalar_lib: Library, rng: np.random.Generator, name: str
) -> None:
    """The vectors hold tries, so their width changes no sum."""
    x = np.concatenate([weights(rng), 1e-7 * weights(rng), np.full((1, 256), 1e-30, f32)]).astype(f32)
    importance = np.exp(rng.normal(0, 3, 256)).astype(f32)
    importance[32:64] = 0
    for given in (None, importance):
        assert lib.quantize(name, x, given).tobytes() == scalar_lib.quantize(name, x, given).tobytes()
