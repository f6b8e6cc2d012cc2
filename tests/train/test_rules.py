from __future__ import annotations

import pytest

from tinsmith.train.rules import (
    SHORT_RUN,
    SHORTEST_RUN,
    default_full_rate,
    default_label_epochs,
    default_learning_rate,
    default_made_epochs,
    default_originals_once,
    default_preference_rate,
    default_prefix_rate,
    default_scratch_rate,
)


@pytest.mark.parametrize(
    ("parameters", "low", "high"), [(135e6, 1e-3, 4e-3), (1.5e9, 3e-4, 1.5e-3), (7e9, 2e-4, 6e-4)]
)
def test_the_default_rate_falls_with_size(parameters: float, low: float, high: float) -> None:
    rate, note = default_learning_rate(int(parameters), SHORT_RUN)
    assert low < rate < high
    assert f"{rate:g}" in note


def test_the_default_rate_falls_with_the_root_of_a_runs_steps() -> None:
    runs = (1, SHORTEST_RUN, SHORT_RUN, 4 * SHORT_RUN, 16 * SHORT_RUN)
    found = [default_learning_rate(int(135e6), steps)[0] for steps in runs]
    assert found == [4.1e-3, 4.1e-3, 2.5e-3, 1.3e-3, 6.3e-4]
    assert "760 steps" in default_learning_rate(int(135e6), 760)[1]


def test_the_default_rate_is_near_what_the_sweep_found() -> None:
    best = {1_000: 6.26e-3, 1_962_048: 6.26e-3, 7_948_512: 5.66e-3, 134_515_008: 3.73e-3}
    for parameters, rate in best.items():
        assert default_learning_rate(parameters, SHORTEST_RUN)[0] == pytest.approx(rate, rel=0.1)


def test_a_rate_beyond_the_sweep_is_said_to_be_extrapolated() -> None:
    for rule in (default_learning_rate, default_full_rate, default_preference_rate, default_prefix_rate):
        assert "extrapolated" not in rule(134_515_008, SHORT_RUN)[1]
        assert ", extrapolated from 135 million" in rule(int(596e6), 300)[1]


def test_the_rate_that_is_chosen_falls_with_the_size() -> None:
    rates = [default_scratch_rate(size, 100)[0] for size in (50_000, 1_000_000, 5_000_000, 15_000_000)]
    assert rates == sorted(rates, reverse=True)
    assert "5.0 million new parameters" in default_scratch_rate(5_000_000, 100)[1]


def test_few_labels_are_read_more_often() -> None:
    assert [default_label_epochs(count) for count in (1, 100, 300, 450, 600, 5000)] == [8, 8, 6, 4, 3, 3]


def test_many_examples_are_read_once_as_they_are_and_varied_more_often() -> None:
    counts = (1, 100, 300, 1000, 1499, 1500, 2000, 3000, 50_000)
    assert [default_originals_once(count) for count in counts] == [False] * 5 + [True] * 4
    for once, epochs in ((False, [16, 16, 8, 8, 8, 8, 6, 4, 4]), (True, [16, 16, 8, 8, 8, 12, 9, 6, 6])):
        assert [default_made_epochs(count, once) for count in counts] == epochs
