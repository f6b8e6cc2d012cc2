"""core/base/math.h against NumPy's float64."""

import ctypes

import numpy as np
import pytest


def probe(lib, name, x, out_types=(np.float32,)):
    outs = [np.zeros(x.shape, dtype) for dtype in out_types]
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (*outs, x)]
    getattr(lib.c, f"probe_{name}")(*pointers, ctypes.c_size_t(x.size))
    return outs[0] if len(outs) == 1 else outs


def ulps(got, want):
    """Errors in units of the last place of the rounded true value."""
    return np.abs(got.astype(np.float64) - want) / np.spacing(np.abs(want).astype(np.float32)).astype(
        np.float64
    )


def test_exp_is_within_two_ulps(lib, rng):
    x = np.concatenate([np.linspace(-87.3, 88, 400_001), rng.normal(0, 1e-3, 10_000)]).astype(np.float32)
    x = x[(x >= np.float32(-87.3)) & (x <= 88)]
    assert ulps(probe(lib, "exp", x), np.exp(x.astype(np.float64))).max() < 1.5


def test_exp_at_its_ends(lib):
    x = np.array([0.0, -0.0, -87.31, -1e30, -np.inf, 88.01, 1e30, np.inf], np.float32)
    assert probe(lib, "exp", x).tolist() == [1, 1, 0, 0, 0, np.inf, np.inf, np.inf]


def test_log_is_within_three_ulps(lib, rng):
    spread = np.exp(rng.uniform(-700, 700, 200_000))
    near_one = [rng.uniform(0.5, 2, 200_000), 1 + rng.normal(0, 1e-6, 10_000)]
    x = np.concatenate([spread, *near_one, 2.0 ** np.arange(-1022, 1024)])
    want = np.log(x.astype(np.longdouble))
    got = probe(lib, "log", x, [np.float64])
    assert np.finfo(np.longdouble).eps < 1e-18
    assert (np.abs(got - want) <= 2.5 * np.spacing(np.abs(want).astype(np.float64))).all()
    assert probe(lib, "log", np.ones(1), [np.float64]).tolist() == [0]


def test_softplus(lib, rng):
    x = np.concatenate([np.linspace(-100, 100, 400_001), rng.normal(0, 5, 100_000)]).astype(np.float32)
    got, want = probe(lib, "softplus", x), np.logaddexp(0, x.astype(np.longdouble))
    assert (np.abs(got - want) <= 2.5 * np.spacing(want.astype(np.float32)) + 2.0**-53).all()
    assert probe(lib, "softplus", np.array([-np.inf, -200, 1e30], np.float32)).tolist() == [
        0,
        0,
        np.float32(1e30),
    ]


def test_nearest_takes_ties_to_even(lib, rng):
    x = np.concatenate([np.arange(-300, 300) / 2, rng.uniform(-1e6, 1e6, 10_000)]).astype(np.float32)
    assert np.array_equal(probe(lib, "nearest", x, [np.int32]), np.rint(x))


def test_sqrt_is_correctly_rounded(lib, rng):
    x = np.exp(rng.uniform(-80, 80, 100_000)).astype(np.float32)
    assert np.array_equal(probe(lib, "sqrt", x), np.sqrt(x))


def test_every_float16_widens_exactly(lib):
    halves = np.arange(65536, dtype=np.uint16)
    want = halves.view(np.float16).astype(np.float32)
    assert np.array_equal(probe(lib, "f16_to_f32", halves), want, equal_nan=True)


def test_float16_rounds_to_nearest_even(lib, rng):
    every = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
    with np.errstate(invalid="ignore"):
        middles = ((every[:-1].astype(np.float64) + every[1:]) / 2).astype(np.float32)
    near = [every, middles, np.nextafter(middles, np.float32(0)), np.nextafter(middles, np.float32(np.inf))]
    bits = rng.integers(0, 2**32, 200_000, dtype=np.uint32).view(np.float32)
    x = np.concatenate([*near, bits, np.array([65519.996, 65520, -65520, 1e30, np.inf], np.float32)])
    with np.errstate(over="ignore", invalid="ignore"):
        want = x.astype(np.float16)
    got = probe(lib, "f32_to_f16", x, [np.uint16]).view(np.float16)
    number = ~np.isnan(x)
    assert np.array_equal(got[number].view(np.uint16), want[number].view(np.uint16))
    assert np.isnan(got[~number]).all()


def test_bfloat16_rounds_to_nearest_even(lib, rng):
    torch = pytest.importorskip("torch")
    x = np.concatenate(
        [rng.integers(0, 2**32, 200_000, dtype=np.uint32), np.arange(2**15, 2**19, 2**14, dtype=np.uint32)]
    )
    x = x.view(np.float32)
    x = x[~np.isnan(x)]
    want = torch.from_numpy(x).to(torch.bfloat16).view(torch.uint16).numpy()
    assert np.array_equal(probe(lib, "f32_to_bf16", x, [np.uint16]), want)


def test_sine_and_cosine_are_the_nearest_floats(lib, rng):
    quarter_turns = np.arange(-2000, 2000) * (np.pi / 4)
    angle = np.concatenate(
        [[0.0, 1e6, -1e6], quarter_turns, rng.uniform(-1e6, 1e6, 200_000), rng.normal(0, 3, 200_000)]
    )
    sine, cosine = probe(lib, "sin_cos", angle, (np.float32, np.float32))
    assert ulps(sine, np.sin(angle)).max() <= 0.501
    assert ulps(cosine, np.cos(angle)).max() <= 0.501
