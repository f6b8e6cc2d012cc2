"""Facts go to JSON and come back as what they were; what is something else is refused."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from tinsmith.system.from_json import from_json


@dataclass(frozen=True)
class Part:
    name: str
    share: float | None


@dataclass(frozen=True)
class Whole:
    parts: list[Part]
    counts: dict[str, int]
    more: dict[str, Any] = field(default_factory=dict)
    done: bool = False


WHOLE = Whole([Part("a", 0.5), Part("b", None)], {"a": 1}, {"any": [1, {"thing": None}]}, True)


def test_there_and_back() -> None:
    assert from_json(Whole, json.loads(json.dumps(asdict(WHOLE)))) == WHOLE


def test_what_is_missing_takes_its_default_and_what_is_unknown_is_left_out() -> None:
    assert from_json(Whole, {"parts": [], "counts": {}, "gone": 1}) == Whole([], {})
    assert from_json(Part, {"name": "a", "share": 1}) == Part("a", 1)


@pytest.mark.parametrize(
    "change",
    [
        {"parts": {}},
        {"parts": [1]},
        {"parts": [{"name": "a"}]},
        {"parts": [{"name": "a", "share": "much"}]},
        {"parts": [{"name": 1, "share": 1.0}]},
        {"counts": {"a": True}},
        {"counts": {"a": 0.5}},
        {"counts": [1]},
        {"done": 1},
        {"done": None},
    ],
)
def test_another_kind_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        from_json(Whole, {**asdict(WHOLE), **change})
    with pytest.raises(ValueError):
        from_json(Whole, [asdict(WHOLE)])
