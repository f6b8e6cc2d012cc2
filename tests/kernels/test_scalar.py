"""The scalar kernels, which define every result, against NumPy: the same float32 steps give the same bits, and
float64 bounds the error of what has no such steps."""

import math
from typing import NamedTuple

import numpy as np
import pytest

from tests.kernels import kernel_library
from tests.kernels.kernel_library import FORMATS, Q8, empty_cache, f16_cache, halves_at, random_blocks

QUANTIZED = [name for name, line in FORMATS.items() if line.activations == "q8"]
FLOATS = [name for name, line in FORMATS.items() if line.activations == "f32"]
f32 = np.float32


class Numbers(NamedTuple):
    """Weights as the scalar kernels see them, by blocks of 32 inputs."""

    q: np.ndarray  # [rows, blocks, 32] int64
    scale: np.ndarray  # [rows, blocks, 2] int64: of each 16 inputs; 1 in formats without
    minimum: np.ndarray  # the same, of what multiplies dmin
    d: np.ndarray  # [rows, blocks] float32
    dmin: np.ndarray | None


def numbers(name: str, blocks: np.ndarray, rows: int) -> Numbers:
    """Of GGUF blocks [count, bytes], by gguf's own decoder: with d or dmin 1, the other 0, and scales of 1, it
    decodes the whole numbers themselves."""

    def decoded(changed: np.ndarray) -> np.ndarray:
        return kernel_library.decoded(name, changed).reshape(rows, -1, 32)

    def with_halves(*values: float) -> np.ndarray:
        changed = blocks.copy()
        for at, value in zip(halves_at(name), values, strict=False):
            changed[:, at : at + 2] = np.array([value], np.float16).view(np.uint8)
        return changed

    each = FORMATS[name].block // 32
    halves = [
        np.ascontiguousarray(blocks[:, at : at + 2]).view(np.float16).astype(f32) for at in halves_at(name)
    ]
    halves = [np.repeat(half.reshape(rows, -1), each, axis=1) for half in halves]
    ones = with_halves(1, 0)
    scaled = decoded(ones).astype(np.int64)
    if name in ODD_SCALES:
        scale = odd_scales(name, blocks).reshape(rows, -1, 2)
        unit = ODD_SCALES[name]
        whole = decoded(with_halves(1 / unit)).astype(np.int64)
        q = (whole.reshape(*scale.shape, 16) // scale[..., None]).reshape(whole.shape)
        return Numbers(q, scale, np.ones_like(scale), halves[0] * f32(unit), None)
    shape = (*scaled.shape[:2], 2)
    scale = minimum = np.ones(shape, np.int64)
    q = scaled
    if name in SCALES_OF_ONE:
        at, bytes_of_one = SCALES_OF_ONE[name]
        ones[:, at : at + len(bytes_of_one)] = np.frombuffer(bytes_of_one, np.uint8)
        q = decoded(ones).astype(np.int64)
        # A block of the same scales whose q are all 1 (or -1: the offset) shows the scales.
        flat = with_halves(1, 0)
        values = np.delete(
            np.arange(flat.shape[1]), [*range(at, at + len(bytes_of_one)), *range_of_halves(name)]
        )
        flat[:, values] = FLAT[name]
        scale = decoded(flat).astype(np.int64)[:, :, ::16] // FLAT_VALUE[name]
        if len(halves) == 2:
            minimum = -decoded(with_halves(0, 1)).astype(np.int64)[:, :, ::16]
    return Numbers(q, scale, minimum, halves[0], halves[1] if len(halves) == 2 else None)


# What a block's scale is counted in, of formats of words; small scales are odd numbers up to 31, tq1_0's 1.
ODD_SCALES = {"tq1_0": 1.0, "iq3_s": 1.0, "iq3_xxs": 0.25, "iq2_s": 0.125, "iq2_xs": 0.125, "iq2_xxs": 0.125}


def odd_scales(name: str, blocks: np.ndarray) -> np.ndarray:
    """[blocks, 8, 2], as ggml's structs state them: four bits at the end of a block, or above signs."""
    if name == "tq1_0":
        return np.ones((len(blocks), 8, 2), np.int64)
    if name in ("iq3_xxs", "iq2_xxs"):
        words = np.ascontiguousarray(blocks[:, 66:] if name == "iq3_xxs" else blocks[:, 2:]).view(np.uint32)
        bits = (words if name == "iq3_xxs" else words[:, 1::2]) >> 28
    else:
        last = blocks[:, -4 if name == "iq3_s" else -8 :, None]
        bits = (last >> np.array([0, 4], np.uint8) & 15).reshape(len(blocks), -1)
    return np.repeat(2 * bits.astype(np.int64) + 1, 16 // bits.shape[1], axis=1).reshape(len(blocks), 8, 2)


def range_of_halves(name: str) -> list[int]:
    return [at + k for at in halves_at(name) for k in range(2)]


# GGUF's bytes of small scales: where, and those that mean 1 (and a minimum of 0).
SCALES_OF_ONE = {
    "q4_k": (4, bytes([1] * 4 + [0] * 4 + [1] * 4)),
    "q5_k": (4, bytes([1] * 4 + [0] * 4 + [1] * 4)),
    "q6_k": (192, bytes([1] * 16)),
    "q3_k": (96, bytes([0x11] * 8 + [0xAA] * 4)),
    "q2_k": (0, bytes([1] * 16)),
    "iq4_xs": (2, bytes([0xAA] * 2 + [0x11] * 4)),
}
# Bytes that make every weight one value, and that value.
FLAT = {"q4_k": 0x11, "q5_k": 0xFF, "q6_k": 0xFF, "q3_k": 0, "q2_k": 0x55, "iq4_xs": 0x88}
FLAT_VALUE = {"q4_k": 1, "q5_k": 31, "q6_k": 31, "q3_k": -4, "q2_k": 1, "iq4_xs": 1}


@pytest.mark.parametrize("name", QUANTIZED)
def test_quantized_matmul_is_the_stated_steps(lib, rng, name):
    outputs, inputs, rows = 37, 5 * FORMATS[name].block, 6
    blocks = random_blocks(rng, name, outputs * 5, lambda n: rng.normal(0, 0.01, n))
    x = lib.quantize_q8(rng.normal(0, 2, (rows, inputs)).astype(f32))
    out = np.zeros((rows, outputs), f32)
    lib.matmul(f"matmul_{name}", "scalar", lib.pack(name, blocks, outputs, inputs), x, out, inputs, outputs)

    w = numbers(name, blocks, outputs)
    want, before = np.zeros((2, rows, outputs), f32)
    for b in range(inputs // 32):
        if name in ODD_SCALES and b % 8 == 0:
            want, before = np.zeros_like(want), want + before
        half = x["q"][:, b].astype(np.int64).reshape(rows, 2, 16)
        parts = np.einsum("thi,ohi->toh", half, w.q[:, b].reshape(outputs, 2, 16))
        scale, total = x["scale"][:, b, None], x["sum"][:, b, None].astype(f32)
        d = w.d[None, :, b]
        if name in ("q4_k", "q5_k"):
            want += parts.sum(axis=2).astype(f32) * ((d * w.scale[:, b, 0].astype(f32)) * scale)
            want -= (w.dmin[None, :, b] * w.minimum[:, b, 0].astype(f32)) * (scale * total)
        elif name == "iq4_xs":
            want += parts.sum(axis=2).astype(f32) * ((d * w.scale[:, b, 0].astype(f32)) * scale)
        elif name == "q2_k":
            least = (half.sum(axis=2) @ w.minimum[:, b].T).astype(f32)
            dot = (parts * w.scale[None, :, b]).sum(axis=2).astype(f32)
            want += (d * dot - w.dmin[None, :, b] * least) * scale
        else:
            want += (parts * w.scale[None, :, b]).sum(axis=2).astype(f32) * (d * scale)
            if w.dmin is not None:
                want += w.dmin[None, :, b] * (scale * total)
    assert out.tobytes() == (want + before).tobytes()


@pytest.mark.parametrize("name", QUANTIZED)
def test_quantized_matmul_is_the_product_of_what_it_reads(lib, rng, name):
    """Against float64, within the rounding of so many float32 steps: 4 a block of 32 inputs, each of at most
    the sum of what the blocks add, apart from sign."""
    outputs, inputs, rows = 21, 3 * max(256, FORMATS[name].block), 3
    blocks = random_blocks(
        rng,
        name,
        outputs * inputs // FORMATS[name].block,
        lambda n: rng.normal(0, 1, n) * 10.0 ** rng.integers(-4, 3, n),
    )
    x = lib.quantize_q8(rng.normal(0, 2, (rows, inputs)).astype(f32))
    out = np.zeros((rows, outputs), f32)
    lib.matmul(f"matmul_{name}", "scalar", lib.pack(name, blocks, outputs, inputs), x, out, inputs, outputs)
    w = lib.dequantize(name, blocks, outputs, inputs).astype(np.float64)
    read = (x["q"] * x["scale"][..., None].astype(np.float64)).reshape(rows, inputs)
    size = np.abs(read) @ np.abs(w).T
    if len(halves_at(name)) == 2:  # the minimum and the rest may cancel
        with_no_minimum = blocks.copy()
        with_no_minimum[:, halves_at(name)[1] : halves_at(name)[1] + 2] = 0
        size += 2 * np.abs(read) @ np.abs(lib.dequantize(name, with_no_minimum, outputs, inputs)).T
    assert (np.abs(out - read @ w.T) <= 4 * (inputs // 32) * 2.0**-24 * size).all()


@pytest.mark.parametrize("name", FLOATS)
def test_float_matmul_is_the_stated_steps(lib, rng, name):
    outputs, inputs, rows = 21, 45, 2
    w = rng.normal(0, 1, (outputs, inputs)).astype(f32)
    blocks = lib.quantize(name, w)
    w = lib.dequantize(name, blocks, outputs, inputs)
    x = rng.normal(0, 1, (rows, inputs)).astype(f32)
    out = np.zeros((rows, outputs), f32)
    lib.matmul(f"matmul_{name}", "scalar", lib.pack(name, blocks, outputs, inputs), x, out, inputs, outputs)
    want = np.zeros((rows, outputs), f32)
    for i in range(inputs):
        want += w[None, :, i] * x[:, i, None]
    assert out.tobytes() == want.tobytes()


def test_bias_then_residual_are_single_additions(lib, rng):
    outputs, inputs = 20, 32
    w, x = rng.normal(0, 1, (outputs, inputs)).astype(f32), rng.normal(0, 1, (2, inputs)).astype(f32)
    packed = lib.pack("f32", w.view(np.uint8), outputs, inputs)
    bias, residual = rng.normal(0, 1, outputs).astype(f32), rng.normal(0, 1, (2, outputs)).astype(f32)
    plain, full = np.zeros((2, outputs), f32), np.zeros((2, outputs), f32)
    lib.matmul("matmul_f32", "scalar", packed, x, plain, inputs, outputs)
    lib.matmul("matmul_f32", "scalar", packed, x, full, inputs, outputs, bias=bias, residual=residual)
    assert full.tobytes() == ((plain + bias) + residual).tobytes()


def test_quantize_q8_is_the_stated_steps(lib, rng):
    x = rng.normal(0, 1, (50, 32)).astype(f32) * f32(10) ** rng.integers(-20, 20, (50, 1)).astype(f32)
    x[0] = 0
    x[1] = 1e-31
    x[2, 0] = -f32(3e38)
    x[3] = np.arange(32) - 15.5  # ties, if the scale is 1
    x[3, 0] = 127
    got = lib.quantize_q8(x)[:, 0]
    amax = np.abs(x).max(axis=1)
    live = amax >= f32(1e-30)
    want = np.zeros(50, Q8)
    want["scale"][live] = amax[live] / f32(127)
    want["q"][live] = np.rint(x[live] * (f32(127) / amax[live])[:, None]).astype(np.int8)
    want["sum"] = want["q"].sum(axis=1, dtype=np.int32)
    assert got.tobytes() == want.tobytes()
    assert np.abs(got["q"].astype(int)).max() == 127


def test_pack_q8_is_the_stated_steps(lib, rng):
    x = rng.normal(0, 1, (32, 16)).astype(f32) * f32(10) ** rng.integers(-9, 9, 16).astype(f32)
    x[:, 5] = 0
    block = lib.pack_q8(x)
    d = np.minimum(np.abs(x).max(0) / f32(127), f32(65504)).astype(np.float16)
    inverse = np.divide(f32(1), d.astype(f32), where=d > 0, out=np.zeros(16, f32))
    q = np.rint(np.clip(x * inverse, -127, 127)).astype(np.int8).view(np.uint8) ^ 0x80
    assert block[:32].tobytes() == d.tobytes()
    assert block[32:].tobytes() == q.reshape(8, 4, 16).transpose(0, 2, 1).tobytes()


def test_softmax_q8_is_a_softmax_in_bytes(lib, rng):
    counts, scale = (256, 256, 70), f32(0.3)
    scores = rng.normal(0, 6, (3, 5, 256)).astype(f32)
    state = np.array([[-np.inf], [0], [0]], f32).repeat(5, 1)
    weights = np.zeros((5, 0))
    for tile, count in enumerate(counts):
        blocks = lib.softmax(scores[tile], count, state, scale)
        padded = np.full((5, blocks.shape[1] * 32), -np.inf)
        padded[:, :count] = scores[tile, :, :count]
        padded = padded.reshape(5, -1, 32)
        ideal = 127 * np.exp((padded - padded.max(-1, keepdims=True)) * scale)
        assert np.abs(blocks["q"] - ideal).max() <= 0.5 + 127 * 1.2e-4
        assert (blocks["q"].max(-1) == 127).all() and (blocks["sum"] == blocks["q"].sum(-1, dtype=int)).all()
        more = (blocks["scale"][..., None] * blocks["q"].astype(float)).reshape(5, -1)
        weights = np.concatenate([weights * state[2][:, None], more], 1)
    seen = np.concatenate([scores[k, :, :count] for k, count in enumerate(counts)], 1)
    assert np.array_equal(state[0], seen.max(1)) and np.allclose(state[1], weights.sum(1), rtol=1e-6)
    exact = np.exp((seen - seen.max(1, keepdims=True)).astype(float) * scale)
    assert np.abs(weights[:, : seen.shape[1]] / 127 - exact).max() <= 0.51 / 127


@pytest.mark.parametrize("n", [1, 15, 16, 17, 576])
def test_rms_norm(lib, rng, n):
    x, weight = rng.normal(0, 3, n).astype(f32), rng.normal(1, 0.2, n).astype(f32)
    out = np.zeros(n, f32)
    lib.rms_norm(out, x, weight, 1e-5)
    lanes = np.zeros(16, f32)
    for start in range(0, n, 16):
        part = x[start : start + 16]
        lanes[: part.size] += part * part
    while lanes.size > 1:
        lanes = lanes[: lanes.size // 2] + lanes[lanes.size // 2 :]
    s = f32(1) / np.sqrt(lanes[0] / f32(n) + f32(1e-5))
    assert out.tobytes() == ((x * s) * weight).tobytes()
    exact = x / np.sqrt(np.mean(x.astype(np.float64) ** 2) + 1e-5) * weight
    assert np.allclose(out, exact, rtol=1e-6, atol=0)


@pytest.mark.parametrize("n", [1, 15, 16, 17, 576])
def test_layer_norm(lib, rng, n):
    x, affine = rng.normal(2, 3, n).astype(f32), rng.normal(1, 0.2, (2, n)).astype(f32)
    out = np.zeros(n, f32)
    lib.layer_norm(out, x, affine, 1e-6)
    wide = x.astype(np.float64)
    exact = (wide - wide.mean()) / np.sqrt(wide.var() + 1e-6) * affine[0] + affine[1]
    assert np.allclose(out, exact, rtol=0, atol=4e-6)


GATES = {
    "silu_mul": lambda x: x / (1 + np.exp(-x)),
    "sigmoid_mul": lambda x: 1 / (1 + np.exp(-x)),
    "gelu_mul": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "gelu_erf_mul": lambda x: 0.5 * x * np.array([math.erfc(-v / math.sqrt(2)) for v in x]),
}


@pytest.mark.parametrize("op", GATES)
def test_gates_are_near_exact(lib, rng, op):
    gate, up = rng.normal(0, 6, 100_000).astype(f32), rng.normal(0, 1, 100_000).astype(f32)
    out = np.zeros_like(gate)
    lib.gate(op, out, gate, up)
    # Far below zero gelu's argument to exp is large, and float64's tanh leaves the oracle few digits.
    atol = 2e-6 if op.startswith("gelu") else 0
    assert np.allclose(out, GATES[op](gate.astype(np.float64)) * up, rtol=4 * 2.0**-23, atol=atol)


@pytest.mark.parametrize(
    ("op", "wanted"),
    [
        ("silu_mul", [0, 0, 200]),
        ("gelu_mul", [0, 0, 200]),
        ("gelu_erf_mul", [0, 0, 200]),
        ("sigmoid_mul", [0, 0, 1]),
    ],
)
def test_gates_far_out(lib, op, wanted):
    gate = np.array([-200.0, -3e38, 200.0], f32)
    out = np.zeros_like(gate)
    lib.gate(op, out, gate, np.ones_like(gate))
    assert out.tolist() == wanted


def test_rope_rotates_the_two_halves(lib, rng):
    x, angle = rng.normal(0, 1, (3, 24)).astype(f32), rng.uniform(-3, 3, 8)
    table = np.concatenate([np.cos(angle), np.sin(angle)]).astype(f32)
    out = x.copy()
    lib.rope(out, table)
    a, b, c, s = x[:, :8], x[:, 8:16], table[:8], table[8:]
    want = np.concatenate([a * c - b * s, b * c + a * s, x[:, 16:]], axis=1)
    assert out.tobytes() == want.tobytes()


def test_kv_append_stores_float16(lib, rng):
    head_dim = 24
    keys, values = np.zeros((2, head_dim, 16), np.uint16), np.zeros((32, head_dim), np.uint16)
    key, value = (rng.normal(0, 1e-4, head_dim).astype(f32) for _ in range(2))
    lib.kv_append(f16_cache(keys, values, 64), 21, key, value, "kv_append_f16")
    assert np.array_equal(keys[1, :, 5], key.astype(np.float16).view(np.uint16))
    assert np.array_equal(values[21], value.astype(np.float16).view(np.uint16))
    assert np.count_nonzero(keys) <= head_dim and np.count_nonzero(values) <= head_dim


def kv_quantize(x):
    """(d float16, q int8) of x[32] as kv_append_q8 states it."""
    d = np.float16(min(np.abs(x).max() / f32(127), f32(65504)))
    if d == 0:
        return d, np.zeros(32, np.int8)
    return d, np.rint(np.clip(x * (f32(1) / f32(d)), f32(-127), f32(127))).astype(np.int8)


def test_kv_append_q8_is_the_stated_steps_and_place(lib, rng):
    head_dim, capacity = 96, 128
    cache = empty_cache("q8", capacity, head_dim, 0xA5)
    want = [np.full_like(cache.keys, 0xA5), np.full_like(cache.values, 0xA5)]
    for position, size in ((0, 1), (37, 1e-4), (63, 1e3), (64 + 128, 1e-6), (100, 1e-9), (101, 3e30)):
        key, value = (rng.normal(0, size, head_dim).astype(f32) for _ in range(2))
        lib.kv_append(cache.kv, position, key, value, "kv_append_q8")
        group, lane = position % capacity // 16, position % 16
        blocks = want[0][group].reshape(3, 544)
        scales = want[1][group, :96].view(np.float16).reshape(3, 16)
        for b in range(3):
            d, q = kv_quantize(key[32 * b : 32 * b + 32])
            blocks[b, :32].view(np.float16)[lane] = d
            blocks[b, 32:].reshape(8, 16, 4)[:, lane] = q.view(np.uint8).reshape(8, 4) ^ 0x80
            scales[b, lane], q = kv_quantize(value[32 * b : 32 * b + 32])
            want[1][group, 96:].reshape(16, 96)[lane, 32 * b : 32 * b + 32] = q.view(np.uint8)
    assert cache.keys.tobytes() == want[0].tobytes()
    assert cache.values.tobytes() == want[1].tobytes()


@pytest.mark.parametrize(("kind", "error"), [("f16", 0.002), ("q8", 0.03)])
@pytest.mark.parametrize(
    ("position", "window"), [(0, 0), (1, 0), (15, 0), (16, 0), (63, 0), (64, 0), (200, 0), (200, 70)]
)
def test_attention_is_softmax_attention(lib, rng, kind, error, position, window):
    """Against float64 on the values before rounding: the error of float16, and of 8 bits, in units of the
    values' deviation. What is not seen is filled with NaN."""
    heads, head_dim, scale = 3, 64, 0.125
    first = max(0, position - window + 1) if window else 0
    k, v = (rng.normal(0, 1, (position + 1, head_dim)).astype(f32) for _ in range(2))
    cache = empty_cache(kind, 128 if window else 256, head_dim, 0xFF)
    for p in range(first, position + 1):
        lib.kv_append(cache.kv, p, k[p], v[p], f"kv_append_{kind}")
    q = rng.normal(0, 2, (heads, head_dim)).astype(f32)
    out = np.zeros_like(q)
    lib.attention(cache.kv, q[None], out[None], position, scale, f"attention_{kind}", window=window)

    scores = q.astype(np.float64) @ k[first:].astype(np.float64).T * scale
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    want = weights / weights.sum(axis=1, keepdims=True) @ v[first:].astype(np.float64)
    assert np.abs(out - want).max() < error


@pytest.mark.parametrize("kind", ["f16", "q8"])
def test_attention_sees_the_rest_of_an_image(lib, rng, kind):
    """Rows at 3 to 5 of which all see 0 to 69, and one at 80 that sees what is before it."""
    cache = empty_cache(kind, 128, 32, 0xFF)
    rows = rng.normal(0, 1, (2, 81, 32)).astype(f32)
    for position in range(81):
        lib.kv_append(cache.kv, position, rows[0, position], rows[1, position], f"kv_append_{kind}")
    q = rng.normal(0, 2, (3, 1, 32)).astype(f32)
    for position, seen in ((3, 70), (80, 81)):
        out = np.zeros_like(q)
        count = min(3, 81 - position)
        lib.attention(cache.kv, q[:count], out[:count], position, 0.25, f"attention_{kind}", until=70)
        weights = np.exp(q[:count, 0].astype(np.float64) @ rows[0, :seen].T * 0.25)
        want = weights / weights.sum(axis=1, keepdims=True) @ rows[1, :seen]
        assert np.abs(out[:count, 0] - want).max() < (0.002 if kind == "f16" else 0.03)


@pytest.mark.parametrize("kind", ["f16", "q8"])
def test_attention_caps_scores_softly(lib, rng, kind):
    q, cap, scale = (3 * rng.normal(0, 1, (1, 32))).astype(f32), 5.0, 0.5
    cache = empty_cache(kind, 64, 32)
    rows = rng.normal(0, 2, (2, 40, 32)).astype(f32)
    for position in range(40):
        lib.kv_append(cache.kv, position, rows[0, position], rows[1, position], f"kv_append_{kind}")
    out = np.zeros_like(q)
    lib.attention(cache.kv, q[None], out[None], 39, scale, f"attention_{kind}", cap=cap)
    scores = rows[0].astype(np.float64) @ q[0] * scale
    assert np.abs(scores).max() > 2 * cap
    weights = np.exp(cap * np.tanh(scores / cap))
    exact = weights @ rows[1] / weights.sum()
    assert np.abs(out[0] - exact).max() < (0.01 if kind == "f16" else 0.1)


@pytest.mark.parametrize("kind", ["f16", "q8"])
def test_attention_rounds_no_more_than_float32(lib, rng, kind):
    """Where cache and query hold what they are given exactly, only float32 sums are left."""
    heads, head_dim, position, scale = 2, 64, 150, 2.0**-16
    k, v, q = (rng.integers(-126, 127, (n, head_dim)).astype(f32) for n in (151, 151, heads))
    for x in (k, v, q):
        x[:, ::32] = 127
    cache = empty_cache(kind, 192, head_dim)
    for p in range(position + 1):
        lib.kv_append(cache.kv, p, k[p], v[p], f"kv_append_{kind}")
    out = np.zeros_like(q)
    lib.attention(cache.kv, q[None], out[None], position, scale, f"attention_{kind}")
    scores = q.astype(np.float64) @ k.astype(np.float64).T * scale
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    want = weights / weights.sum(axis=1, keepdims=True) @ v.astype(np.float64)
    assert np.abs(out - want).max() < 127 * 2e-6


def tiles_of(matrix):
    """[rows, columns] as tiles [columns / 16, rows, 16], and back by matrix_of."""
    return np.ascontiguousarray(matrix.reshape(len(matrix), -1, 16).transpose(1, 0, 2))


def matrix_of(tiles):
    return tiles.transpose(1, 0, 2).reshape(tiles.shape[1], -1)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("silu", [False, True])
@pytest.mark.parametrize("taps", [2, 3, 4])
def test_conv_is_pytorchs_over_all_tokens_before(lib, rng, taps, silu, shifted):
    torch = pytest.importorskip("torch")
    channels, rows = 48, 23
    x, weights = rng.normal(size=(rows, channels)).astype(f32), rng.normal(size=(channels, taps)).astype(f32)
    bias = rng.normal(size=channels).astype(f32) if shifted else None
    state, out = tiles_of(np.zeros((taps - 1, channels), f32)), np.zeros_like(x)
    for begin, end in ((0, 1), (1, 2), (2, 9), (9, rows)):
        lib.conv(tiles_of(weights.T), state, x[begin:end], out[begin:end], silu=silu, bias=bias)
    want = torch.nn.functional.conv1d(
        torch.from_numpy(x.T.copy())[None],
        torch.from_numpy(weights)[:, None],
        bias=None if bias is None else torch.from_numpy(bias),
        padding=taps - 1,
        groups=channels,
    )[0, :, :rows]
    want = (torch.nn.functional.silu(want) if silu else want).numpy().T
    assert np.abs(out - want).max() < 2e-6
    assert np.array_equal(matrix_of(state), x[rows - taps + 1 :])


def test_delta_is_the_rule_in_float64(lib, rng):
    inputs, columns, rows = 24, 32, 40
    q, k = (rng.normal(size=(rows, inputs)).astype(f32) for _ in range(2))
    q, k = (x / np.linalg.norm(x, axis=1, keepdims=True).astype(f32) for x in (q, k))
    v = rng.normal(size=(rows, columns)).astype(f32)
    decay, beta = rng.uniform(0.5, 1, rows).astype(f32), rng.random(rows).astype(f32)
    state = tiles_of(rng.normal(size=(inputs, columns)).astype(f32))
    exact, out = matrix_of(state).astype(np.float64), np.zeros_like(v)
    for begin, end in ((0, 1), (1, 7), (7, rows)):
        part = slice(begin, end)
        lib.delta(state, q[part], k[part], v[part], (decay[part], beta[part]), out[part], 0.5)
    for row in range(rows):
        exact = exact * decay[row]
        exact = exact + np.outer(k[row], (v[row] - exact.T @ k[row]) * beta[row])
        assert np.abs(out[row] - 0.5 * (exact.T @ q[row])).max() < 4e-6
    assert np.abs(matrix_of(state) - exact).max() < 4e-6


def test_delta_is_that_of_transformers(lib, rng):
    """Its plain loop over tokens, of one head, with queries and keys brought to length 1 before ours."""
    torch = pytest.importorskip("torch")
    qwen = pytest.importorskip("transformers.models.qwen3_5.modeling_qwen3_5")
    inputs, columns, rows = 64, 64, 90
    q, k, v = (rng.normal(size=(rows, size)).astype(f32) for size in (inputs, inputs, columns))
    g, beta = -rng.exponential(0.2, rows).astype(f32), rng.random(rows).astype(f32)

    def one_head(x):
        return torch.from_numpy(x)[None, :, None]

    want, final = qwen.torch_recurrent_gated_delta_rule(
        *map(one_head, (q, k, v, g, beta)), output_final_state=True, use_qk_l2norm_in_kernel=True
    )
    q, k = (x / np.sqrt((x * x).sum(axis=1, keepdims=True) + f32(1e-6)) for x in (q, k))
    state, out = tiles_of(np.zeros((inputs, columns), f32)), np.zeros_like(v)
    lib.delta(state, q, k, v, (np.exp(g), beta), out, inputs**-0.5)
    assert np.abs(out - want[0, :, 0].numpy()).max() < 2e-6
    assert np.abs(matrix_of(state) - final[0, 0].numpy()).max() < 2e-6


def test_plain_delta_is_the_selective_state_update_of_transformers(lib, rng):
    """Its chunked form over all tokens, of one head."""
    torch = pytest.importorskip("torch")
    granite = pytest.importorskip("transformers.models.granitemoehybrid.modeling_granitemoehybrid")
    inputs, columns, rows = 32, 48, 90
    b, c, x = (rng.normal(size=(rows, size)).astype(f32) for size in (inputs, inputs, columns))
    steps, rate, skip = rng.exponential(0.3, rows).astype(f32), f32(-0.7), f32(1.3)

    def one_head(values):
        return torch.from_numpy(values)[None, :, None]

    want, final = granite.mamba2_chunk_scan(
        one_head(x), torch.from_numpy(steps)[None, :, None], torch.tensor([rate]), one_head(b), one_head(c), 16,
        D=torch.tensor([skip]), return_final_states=True,
    )  # fmt: skip
    state, out = tiles_of(np.zeros((inputs, columns), f32)), np.zeros_like(x)
    for part in (slice(0, 1), slice(1, 9), slice(9, rows)):
        lib.delta(
            state, c[part], b[part], x[part], (np.exp(rate * steps)[part], steps[part]), out[part], 1, skip=skip
        )
    assert np.abs(out - want[0, :, 0].numpy()).max() < 3e-5
    assert np.abs(matrix_of(state) - final[0, 0].numpy().T).max() < 1e-5


def test_isa_choice(lib):
    assert lib.isas()[0] == "scalar"
    assert lib.c.tini_kernels_select(None)[0].decode() == lib.isas()[-1]
    for name in lib.isas():
        assert lib.c.tini_kernels_select(name.encode())[0].decode() == name
    assert not lib.c.tini_kernels_select(b"avx")
