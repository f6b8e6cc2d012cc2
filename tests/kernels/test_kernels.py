"""Every vector kernel of kernels.def against the scalar one: the same bytes, no tolerance. A new line is tested
without a change here."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.kernels.kernel_library import (
    FORMATS,
    Impl,
    Library,
    empty_cache,
    guarded,
    halves_at,
    implementations,
    random_blocks,
)

f32 = np.float32


def runs(lib: Library, impl: Impl) -> str:
    """The line's instruction set; skips where the processor has it not."""
    if impl.isa not in lib.isas():
        pytest.skip(f"this processor does not run {impl.isa}")
    return impl.isa


def spread(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Normal values, with zeros of both signs, denormals and large ones among them."""
    x = rng.normal(0, 1, shape).astype(f32)
    special = rng.choice(np.array([0.0, -0.0, 1e-40, -1e-40, 1e-20, 300.0, -300.0], f32), shape)
    return np.where(rng.random(shape) < 0.15, special, x)


class Case(NamedTuple):
    """What a matmul is called with, apart from the instruction set."""

    weights: np.ndarray
    x: np.ndarray
    inputs: int
    outputs: int
    bias: np.ndarray | None


def matmul_case(
    lib: Library, rng: np.random.Generator, name: str, rows: int, inputs: int, outputs: int
) -> Case:
    line = FORMATS[name]
    if line.activations == "q8":
        blocks = inputs // line.block
        gguf = random_blocks(rng, name, outputs * blocks, lambda n: spread(rng, n) * rng.choice([1, 1e-6], n))
        x: Any = lib.quantize_q8(spread(rng, rows, inputs))
        # The largest sums there can be: the first row of x at an end of its range, two rows of weights at
        # theirs, and with them their small scales and minimums.
        x["q"][0], x["sum"][0] = -127, -127 * 32
        halves = [gguf[:, at : at + 2].copy() for at in halves_at(name)]
        gguf[:blocks], gguf[blocks : 2 * blocks] = (0x80 if name == "q8_0" else 0xFF), 0
        if name == "q6_k":
            gguf[: 2 * blocks, 192:208] = 0x80
        for at, kept in zip(halves_at(name), halves, strict=True):
            gguf[:, at : at + 2] = kept
    else:
        gguf = lib.quantize(name, spread(rng, outputs, inputs))
        x = spread(rng, rows, inputs)
    packed = lib.pack(name, np.ascontiguousarray(gguf).reshape(-1), outputs, inputs)
    bias = guarded(spread(rng, outputs)) if outputs % 2 else None
    return Case(guarded(packed), guarded(x), inputs, outputs, bias)


def check_matmul(lib: Library, rng: np.random.Generator, op: str, isa: str, case: Case, in_place: bool) -> None:
    rows = len(case.x)
    before = spread(rng, rows, case.outputs)
    results = []
    for name in ("scalar", isa):
        out = guarded(before)
        residual = out if in_place else None
        lib.matmul(
            op, name, case.weights, case.x, out, case.inputs, case.outputs, residual=residual, bias=case.bias
        )
        results.append(out.tobytes())
    assert results[0] == results[1], (rows, case.inputs, case.outputs, in_place)


def matmul_tests(lib: Library, rng: np.random.Generator, op: str, isa: str) -> None:
    name = op.removeprefix("matmul_")
    block = FORMATS[name].block
    inputs = {1: (1, 2, 7, 32, 33, 90), 32: (32, 64, 96, 320), 256: (256, 512, 768)}[block]
    for outputs in (1, 8, 9, 15, 16, 17, 31, 32, 33, 48, 65):
        for rows in (*range(1, 10), 17):
            width = inputs[(outputs + rows) % len(inputs)]
            case = matmul_case(lib, rng, name, rows, width, outputs)
            check_matmul(lib, rng, op, isa, case, in_place=rows % 2 == 0)
    if block == 1:  # more rows and inputs than weights are widened for at once
        check_matmul(lib, rng, op, isa, matmul_case(lib, rng, name, 101, 130, 65), in_place=True)


def half_tests(lib: Library, rng: np.random.Generator, op: str, isa: str) -> None:
    """Beside matmul_q8_0 of the whole blocks, in which any weights may meet the zeros."""
    for outputs in (1, 15, 16, 17, 33, 64, 79, 145):
        for rows in (*range(1, 10), 17):
            whole = matmul_case(lib, rng, "q8_0", rows, 32, outputs)
            whole.x["q"][..., 16:] = 0
            whole.x["sum"][:] = whole.x["q"].sum(-1)
            tiles = np.asarray(whole.weights).reshape(-1, 34 * 16)
            weights, wanted = guarded(tiles[:, : 18 * 16]), guarded(spread(rng, rows, outputs))
            lib.matmul("matmul_q8_0", "scalar", whole.weights, whole.x, wanted, 32, outputs, bias=whole.bias)
            for name in ("scalar", isa):
                out = guarded(np.full_like(wanted, np.nan))
                lib.matmul(op, name, weights, whole.x, out, 32, outputs, bias=whole.bias)
                assert out.tobytes() == wanted.tobytes(), (name, rows, outputs)


def quantize_q8_tests(lib: Library, rng: np.random.Generator, op: str, isa: str) -> None:
    x = spread(rng, 64, 96) * f32(10) ** rng.integers(-38, 36, (64, 1)).astype(f32)
    x[0], x[1], x[2, :] = 0, 1e-31, 3e38
    x[3] = (np.arange(96) - 48) / 2
    x[3, ::32] = 127
    for rows in (1, 2, 3, 64):
        source = guarded(x[:rows])
        assert lib.quantize_q8(source, isa).tobytes() == lib.quantize_q8(source).tobytes()


def rms_norm_tests(lib: Library, rng: np.random.Generator, op: str, isa: str) -> None:
    for n in (*range(1, 49), 64, 65, *[576] * 10, *range(16, 48)):
        x, weight = rng.normal(0, 1, n).astype(f32), guarded(spread(rng, n))
        outs = [guarded(x), guarded(x)]
        lib.rms_norm(outs[0], outs[0], weight, 1e-5)
        lib.rms_norm(outs[1], outs[1], weight, 1e-5, isa)
        assert outs[0].tobytes() == outs[1].tobytes(), n


def layer_norm_tests(lib: Library, rng: np.random.Generator, op: str, isa: str) -> None:
    for n in (*range(1, 49), 64, 65, 576, 1152):
        x, affine = rng.normal(1, 2, n).astype(f32), guarded(spread(rng, 2, n))
        outs = [guarded(x), guarded(x)]
        lib.layer_norm(outs[0], outs[0], affine, 1e-6)
        lib.layer_norm(outs[1], outs[1], affine, 1e-6, isa)
        assert outs[0].tobytes() == outs[1].tobytes(), n


def gate_tests(lib: Library, rng: np.random.Generator, op: str, isa: str) -> None:
    edge = np.array([-87.3, 87.3, 88.0, -88.0, 88.1, -88.1, 0.0, -0.0, 3e38, -3e38, 1e-40], f32)
    edge = np.concatenate([edge, np.nextafter(edge, f32(np.inf)), np.nextafter(edge, f32(-np.inf))])
    edge = edge[np.isfinite(edge)]
    for n in (*range(1, 35), 48, 1000):
        gate, up = np.resize(np.concatenate([spread(rng, 100) * 20, edge]), n), guarded(spread(rng, n))
        outs = [guarded(gate), guarded(gate)]
        lib.gate(op, outs[0], outs[0], up)
        lib.gate(op, outs[1], outs[1], up, isa)
        assert outs[0].tobytes() == outs[1].tobytes(), n
    gate = (rng.integers(-(2**31), 2**31, 200_000).astype(np.int32)).view(f32)
    gate = gate[np.isfinite(gate)]
    outs = [np.zeros_like(gate), np.zeros_like(gate)]
    lib.gate(op, outs[0], gate, np.ones_like(gate))
    lib.gate(op, outs[1], gate, np.ones_like(gate), isa)
    assert outs[0].tobytes() == outs[1].tobytes()


def rope_tests(lib: Library, rng: np.random.Generator, op: str, isa: str) -> None:
    for heads, head_dim, half in ((1, 2, 1), (3, 64, 32), (2, 24, 8), (5, 24, 12), (1, 72, 33), (2, 32, 15)):
        x, table = spread(rng, heads, head_dim), guarded(spread(rng, 2 * half))
        outs = [guarded(x), guarded(x)]
        lib.rope(outs[0], table)
        lib.rope(outs[1], table, isa)
        assert outs[0].tobytes() == outs[1].tobytes(), (heads, head_dim, half)


HEAD_DIMS = {"f16": (8, 16, 24, 64, 72, 80, 96, 128, 256, 512), "q8": (32, 64, 96, 128, 160, 256, 512)}


def kv_append_tests(lib: Library, rng: np.random.Generator, op: str, isa: str) -> None:
    kind = op.removeprefix("kv_append_")
    for head_dim in HEAD_DIMS[kind]:
        for position in (0, 7, 15, 16, 31, 63, 64 + 20):  # the last comes around the ring
            power = f32(10) ** rng.integers(-38, 35, (2, head_dim // 8, 1)).astype(f32)
            size = power if kind == "q8" else f32(1e-5)
            key, value = (spread(rng, 2, head_dim // 8, 8) * size).reshape(2, head_dim)
            caches = []
            for name in ("scalar", isa):
                cache = empty_cache(kind, 64, head_dim, 0xA5)
                lib.kv_append(cache.kv, position, guarded(key), guarded(value), op, name)
                caches.append(cache.keys.tobytes() + cache.values.tobytes())
            assert caches[0] == caches[1], (head_dim, position)


def check_attention(
    lib: Library,
    rng: np.random.Generator,
    op: str,
    isa: str,
    shape: tuple[int, int, int],
    position: int,
    window: int,
    cap: float = 0.0,
    until: int = 0,
) -> None:
    """shape: rows, heads, head_dim. What no row sees is NaN, or 8 bits with a scale of NaN."""
    rows, heads, head_dim = shape
    last = max(position + rows, until) - 1
    seen_from = max(0, position - window + 1) if window else 0
    first_tile = seen_from // 64 if window else 0  # a ring just large enough, of whole tiles
    kind = op.removeprefix("attention_")
    cache = empty_cache(kind, (last // 64 - first_tile + 1) * 64, head_dim, 0xFF)
    source = spread(rng, 2, last + 1, head_dim)
    for p in range(seen_from, last + 1):
        lib.kv_append(cache.kv, p, source[0, p], source[1, p], f"kv_append_{kind}")
    wide = spread(rng, rows, heads + 1, head_dim)
    outs = [guarded(wide), guarded(wide)]
    for out, name in zip(outs, ("scalar", isa), strict=True):
        lib.attention(cache.kv, out[:, :heads], out[:, :heads], position, 0.125, op, name, window, cap, until)
    assert outs[0].tobytes() == outs[1].tobytes(), (shape, position, window)
    assert np.isfinite(outs[0]).all()


def attention_tests(lib: Library, rng: np.random.Generator, op: str, isa: str) -> None:
    head_dims = HEAD_DIMS[op.removeprefix("attention_")]
    rows = (1, 2, 3, 4, 5, 8, 11, 1, 2, 70)
    for k, position in enumerate((0, 1, 7, 8, 14, 15, 16, 31, 47, 60, 62, 63, 64, 65, 120, 127, 128, 300)):
        for n in range(4):
            shape = (rows[(k + n) % len(rows)], 1 + (k + 3 * n) % 9, head_dims[(k + n) % len(head_dims)])
            if shape[0] * shape[1] * shape[2] < 20_000:
                check_attention(lib, rng, op, isa, shape, position, 0)
        shape = (rows[k % len(rows)], 1 + k % 5, head_dims[k % 4])
        check_attention(lib, rng, op, isa, shape, position, 0, until=position + 7 * k)
        check_attention(lib, rng, op, isa, shape, position, (1, 20, 64, 100)[k % 4], (0.0, 2.5)[k // 4 % 2])


def pack_tests(lib: Library, rng: np.random.Generator, op: str, isa: str) -> None:
    for k in range(40):
        wide = spread(rng, 32, 16 + k) * f32(10) ** rng.integers(-38, 35, (1, 16 + k)).astype(f32)
        wide[:, 3] = 0
        x = guarded(wide)[:, :16]
        assert lib.pack_q8(x, isa).tobytes() == lib.pack_q8(x).tobytes(), k


def softmax_tests(lib: Library, rng: np.random.Generator, op: str, isa: str) -> None:
    """Two tiles, the last one of every kind of count; after what is no position there are NaNs."""
    for count in (1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 100, 224, 225, 255, 256):
        rows = 1 + count % 11
        scores = spread(rng, 2, rows, 256) * f32(10) ** rng.integers(-3, 4, (2, rows, 1)).astype(f32)
        scores[1, :, count:] = np.nan
        scores[0, 0] = scores[0, 0, 0]
        results = []
        for name in ("scalar", isa):
            state = guarded(np.array([[-np.inf], [0], [0]], f32).repeat(rows, 1))
            results.append(b"")
            for tile, seen in enumerate((256, count)):
                weights = lib.softmax(guarded(scores[tile]), seen, state, 0.125, name)
                results[-1] += weights.tobytes() + state.tobytes()
        assert results[0] == results[1], count


def conv_tests(lib: Library, rng: np.random.Generator, op: str, isa: str) -> None:
    for taps, tiles, rows in ((2, 1, 1), (3, 9, 1), (4, 8, 2), (4, 3, 3), (4, 17, 30), (7, 2, 5)):
        weights, x = guarded(spread(rng, tiles, taps, 16)), guarded(spread(rng, rows, 16 * tiles))
        before, shifts = spread(rng, tiles, taps - 1, 16), guarded(spread(rng, 16 * tiles))
        for silu, bias in ((False, None), (True, None), (False, shifts), (True, shifts)):
            states, outs = [guarded(before) for _ in range(2)], [guarded(np.zeros_like(x)) for _ in range(2)]
            lib.conv(weights, states[0], x, outs[0], silu=silu, bias=bias)
            for part in ((tiles // 2, tiles), (0, tiles // 2)):
                lib.conv(weights, states[1], x, outs[1], isa, silu=silu, bias=bias, tiles=part)
            assert outs[0].tobytes() == outs[1].tobytes(), (taps, tiles, rows, silu)
            assert states[0].tobytes() == states[1].tobytes(), (taps, tiles, rows, silu)


def delta_tests(lib: Library, rng: np.random.Generator, op: str, isa: str) -> None:
    for inputs, tiles, rows in ((4, 1, 1), (16, 1, 5), (16, 3, 1), (64, 2, 3), (128, 8, 2), (132, 5, 4)):
        qk, v = guarded(spread(rng, rows, 2 * inputs)), guarded(spread(rng, rows, 16 * tiles))
        decay, beta = guarded(rng.random(rows).astype(f32)), guarded(rng.random(rows).astype(f32))
        before = spread(rng, tiles, inputs, 16)
        q, k = qk[:, :inputs], qk[:, inputs:]
        for skip in (None, 0.7):
            states, outs = [guarded(before) for _ in range(2)], [guarded(np.zeros_like(v)) for _ in range(2)]
            lib.delta(states[0], q, k, v, (decay, beta), outs[0], 0.25, skip=skip)
            for part in ((tiles // 2, tiles), (0, tiles // 2)):
                lib.delta(states[1], q, k, v, (decay, beta), outs[1], 0.25, isa, skip=skip, tiles=part)
            assert outs[0].tobytes() == outs[1].tobytes(), (inputs, tiles, rows, skip)
            assert states[0].tobytes() == states[1].tobytes(), (inputs, tiles, rows, skip)


TESTS = {
    "tini_matmul_fn": matmul_tests,
    "tini_half_fn": half_tests,
    "tini_quantize_q8_fn": quantize_q8_tests,
    "tini_rms_norm_fn": rms_norm_tests,
    "tini_layer_norm_fn": layer_norm_tests,
    "tini_gate_fn": gate_tests,
    "tini_rope_fn": rope_tests,
    "tini_kv_append_fn": kv_append_tests,
    "tini_attention_fn": attention_tests,
    "tini_pack_q8_fn": pack_tests,
    "tini_softmax_fn": softmax_tests,
    "tini_conv_fn": conv_tests,
    "tini_delta_fn": delta_tests,
}


def test_gives_the_scalar_bytes(lib: Library, rng: np.random.Generator, impl: Impl) -> None:
    TESTS[impl.type](lib, rng, impl.op, runs(lib, impl))


def width_of(name: str) -> int:
    """Some blocks of a format."""
    return 2 * FORMATS[name].block if FORMATS[name].block > 32 else 96


def test_matmul_tiles_are_independent(lib: Library, rng: np.random.Generator, matmul: Impl) -> None:
    isa, name = runs(lib, matmul), matmul.op.removeprefix("matmul_")
    width = width_of(name)
    for rows in (1, 5, 8):
        case = matmul_case(lib, rng, name, rows, width, 77)
        whole, parts = (guarded(np.full((rows, 77), np.nan, f32)) for _ in range(2))
        lib.matmul(matmul.op, isa, case.weights, case.x, whole, width, 77, bias=case.bias)
        lib.matmul(matmul.op, isa, case.weights, case.x, parts, width, 77, bias=case.bias, tiles=(1, 3))
        assert np.isnan(parts[:, :16]).all() and np.isnan(parts[:, 48:]).all()
        for tiles in ((0, 1), (3, 4), (4, 9)):
            lib.matmul(matmul.op, isa, case.weights, case.x, parts, width, 77, bias=case.bias, tiles=tiles)
        assert parts.tobytes() == whole.tobytes()


def test_matmul_rows_may_be_strided(lib: Library, rng: np.random.Generator, matmul: Impl) -> None:
    isa, name = runs(lib, matmul), matmul.op.removeprefix("matmul_")
    width = width_of(name)
    case = matmul_case(lib, rng, name, 9, width, 33)
    wide_x = np.zeros((9, case.x.shape[1] + 3), case.x.dtype)
    wide_x[:, : case.x.shape[1]] = case.x
    out, wide_out = np.zeros((9, 33), f32), np.zeros((9, 50), f32)
    lib.matmul(matmul.op, isa, case.weights, case.x, out, width, 33)
    lib.matmul(matmul.op, isa, case.weights, wide_x[:, : case.x.shape[1]], wide_out[:, :33], width, 33)
    assert wide_out[:, :33].tobytes() == out.tobytes() and not wide_out[:, 33:].any()


@pytest.mark.slow
def test_flags_that_fuse_change_nothing(lib: Library, careless_lib: Library, rng: np.random.Generator) -> None:
    """The scalar kernels, which hold every other to their bits, come out the same from both builds."""
    x = spread(rng, 64, 576)
    cases = [matmul_case(lib, rng, name, 5, width_of(name), 40) for name in FORMATS]
    results = []
    for built in (lib, careless_lib):
        outs = [np.zeros((5, 40), f32) for _ in FORMATS]
        for name, case, out in zip(FORMATS, cases, outs, strict=True):
            built.matmul(f"matmul_{name}", "scalar", case.weights, case.x, out, width_of(name), 40)
        more = [np.zeros_like(x), x[0].copy(), x[:9, :64].copy()]
        built.gate("silu_mul", more[0], x, x)
        built.rms_norm(more[1], more[1], x[1], 1e-5)
        built.rope(more[2], x[2, :64])
        packed = [built.quantize(name, x[:, :512]) for name in FORMATS]
        results.append([array.tobytes() for array in (*outs, *more, *packed, built.quantize_q8(x))])
    assert results[0] == results[1]
    for impl in implementations():
        if impl.isa in careless_lib.isas():
            TESTS[impl.type](careless_lib, rng, impl.op, impl.isa)
