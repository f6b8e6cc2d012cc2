"""Checks of numbers from callers; a wrong type or a value out of range is an InputError of one line.

The C core takes 32 and 64 bits and would truncate larger numbers.
"""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Iterable
from typing import Any

from tinsmith.errors import InputError

INT32 = (1 << 31) - 1
UINT64 = (1 << 64) - 1


def whole(name: str, given: Any, low: int = 0, high: int = INT32) -> int:
    """A whole number from `low` to `high`, of any integer type (also numpy's) except bool."""
    try:
        number = operator.index(given)
    except TypeError:
        number = low - 1
    if isinstance(given, bool) or not low <= number <= high:
        raise InputError(f"{name} is {_shown(given)}; give a whole number from {low} to {high}")
    return number


def real(name: str, given: Any, low: float, high: float) -> float:
    try:
        number = float(given)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if isinstance(given, str | bytes) or not low <= number <= high:
        raise InputError(f"{name} is {_shown(given)}; give a number from {low:g} to {high:g}")
    return number


def token_ids(given: Iterable[Any], vocab: int, what: str = "the prompt") -> list[int]:
    """Checks token ids against a vocabulary of `vocab` tokens."""
    try:
        if isinstance(given, bytes | bytearray | memoryview):
            raise TypeError
        ids = [operator.index(token) for token in given]
    except TypeError:
        raise InputError(f"{what} is neither a text nor a list of whole numbers, tokens' ids") from None
    if ids and not 0 <= min(ids) <= max(ids) < vocab:
        at = next(at for at, token in enumerate(ids) if not 0 <= token < vocab)
        raise InputError(
            f"{what}: token {at + 1}, {_shown(ids[at])}, is not in the vocabulary of {vocab}; "
            f"give 0 to {vocab - 1}"
        )
    return ids


def _shown(given: Any) -> str:
    try:
        return reprlib.repr(given)
    except ValueError:  # an int of more digits than Python writes
        return "a number of thousands of digits"
