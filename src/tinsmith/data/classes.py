"""Classes of an output: values that are not copied, which paths are there, and the function called."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tinsmith.data.leaves import ITEM, Leaf, Path, lists_in
from tinsmith.data.slots import Slots, argument, words

PRESENT, CALLED = "?", ("",)


@dataclass(frozen=True)
class Class:
    """value: JSON. place: indices in the lists on the path."""

    path: Path
    value: str
    place: tuple[int, ...] = ()


def is_value(path: Path) -> bool:
    """Whether a class is a value, and not which paths are there, or the function called."""
    return path[-1] != PRESENT and path != CALLED


def classes_of(
    outputs: Sequence[list[Leaf]], labels: Sequence[str | None], slots: Slots
) -> list[frozenset[Class]]:
    """The classes of each output."""
    copied = {path for path, _ in slots.copied}
    # A null in place of a copied value is like an absent one.
    outputs = [[leaf for leaf in own if leaf.value is not None or leaf.path not in copied] for own in outputs]
    return [frozenset(_classes(own, label, slots)) for own, label in zip(outputs, labels, strict=True)]


def _classes(own: list[Leaf], label: str | None, slots: Slots) -> Iterator[Class]:
    lists: dict[tuple[Path, tuple[int, ...]], list[Any]] = defaultdict(list)
    # By output or element of a list: the paths there.
    present: dict[tuple[Path, tuple[int, ...]], set[Path]] = defaultdict(set)
    present[(), ()] = set()
    for leaf in own:
        if _is_class(leaf, slots) and leaf.path[-1:] == (ITEM,):
            lists[leaf.path, leaf.place[:-1]].append(leaf.value)
        elif _is_class(leaf, slots):
            yield Class(leaf.path, json.dumps(leaf.value), leaf.place)
        holders = [(), *lists_in(leaf.path)]
        for holder, path in zip(holders, [*holders[1:], leaf.path], strict=True):
            present[holder, leaf.place[: holder.count(ITEM)]].add(path)
    for (path, place), several in lists.items():
        yield Class(path, json.dumps(several), place)
    for (holder, place), paths in present.items():
        yield Class((*holder, PRESENT), json.dumps(sorted(paths)), place)
    if label is not None:
        yield Class(CALLED, label)


def _is_class(leaf: Leaf, slots: Slots) -> bool:
    """Also true, false, null and texts without words, even of arguments that copy."""
    if leaf.value is None or isinstance(leaf.value, bool):
        return True
    if isinstance(leaf.value, str) and not words(leaf.value):
        return True
    return argument(leaf) not in slots.copied and slots.statistics[argument(leaf)].recurs
