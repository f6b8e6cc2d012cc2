"""The assignment of formats beside every assignment there is."""

from __future__ import annotations

import itertools
import random

import pytest

from tinsmith.quant.assign import Choice, Tight, assign


def total(items: list[list[Choice]], chosen: tuple[int, ...] | list[int]) -> tuple[float, int]:
    picked = [items[k][choice] for k, choice in enumerate(chosen)]
    return sum(one.loss for one in picked), sum(one.size for one in picked)


def test_no_assignment_is_better() -> None:
    source = random.Random(1)
    for _ in range(300):
        items = [
            [Choice(source.randint(1, 40), source.random()) for _ in range(source.randint(1, 4))]
            for _ in range(source.randint(1, 6))
        ]
        limit = source.randint(5, 150)
        every = [total(items, chosen) for chosen in itertools.product(*(range(len(item)) for item in items))]
        fitting = [one for one in every if one[1] <= limit]
        if not fitting:
            with pytest.raises(Tight) as caught:
                assign(items, limit)
            assert caught.value.least == min(size for _, size in every)
            continue
        loss, size = total(items, assign(items, limit))
        assert size <= limit
        assert loss == pytest.approx(min(fitting)[0], rel=1e-12, abs=1e-12)


def test_nothing_is_lost_where_all_fits() -> None:
    """Sums that cancel come to nothing only within rounding: so of a file whose own formats are choices."""
    source = random.Random(1)
    for count in range(2, 60):
        items = [[Choice(1, source.random() * 1e-3), Choice(2, 0.0)] for _ in range(count)]
        assert assign(items, 2 * count) == [1] * count


def test_of_equal_losses_the_smaller_wins() -> None:
    assert assign([[Choice(9, 1.0), Choice(4, 1.0), Choice(5, 1.0)]], 100) == [1]
    assert assign([[Choice(3, 2.0), Choice(5, 1.0)], [Choice(3, 2.0), Choice(5, 1.0)]], 8) in ([0, 1], [1, 0])
