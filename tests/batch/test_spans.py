"""The finished items of a batch, as spans."""

from __future__ import annotations

import random

import pytest

from tinsmith.batch.journal import Spans


@pytest.mark.parametrize("seed", range(10))
def test_spans_contain_added_items_and_do_not_touch(seed: int) -> None:
    rng, spans, held = random.Random(seed), Spans(), set[int]()
    for _ in range(40):
        first, count = rng.randrange(60), rng.randrange(1, 6)
        spans.add(first, count)
        held |= set(range(first, first + count))
        assert [item for item in range(70) if item in spans] == sorted(held)
        bounds = [bound for span in spans.intervals for bound in span]
        assert bounds == sorted(set(bounds))
