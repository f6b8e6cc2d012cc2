"""What reading takes grows with what is read, whatever stands there."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest

from tests.system.growth import growth
from tinsmith.errors import InputError
from tinsmith.system import reading


def digits(size: int) -> str:
    """A text of runs of digits, each one short of a number that is refused."""
    return '"' + ("1" * 299 + "a") * (size // 300) + '"'


def exponents(size: int) -> str:
    return '"' + "e+12" * (size // 4) + '"'


def escaped(size: int) -> str:
    """Whose texts have to be looked at: one is half of a pair, as far as its beginning tells."""
    return '["\\ud83d\\ude00"' + ',"a"' * (size // 4) + "]"


def nested(size: int) -> str:
    """Places in it are long: a hundred keys of 60 characters lead there."""
    return ('{"' + "k" * 60 + '":') * 100 + escaped(size) + "}" * 100


@pytest.mark.parametrize("kind", [digits, exponents, escaped, nested])
def test_reading_json_takes_time_by_its_length(kind: Callable[[int], str]) -> None:
    def read(source: str) -> object:
        return reading.json(source, "x")

    assert growth(read, kind(100_000), kind(200_000)) < 3


def test_runs_of_digits_take_no_longer_than_letters() -> None:
    letters = '"' + "b" * len(digits(300_000)) + '"'
    assert growth(lambda source: reading.json(source, "x"), letters, digits(300_000)) < 10


def test_places_are_not_kept_for_every_value() -> None:
    source = nested(100_000)
    tracemalloc.start()
    try:
        reading.json(source, "x")
        assert tracemalloc.get_traced_memory()[1] < 20 * len(source)
    finally:
        tracemalloc.stop()


def test_every_value_and_key_has_its_place() -> None:
    value = {"a": [1, {"b": "x"}], "c": {}, "d": [[]]}
    assert list(reading.leaves(value)) == [
        ("a key in the table", "a"),
        ("a key in the table", "c"),
        ("a key in the table", "d"),
        ("a[0]", 1),
        ("a key in a[1]", "b"),
        ("a[1].b", "x"),
    ]
    assert list(reading.leaves(5)) == [("", 5)]
    with pytest.raises(InputError, match=r"x: a\[1\]\.b has an unpaired surrogate"):
        reading.json('{"a": [1, {"b": "\\ud800"}]}', "x")


def test_kinds_of_values() -> None:
    values = [{}, [], "a", True, None, 1, 1.5, b"a", (1,)]
    assert [reading.kind(value) for value in values] == [
        *("an object", "a list", "a text", "true or false", "null", "a number", "a number"),
        *("a value of type bytes", "a value of type tuple"),
    ]
