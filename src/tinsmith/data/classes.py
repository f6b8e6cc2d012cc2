"""Classes: the values of outputs that are not copied, which arguments are there, which equal which, and what is
called."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tinsmith.data.leaves import ITEM, Leaf
from tinsmith.data.slots import Slots, argument, words

Path = tuple[str, ...]
PRESENCE, EQUAL, CALLED = "?", "=", ("",)


@dataclass(frozen=True)
class Class:
    """A value that does not copy, as JSON; place: the indices in the lists that lead to it."""

    path: Path
    value: str
    place: tuple[int, ...] = ()


def is_value(path: Path) -> bool:
    """Whether a class is a value that was seen, and not whether there is one, what it equals, or what is
    called."""
    return path[-1] not in (PRESENCE, EQUAL) and path != CALLED


def classes_of(
    outputs: Sequence[list[Leaf]], labels: Sequence[str | None], slots: Slots
) -> list[frozenset[Class]]:
    """Of each output."""
    copied = {path for path, _ in slots.copied}
    # A null in place of what is copied is as good as none.
    outputs = [[leaf for leaf in own if leaf.value is not None or leaf.path not in copied] for own in outputs]
    optional, equal = _optional(outputs, labels), _equal(outputs)
    return [
        frozenset((*_classes(own, label, optional.get(label, set()), slots), *same))
        for own, label, same in zip(outputs, labels, equal, strict=True)
    ]


def _is_class(leaf: Leaf, slots: Slots) -> bool:
    """Also true, false, null and a text of no word, of an argument that copies."""
    if leaf.value is None or isinstance(leaf.value, bool):
        return True
    if isinstance(leaf.value, str) and not words(leaf.value):
        return True
    return argument(leaf) not in slots.copied and slots.seen[argument(leaf)].recurs


def _optional(outputs: Sequence[list[Leaf]], labels: Sequence[str | None]) -> dict[str | None, set[Path]]:
    """By label, as of a function: the paths that are in some of its outputs, or in some of the elements of a
    list in them; a list's, where some are empty."""
    counts: dict[str | None, Counter[Path]] = defaultdict(Counter)
    total: dict[str | None, Counter[Path]] = defaultdict(Counter)
    for own, label in zip(outputs, labels, strict=True):
        counts[label].update(path for path, _ in _there(own))
        total[label].update(holder for holder, _ in _holders(own))
    return {
        label: {path for path, count in paths.items() if count < total[label][_holder(path)]}
        for label, paths in counts.items()
    }


def _equal(outputs: Sequence[list[Leaf]]) -> list[list[Class]]:
    """Of texts that are always one of several other arguments', as the winner is of two: which one."""
    found: list[dict[Path, list[Path]]] = []
    for own in outputs:
        held: dict[str, list[Path]] = defaultdict(list)
        for leaf in own:
            if isinstance(leaf.value, str) and not leaf.place:
                held[leaf.value].append(leaf.path)
        found.append({path: [one for one in same if one != path] for same in held.values() for path in same})
    others: dict[Path, set[tuple[Path, ...]]] = defaultdict(set)
    for one in found:
        for path, same in one.items():
            others[path].add(tuple(same))
    which = {path for path, seen in others.items() if len(seen) > 1 and all(len(same) == 1 for same in seen)}
    return [
        [Class((*path, EQUAL), json.dumps(same[0])) for path, same in one.items() if path in which]
        for one in found
    ]


def _classes(own: list[Leaf], label: str | None, optional: set[Path], slots: Slots) -> Iterator[Class]:
    lists: dict[tuple[Path, tuple[int, ...]], list[Any]] = defaultdict(list)
    for leaf in own:
        if _is_class(leaf, slots) and leaf.path[-1:] == (ITEM,):
            lists[leaf.path, leaf.place[:-1]].append(leaf.value)
        elif _is_class(leaf, slots):
            yield Class(leaf.path, json.dumps(leaf.value), leaf.place)
    for (path, place), several in lists.items():
        yield Class(path, json.dumps(several), place)
    there, holders = _there(own), _holders(own)
    for path in optional:
        for holder, place in holders:
            if holder == _holder(path):
                yield Class((*path, PRESENCE), json.dumps((path, place) in there), place)
    if label is not None:
        yield Class(CALLED, label)


def _holder(path: Path) -> Path:
    """Of the list's element that a path is in; empty for the output itself."""
    inner = [end for end in range(len(path)) if path[end - 1 : end] == (ITEM,)]
    return path[: inner[-1]] if inner else ()


def _there(own: Sequence[Leaf]) -> set[tuple[Path, tuple[int, ...]]]:
    """The paths of an output's leaves, and of lists that have elements; with the place of what holds each."""
    ends = [(leaf, end) for leaf in own for end in range(1, len(leaf.path) + 1)]
    paths = [
        (leaf.path[:end], leaf.place)
        for leaf, end in ends
        if end == len(leaf.path) or leaf.path[end - 1] == ITEM
    ]
    return {(path, place[: _holder(path).count(ITEM)]) for path, place in paths}


def _holders(own: Sequence[Leaf]) -> set[tuple[Path, tuple[int, ...]]]:
    """The output itself, and the elements of its lists."""
    elements = [
        (leaf.path[:end], leaf.place)
        for leaf in own
        for end in range(1, len(leaf.path))
        if leaf.path[end - 1] == ITEM
    ]
    return {((), ())} | {(path, place[: path.count(ITEM)]) for path, place in elements}
