"""Two systems on the same items, held to scipy's binomial test."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from tinsmith.evaluate.paired import compare, mcnemar


def answers(only_first: int, only_second: int, neither: int, both: int) -> tuple[list[bool], list[bool]]:
    pairs = [(True, False)] * only_first + [(False, True)] * only_second
    pairs += [(False, False)] * neither + [(True, True)] * both
    return [first for first, _ in pairs], [second for _, second in pairs]


@pytest.mark.parametrize(("first", "second"), [(1, 9), (5, 5), (0, 6), (40, 12), (0, 1)])
def test_mcnemar_is_the_binomial_test_of_the_items_that_one_gets_right(first: int, second: int) -> None:
    assert mcnemar(first, second) == pytest.approx(binomtest(first, first + second).pvalue, rel=1e-12)


def test_equal_systems_differ_in_nothing() -> None:
    found = compare(*answers(0, 0, 5, 15), 500, 0)
    assert (found.p, found.difference, found.difference_interval) == (1.0, 0.0, (0.0, 0.0))
    assert (found.errors, found.errors_interval) == (1.0, (1.0, 1.0))
    assert not found.is_better
    assert not found.is_worse


def test_a_better_system_has_fewer_errors_whichever_way_it_is_asked() -> None:
    first, second = answers(50, 2, 8, 40)
    found, reverse = compare(first, second, 4000, 0), compare(second, first, 4000, 0)
    assert found.is_better
    assert reverse.is_worse
    assert found.difference == pytest.approx(0.48)
    assert found.errors == pytest.approx(10 / 58)
    low, high = found.errors_interval
    assert low is not None
    assert high is not None
    assert 0.07 < low < 10 / 58 < high < 0.3
    # The bootstrap's interval of a paired difference is near the normal one: its variance is known.
    half = 1.96 * ((52 / 100 - 0.48**2) / 100) ** 0.5
    assert found.difference_interval == pytest.approx((0.48 - half, 0.48 + half), abs=0.02)


def test_errors_that_the_other_has_none_of_have_no_ratio() -> None:
    found = compare(*answers(0, 30, 0, 70), 500, 0)
    assert found.errors is None
    assert found.errors_interval == (None, None)
    assert compare([], [], 10, 0).p == 1.0
