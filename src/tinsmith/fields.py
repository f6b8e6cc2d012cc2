"""Typed access to a config's keys or a GGUF file's metadata."""

from __future__ import annotations

import reprlib
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tinsmith.errors import FormatError, UnsupportedError

METADATA = "GGUF metadata"


class Fields:
    """Reads values by key; an error names the key, its value and the allowed values. prefix: of all keys."""

    def __init__(self, values: Mapping[str, Any], where: str, prefix: str = "") -> None:
        self.values = values
        self.where = where
        self.prefix = prefix

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(self.prefix + key, default)

    def named(self, key: str) -> str:
        """The beginning of an error: the file, the key and its value."""
        return f"{self.where}: {self.prefix}{key} is {reprlib.repr(self.get(key))}"

    def count(self, key: str, default: int | None = None, most: int = (1 << 31) - 1) -> int:
        given = self.get(key)
        if given is None:
            given = default
        if isinstance(given, bool) or not isinstance(given, int) or not 0 < given <= most:
            raise FormatError(f"{self.named(key)}; it must be a whole number from 1 to {most}")
        return given

    def items(
        self, key: str, what: str, accepts: Callable[[Any], bool], count: int | None = None, default: Any = None
    ) -> list[Any]:
        """A list of `what`: of `count` items, if given, all of which `accepts` takes."""
        given = self.get(key, default)
        counted = isinstance(given, list) and count in (None, len(given))
        if not counted or not all(map(accepts, given)):
            number = "" if count is None else f"{count} "
            raise FormatError(f"{self.named(key)}; it must be a list of {number}{what}")
        return list(given)

    def real(self, key: str, default: float | None = None) -> float:
        given = self.get(key)
        if given is None:
            given = default
        if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given < float("inf"):
            raise FormatError(f"{self.named(key)}; it must be a positive number")
        return float(given)

    def count_or_0(self, key: str) -> int:
        """0 where the key is absent, null or 0."""
        return self.count(key) if self.get(key) else 0

    def real_or_0(self, key: str) -> float:
        """0 where the key is absent, null or 0."""
        return self.real(key) if self.get(key) else 0.0

    def refuse(self, key: str, *allowed: Any) -> None:
        """UnsupportedError unless the key is absent, null or one of `allowed`."""
        given = self.get(key)
        if given is not None and given not in allowed:
            known = ", ".join(repr(one) for one in allowed)
            raise UnsupportedError(f"{self.named(key)}, which is not supported; supported: {known}")


def is_whole(given: Any) -> bool:
    return type(given) is int


def is_string(given: Any) -> bool:
    return isinstance(given, str)


@contextmanager
def errors_at(where: object) -> Iterator[None]:
    """Puts the place before the messages of FormatError and UnsupportedError."""
    try:
        yield
    except (FormatError, UnsupportedError) as error:
        raise type(error)(f"{where}: {error}") from error


def shortest_float32(stored: float) -> float:
    """The shortest decimal that rounds to the same float32: 1e-05 for 9.999999747378752e-06."""
    packed = struct.pack("<f", stored)
    for digits in range(1, 10):
        short = float(f"{stored:.{digits}g}")
        if struct.pack("<f", short) == packed:
            return short
    return stored
