"""A list of choices: exactly they are accepted."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinsmith
from tests.constraint.oracle import Oracle
from tinsmith.constraint import makers
from tinsmith.constraint.makers import MOST_CHOICES
from tinsmith.errors import ConstraintError


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=12, unique=True), st.text(max_size=6))
def test_only_the_choices_are_accepted(choices: list[str], other: str) -> None:
    constraint = makers.choices(choices)
    oracle = Oracle(constraint.data)
    assert constraint.shortest == min(len(text.encode()) for text in choices)
    assert constraint.depth == 0
    for text in [*choices, other, choices[0] + choices[-1], choices[0][:-1]]:
        assert oracle.accepts(text.encode()) == (text in choices)


def test_common_beginnings_and_ends_share_states() -> None:
    rooms = ("kitchen", "bedroom", "bathroom")
    assert makers.choices([f"{room}_{side}_light" for room in rooms for side in ("north", "south")]).states < 45


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ([], "there are no choices"),
        ("yes", "a list of texts, not one text"),
        (None, "a list of texts, not None; give a list"),
        (["a", "b", "a"], "choice 2, 'a', is choice 0"),
        (["a", ""], "choice 1 is ''"),
        (["a", 5], "choice 1 is 5"),
        (["a", "\ud800"], "choice 1 has half of a surrogate pair"),
        ([str(k) for k in range(MOST_CHOICES + 1)], "10,001 choices; give at most 10,000"),
        ([f"{k:06}" * 10 for k in range(3000)], "the choices have 180,000 bytes; give at most 100,000"),
    ],
)
def test_fault(choices: Any, message: str) -> None:
    with pytest.raises(ConstraintError, match=re.escape(message)):
        tinsmith.choices(choices)
