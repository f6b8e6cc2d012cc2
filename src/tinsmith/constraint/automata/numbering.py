"""Numbers for keys in the order of their discovery."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


class Numbering(dict[Key, int]):
    """Looking up a new key numbers it and appends it to `order`, which may be iterated while it grows."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        super().__init__()
        self.order: list[Key] = []
        for key in keys:
            self[key]

    def __missing__(self, key: Key) -> int:
        self[key] = number = len(self.order)
        self.order.append(key)
        return number
