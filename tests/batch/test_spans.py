"""The windows of a resumed batch have the items that earlier runs did not finish."""

from __future__ import annotations

import random
from typing import Any, cast

import pytest

from tinsmith.batch.engine import Counts
from tinsmith.batch.items import Item, Items
from tinsmith.batch.run import Rate, windows


class Numbers:
    """Items 0 to 69."""

    def rows(self) -> Any:
        return ((number, number) for number in range(70))

    def item(self, number: int, row: Any) -> Item:
        return Item(number, number)


@pytest.mark.parametrize("seed", range(10))
def test_windows_skip_finished_items(seed: int) -> None:
    rng = random.Random(seed)
    starts = [rng.randrange(60) for _ in range(rng.randrange(20))]
    finished = [range(start, start + rng.randrange(1, 6)) for start in starts]
    made = list(windows(cast(Items, Numbers()), finished, Rate(Counts())))
    left = [item for item in range(70) if not any(item in done for done in finished)]
    assert [item.number for window in made for item in window.items] == left
    for window in made:
        places = range(window.first, window.first + len(window.items))
        assert [item.number for item in window.items] == list(places)
