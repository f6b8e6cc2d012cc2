"""The C sampler against its definition, NumPy and the logits processors of transformers."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from tests.kernels import textcore
from tests.kernels.textcore import Bias, Sampling

ARGUMENT, STATE = -1, -7
MASK = (1 << 64) - 1


class Sampler:
    def __init__(self, core: ctypes.CDLL) -> None:
        self.core = core

    def draw(
        self, logits: np.ndarray, history: list[int] | None = None, position: int = 0, **options: Any
    ) -> int:
        return int(self.draws(logits, [position], history, **options)[0])

    def draws(
        self,
        logits: np.ndarray,
        positions: Any,
        history: list[int] | None = None,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        repeat_last: int = 0,
        seed: int = 0,
        mask: np.ndarray | None = None,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        answered: int = 0,
        biases: list[tuple[int, float]] | None = None,
    ) -> np.ndarray:
        logits = np.ascontiguousarray(logits, np.float32)
        held = (Bias * len(biases))(*biases) if biases else None
        sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty, repeat_last, seed)
        sampling.presence_penalty, sampling.frequency_penalty = presence_penalty, frequency_penalty
        sampling.answered, sampling.bias_count, sampling.biases = answered, len(biases or ()), held
        seen = (ctypes.c_int32 * len(history or [0]))(*(history or [0]))
        scratch = np.full(self.core.tini_sample_scratch(logits.size) // 8 + 2, -1, np.int64)
        sample, row = self.core.tini_sample, logits.ctypes.data_as(ctypes.c_void_p)
        bits = None if mask is None else mask.ctypes.data_as(ctypes.c_void_p)
        work, length = scratch.ctypes.data_as(ctypes.c_void_p), len(history or [])
        options = ctypes.byref(sampling)
        drawn = [
            sample(options, row, logits.size, bits, seen, length, ctypes.c_uint64(int(position)), work)
            for position in positions
        ]
        assert scratch[-1] == -1
        return np.array(drawn)


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    return Sampler(textcore.load_core(tmp_path_factory.mktemp("textcore")))


def row(vocab: int, seed: int, spread: float = 3.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, spread, vocab).astype(np.float32)


def scramble(x: int) -> int:
    """SplitMix64's output function."""
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


def random_bits(seed: int, position: int) -> int:
    step = 0x9E3779B97F4A7C15
    return scramble(scramble(seed + step & MASK) + (position + 1) * step & MASK)


@pytest.mark.parametrize("vocab", [1, 15, 16, 17, 1000, 49_152])
def test_zero_temperature_takes_the_first_of_the_largest(sampler: Sampler, vocab: int) -> None:
    for seed in range(20):
        logits = np.round(row(vocab, seed))
        assert sampler.draw(logits, temperature=0.0) == np.argmax(logits)
        pointer = logits.ctypes.data_as(ctypes.c_void_p)
        assert sampler.core.tini_argmax(pointer, vocab, None) == np.argmax(logits)


def test_equal_logits_draw_the_token_that_the_random_number_names(sampler: Sampler) -> None:
    """With equal weights of 2^40 the draw is exactly the high half of random * vocab."""
    for vocab in (1, 7, 1000):
        for seed in (0, 1, MASK):
            wanted = [random_bits(seed, position) * vocab >> 64 for position in (0, 1, 2, 1000, MASK - 1)]
            drawn = sampler.draws(np.full(vocab, 2.5), (0, 1, 2, 1000, MASK - 1), seed=seed)
            assert drawn.tolist() == wanted


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(
    "options", [{}, {"min_p": 0.2}, {"top_k": 7}, {"top_p": 0.8}, {"top_p": 0.9, "min_p": 0.1}]
)
def test_frequencies_are_those_of_the_softmax(
    sampler: Sampler, temperature: float, options: dict[str, float]
) -> None:
    """Over the tokens that the options keep."""
    logits, count = row(30, seed=1, spread=1.0), 20_000
    scaled = logits.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max())
    order = np.argsort(-weights)
    kept = np.ones(30, bool)
    kept[order[int(options.get("top_k", 30)) :]] = False
    before = np.cumsum(weights[order]) - weights[order]
    kept[order[before >= options.get("top_p", 2.0) * weights.sum()]] = False
    kept &= weights >= options.get("min_p", 0.0)
    expected = np.where(kept, weights, 0.0)
    expected *= count / expected.sum()
    drawn = sampler.draws(logits, range(count), temperature=temperature, seed=3, **options)
    seen = np.bincount(drawn, minlength=30)
    assert not seen[~kept].any()
    likely = expected >= 5
    rest = expected[~likely].sum()
    chi_square = (((seen - expected) ** 2)[likely] / expected[likely]).sum()
    freedom = likely.sum() - 1 + (rest > 0)
    # The sum has mean `freedom` and variance 2 * freedom; 5 deviations never come by chance.
    assert chi_square < freedom + 5 * np.sqrt(2 * freedom)


def mask_of(allowed: np.ndarray) -> np.ndarray:
    padded = np.pad(allowed, (0, -allowed.size % 32))
    return np.packbits(padded, bitorder="little").view("<u4").copy()


MASKED: list[dict[str, Any]] = [
    {"temperature": 0.0},
    {"temperature": 0.0, "repetition_penalty": 1.5},
    {"temperature": 1.5},
    {"temperature": 1.5, "top_k": 3, "repetition_penalty": 0.7, "repeat_last": 20},
    {"temperature": 0.8, "top_k": 40, "top_p": 0.9},
    {"temperature": 1.0, "top_p": 0.7, "min_p": 0.1, "repetition_penalty": 1.3},
]


@pytest.mark.parametrize("options", MASKED, ids=str)
@pytest.mark.parametrize("vocab", [1, 31, 32, 33, 1000, 49_152])
def test_a_mask_is_as_logits_of_minus_infinity(sampler: Sampler, vocab: int, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(vocab)
    history = rng.integers(0, vocab, 50).tolist()
    for share in (0.0, 0.001, 0.03, 0.5, 0.97, 1.0):
        allowed = rng.random(vocab) < share
        allowed[rng.integers(vocab)] = True
        logits = row(vocab, int(share * 1000)).round(1)
        logits[rng.random(vocab) < 0.01] = np.nan
        logits[allowed.argmax()] = 0.5
        masked = np.where(allowed, logits, -np.inf)
        got = sampler.draws(logits, range(20), history, mask=mask_of(allowed), **options, seed=5)
        assert got.tolist() == sampler.draws(masked, range(20), history, **options, seed=5).tolist()
        assert allowed[got].all()


@pytest.mark.parametrize("options", MASKED[:4], ids=str)
def test_masks_of_one_token_and_of_none(sampler: Sampler, options: dict[str, Any]) -> None:
    for token in (0, 31, 32, 99):
        mask = mask_of(np.arange(100) == token)
        assert sampler.draw(np.full(100, np.nan), [1], mask=mask, **options) == token
    hopeless = np.array([5.0, np.nan, 5.0, -np.inf])
    assert sampler.draw(hopeless, [1], mask=mask_of(np.array([0, 1, 0, 1], bool)), **options) == 1
    assert sampler.draw(hopeless, [1], mask=mask_of(np.zeros(4, bool)), **options) == STATE


FILTERS = [
    {"top_k": 1},
    {"top_k": 5},
    {"top_k": 64},
    {"top_p": 0.5},
    {"top_p": 0.9},
    {"top_p": 0.01},
    {"min_p": 0.3},
    {"min_p": 1.0},
    {"top_k": 12, "top_p": 0.8},
    {"top_k": 20, "top_p": 0.95, "min_p": 0.2},
    {"top_k": 10, "repetition_penalty": 1.8},
    {"top_p": 0.7, "repetition_penalty": 0.5},
    {"top_k": 10, "temperature": 3.0},
    {"top_p": 0.8, "temperature": 0.4},
    {"min_p": 0.2, "temperature": 2.5, "top_p": 0.9},
]


@pytest.mark.parametrize("options", FILTERS, ids=str)
def test_the_kept_tokens_are_those_of_transformers(sampler: Sampler, options: dict[str, float]) -> None:
    kept_by_transformers = transformers_kept(
        options, logits := row(64, seed=2, spread=0.7), history := [3, 3, 9, 50]
    )
    drawn = sampler.draws(logits, range(8_000), history, **options)
    assert set(drawn.tolist()) == kept_by_transformers


def transformers_kept(options: dict[str, float], logits: np.ndarray, history: list[int]) -> set[int]:
    torch = pytest.importorskip("torch")
    process = pytest.importorskip("transformers.generation.logits_process")
    scores, ids = torch.tensor(logits)[None], torch.tensor(history)[None]
    steps = [
        ("repetition_penalty", process.RepetitionPenaltyLogitsProcessor),
        ("temperature", process.TemperatureLogitsWarper),
        ("top_k", process.TopKLogitsWarper),
        ("top_p", process.TopPLogitsWarper),
        ("min_p", process.MinPLogitsWarper),
    ]
    for name, step in steps:
        if name in options:
            scores = step(options[name])(ids, scores)
    probabilities = torch.softmax(scores[0], -1)
    kept = torch.nonzero(probabilities).flatten().tolist()
    assert probabilities[kept].min() > 0.0015, "8,000 draws would not show every kept token"
    return set(kept)


@pytest.mark.parametrize("distinct", [2, 100, 1_000_000])
@pytest.mark.parametrize("top_k", [1, 2, 17, 40, 100])
def test_top_k_breaks_ties_by_the_lowest_id(sampler: Sampler, distinct: int, top_k: int) -> None:
    rng = np.random.default_rng(4)
    logits = (rng.integers(-distinct, distinct, 20_000) / np.float32(distinct)).astype(np.float32)
    first = np.lexsort((np.arange(logits.size), -logits))[:top_k]
    drawn = sampler.draws(logits, range(1_500), top_k=top_k, temperature=100.0)
    assert set(drawn.tolist()) == set(first.tolist())


@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.75, 0.999])
def test_top_p_keeps_the_fewest_that_reach_it(sampler: Sampler, top_p: float) -> None:
    """Four equal tokens beside one of half their weight: the kept ones are the first that reach top_p."""
    logits = np.log(np.array([1, 2, 2, 2, 2], np.float32))
    kept = {0.1: {1}, 0.5: {1, 2, 3}, 0.75: {1, 2, 3, 4}, 0.999: {0, 1, 2, 3, 4}}[top_p]
    assert set(sampler.draws(logits, range(500), top_p=top_p).tolist()) == kept


def test_the_penalty_counts_a_token_once_and_only_lately(sampler: Sampler) -> None:
    logits = np.array([1.0, 3.0, 2.0, -1.0], np.float32)
    greedy = {"temperature": 0.0, "repetition_penalty": 2.0}
    assert sampler.draw(logits, [1], **greedy) == 2
    assert sampler.draw(np.array([1.6, 3.0, 1.0, 0.0]), [1, 1, 1], **greedy) == 0
    assert sampler.draw(np.array([1.4, 3.0, 1.0, 0.0]), [1, 1, 1], **greedy) == 1
    assert sampler.draw(logits, [1, 0, 0], **greedy, repeat_last=2) == 1
    assert sampler.draw(logits, [1, 0, 0], **greedy, repeat_last=3) == 2
    assert sampler.draw(np.array([-1.0, -1.5]), [0], **greedy) == 1


def changed(logits: np.ndarray, history: list[int], options: dict[str, Any]) -> np.ndarray:
    """As OpenAI defines them: mu[j] - c[j] * frequency - (c[j] > 0) * presence, of the answer's tokens, behind
    the biases; between them transformers' repetition penalty. In float32, as the core."""
    given = options.get
    scores = logits.astype(np.float32).copy()
    for token, value in given("biases") or ():
        scores[token] += np.float32(value)
    penalty = np.float32(given("repetition_penalty", 1.0))
    for token in set(history):
        scores[token] = scores[token] / penalty if scores[token] > 0 else scores[token] * penalty
    answered = given("answered", 0)
    counts = np.bincount(history[len(history) - answered :], minlength=logits.size).astype(np.float32)
    scores = scores - counts * np.float32(given("frequency_penalty", 0.0))
    seen: np.ndarray = scores - (counts > 0) * np.float32(given("presence_penalty", 0.0))
    return seen


PENALTIES: list[dict[str, Any]] = [
    {"presence_penalty": 0.7, "answered": 30},
    {"frequency_penalty": 0.3, "answered": 30},
    {"presence_penalty": -1.1, "frequency_penalty": 0.37, "answered": 12},
    {"presence_penalty": 0.5, "frequency_penalty": 1.9, "answered": 0},
    {"biases": [(3, 2.5), (7, -100.0), (3, 0.1), (0, -np.inf)]},
    {
        "biases": [(k, 0.1 * k - 2) for k in range(40)],
        "repetition_penalty": 1.3,
        "presence_penalty": 0.3,
        "frequency_penalty": -0.2,
        "answered": 25,
    },
]


@pytest.mark.parametrize("options", PENALTIES, ids=str)
@pytest.mark.parametrize("drawn", [{"temperature": 0.0}, {"temperature": 1.3}, {"top_k": 9, "top_p": 0.8}])
def test_penalties_and_biases_are_those_of_openai(
    sampler: Sampler, options: dict[str, Any], drawn: dict[str, Any]
) -> None:
    """What is drawn is drawn of the changed logits, alone and under a mask."""
    for seed in range(10):
        logits = row(200, seed, 1.0)
        history = np.random.default_rng(seed).integers(0, 40, 50).tolist()
        wanted = changed(logits, history, options)
        got = sampler.draws(logits, range(40), history, **options, **drawn, seed=seed)
        assert got.tolist() == sampler.draws(wanted, range(40), **drawn, seed=seed).tolist()
        mask = mask_of(np.arange(200) % 3 != 1)
        got = sampler.draws(logits, range(40), history, **options, **drawn, seed=seed, mask=mask)
        assert got.tolist() == sampler.draws(wanted, range(40), **drawn, seed=seed, mask=mask).tolist()
    assert not np.array_equal(wanted, logits) or not (options.get("answered") or "biases" in options)


def test_a_banned_token_is_chosen_where_there_is_no_other(sampler: Sampler) -> None:
    banned = [(0, -np.inf), (1, -np.inf)]
    assert sampler.draw(np.array([9.0, 8.0, -50.0]), temperature=0.0, biases=banned) == 2
    assert set(sampler.draws(np.array([9.0, 8.0, -50.0]), range(50), biases=banned).tolist()) == {2}
    assert sampler.draw(np.array([9.0, 8.0, 1.0]), biases=banned, mask=np.array([2], np.uint32)) == 1


@pytest.mark.parametrize("masked", [False, True])
def test_the_likeliest_tokens_have_the_shares_of_the_softmax(sampler: Sampler, masked: bool) -> None:
    sampler.core.tini_log_share.restype = ctypes.c_double
    for vocab in (1, 33, 1000):
        logits = row(vocab, 4).round(1)  # with ties
        allowed = np.arange(vocab) % 3 == 0 if masked else np.ones(vocab, bool)
        words = mask_of(allowed)
        mask = words.ctypes.data_as(ctypes.c_void_p) if masked else None
        pointer, tops = logits.ctypes.data_as(ctypes.c_void_p), np.zeros((20, 2))
        room = tops.ctypes.data_as(ctypes.c_void_p)
        count = sampler.core.tini_log_shares(pointer, vocab, mask, room, 20)
        held = np.where(allowed, logits.astype(np.float64), -np.inf)
        assert count == min(20, allowed.sum())
        ids = tops.view(np.int32)[:count, 2].tolist()
        assert ids == np.lexsort((np.arange(vocab), -held))[:count].tolist()
        wanted = held - held.max() - np.log(np.exp(held - held.max()).sum())
        assert np.abs(tops[:count, 0] - wanted[ids]).max() < 1e-6
        if count > 1:  # to the bit, what a choice counts
            shares = [sampler.core.tini_log_share(pointer, vocab, mask, token) for token in ids]
            assert tops[:count, 0].tolist() == shares
    assert sampler.core.tini_allowed(mask_of(np.arange(77) % 5 > 0).ctypes.data_as(ctypes.c_void_p), 77) == 61
    assert sampler.core.tini_allowed(None, 77) == 77


def test_the_same_seed_and_position_replay(sampler: Sampler) -> None:
    logits = row(5_000, seed=5)
    options: dict[str, Any] = {"top_p": 0.95, "min_p": 0.01, "temperature": 1.3}
    once = sampler.draws(logits, range(300), **options, seed=7)
    again = sampler.draws(logits, reversed(range(300)), **options, seed=7)[::-1]
    other = sampler.draws(logits, range(300), **options, seed=8)
    assert (once == again).all()
    assert (once != other).mean() > 0.5


def test_shares_are_those_of_a_sum_one_by_one(sampler: Sampler) -> None:
    """Of all tokens, many at once, as of a mask that has all, to the bit; with what is no number, too."""
    share = sampler.core.tini_log_share
    share.restype = ctypes.c_double
    for vocab in (2, 63, 64, 65, 1000, 49_152):
        for spread, odd in ((0.01, ()), (3.0, (-np.inf, np.nan)), (60.0, (np.nan,)), (60.0, (np.inf, np.nan))):
            logits = row(vocab, 3, spread)
            logits[: len(odd)] = odd
            pointer = logits.ctypes.data_as(ctypes.c_void_p)
            mask = mask_of(np.ones(vocab, bool))
            words = mask.ctypes.data_as(ctypes.c_void_p)
            for token in range(min(vocab, 5)):
                assert share(pointer, vocab, None, token) == share(pointer, vocab, words, token)


@pytest.mark.parametrize("spread", [0.01, 3.0, 40.0])
def test_log_shares_are_those_of_the_softmax(sampler: Sampler, spread: float) -> None:
    share = sampler.core.tini_log_share
    share.restype = ctypes.c_double
    for vocab in (1, 1000, 49_152):
        logits = row(vocab, 2, spread)
        wide = logits.astype(np.float64)
        wanted = wide - wide.max() - np.log(np.exp(wide - wide.max()).sum())
        pointer = logits.ctypes.data_as(ctypes.c_void_p)
        got = [share(pointer, vocab, None, token) for token in range(min(vocab, 50))]
        assert np.abs(got - wanted[:50]).max() < 1e-6
        # Of those that a mask has.
        allowed = np.arange(vocab) % 3 == 0
        mask = np.zeros((vocab + 31) // 32 * 32, bool)
        mask[:vocab] = allowed
        words = np.packbits(mask, bitorder="little").view(np.uint32)
        held = np.where(allowed, wide, -np.inf)
        wanted = held - held.max() - np.log(np.exp(held - held.max()).sum())
        bits = words.ctypes.data_as(ctypes.c_void_p)
        got = [share(pointer, vocab, bits, token) for token in range(0, min(vocab, 150), 3)]
        assert np.abs(got - wanted[:150:3]).max() < 1e-6
    odd = np.array([np.nan, -np.inf, np.inf, np.inf], np.float32)
    got = [share(odd.ctypes.data_as(ctypes.c_void_p), 4, None, token) for token in range(4)]
    assert got[:2] == [-np.inf, -np.inf]
    assert np.allclose(got[2:], -np.log(2))
    nothing = np.full(4, np.nan, np.float32)
    assert share(nothing.ctypes.data_as(ctypes.c_void_p), 4, None, 0) == 0
    only = np.array([4], np.uint32)  # one token: its logit is not read
    assert share(nothing.ctypes.data_as(ctypes.c_void_p), 4, only.ctypes.data_as(ctypes.c_void_p), 2) == 0


def test_not_a_number_and_infinities(sampler: Sampler) -> None:
    nan, inf = np.nan, np.inf
    assert sampler.draw(np.array([nan, -5.0, nan, -7.0]), temperature=0.0) == 1
    assert set(sampler.draws(np.array([nan, 1.0, nan, 1.0, -inf]), range(200)).tolist()) == {1, 3}
    for options in ({"temperature": 0.0}, {"temperature": 1.0}, {"repetition_penalty": 2.0}):
        assert sampler.draw(np.full(40, nan), [1], **options) == 0
        assert sampler.draw(np.full(40, -inf), [1], **options) == 0
    assert sampler.draw(np.array([0.0, inf, 3.0]), temperature=0.0) == 1
    assert set(sampler.draws(np.array([0.0, inf, 3.0, inf]), range(100)).tolist()) == {1, 3}
    tiny = np.float32(1e-38)
    assert set(sampler.draws(np.array([0.0, 1.0, 0.5]), range(100), temperature=float(tiny)).tolist()) == {1}


@pytest.mark.parametrize(
    "options",
    [
        *({"temperature": x} for x in (-1.0, np.nan, np.inf)),
        *({"top_p": x} for x in (-0.1, 1.1, np.nan)),
        *({"min_p": x} for x in (-0.1, 1.1, np.nan)),
        *({"repetition_penalty": x} for x in (0.0, -1.0, np.nan, np.inf)),
        *({"presence_penalty": x} for x in (np.nan, np.inf, -np.inf)),
        *({"frequency_penalty": x} for x in (np.nan, np.inf, -np.inf)),
        *({"biases": [(1, 0.5), one]} for one in ((10, 0.0), (-1, 0.0), (0, np.nan), (0, np.inf))),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(sampler: Sampler, options: dict[str, float]) -> None:
    assert sampler.draw(row(10, seed=6), **options) == ARGUMENT


def test_the_largest_vocabulary(sampler: Sampler) -> None:
    most = 1 << 23
    logits = np.zeros(most + 1, np.float32)
    logits[most - 1] = 50
    assert sampler.draw(logits[:most], temperature=0.0) == most - 1
    assert sampler.draw(logits, temperature=0.0) == ARGUMENT


@pytest.mark.parametrize("options", [{"top_p": 0.0}, {"top_p": 1.0}, {"min_p": 0.0}, {"min_p": 1.0}], ids=str)
def test_options_at_the_ends_of_their_ranges(sampler: Sampler, options: dict[str, float]) -> None:
    logits = np.array([0.0, 3.0, 1.0])
    every = {0, 1, 2} if options in ({"top_p": 1.0}, {"min_p": 0.0}) else {1}
    assert set(sampler.draws(logits, range(300), **options).tolist()) == every
