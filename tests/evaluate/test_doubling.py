"""What twice the examples should bring, where the truth is a power law that is known."""

from __future__ import annotations

import random

import pytest

from tinsmith.evaluate.doubling import next_doubling


def answers(errors: dict[int, float], items: int, seed: int) -> dict[int, list[bool]]:
    """Items of some difficulty each: one is wrong at a size where its difficulty is within the error."""
    rng = random.Random(seed)
    difficulties = [rng.random() for _ in range(items)]
    return {size: [hard > error for hard in difficulties] for size, error in errors.items()}


def law(*sizes: int) -> dict[int, float]:
    return {size: 4.0 * size**-0.5 for size in sizes}


def test_a_power_law_is_drawn_further() -> None:
    found = next_doubling(answers(law(100, 300, 1000), 4000, 1), 500, 0)
    assert found.examples == 2000
    assert found.why == ""
    assert found.power == pytest.approx(0.5, abs=0.05)
    assert found.exact == pytest.approx(1 - 4.0 * 2000**-0.5, abs=0.01)
    assert found.gain == pytest.approx(4.0 * (1000**-0.5 - 2000**-0.5), abs=0.01)
    assert found.is_worth
    assert found.check is None


def test_the_interval_holds_what_comes_in_most_draws() -> None:
    truth = 1 - 4.0 * 2000**-0.5
    held = 0
    for seed in range(40):
        low, high = next_doubling(answers(law(100, 300, 1000), 200, seed), 300, seed).exact_interval or (1, 0)
        held += low <= truth <= high
    assert held >= 32


def test_four_sizes_check_the_line() -> None:
    found = next_doubling(answers(law(100, 300, 1000, 3000), 4000, 2), 200, 0)
    assert found.check == pytest.approx(1 - 4.0 * 3000**-0.5, abs=0.02)


def test_what_does_not_fall_can_not_be_told() -> None:
    found = next_doubling(answers(dict.fromkeys((100, 300, 1000), 0.4), 200, 3), 500, 0)
    assert "do not fall" in found.why
    assert not found.is_worth


def test_two_sizes_are_too_few() -> None:
    found = next_doubling(answers(law(100, 300), 200, 3), 500, 0)
    assert found.why == "2 sizes of training data; a line through them needs 3"
    assert found.exact is None
    assert not found.is_worth


def test_no_error_left_is_no_fault() -> None:
    found = next_doubling({size: [True] * 50 for size in (10, 20, 40)}, 200, 0)
    assert found.exact is not None
    assert found.exact > 0.95
    assert not found.is_worth
