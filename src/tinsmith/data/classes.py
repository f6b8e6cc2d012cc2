"""Classes of an output: values that are not copied, which arguments are present, which are equal, and the
function called."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tinsmith.data.leaves import ITEM, Leaf, Path, lists_in
from tinsmith.data.slots import Slots, argument, words

PRESENCE, EQUAL, CALLED = "?", "=", ("",)


@dataclass(frozen=True)
class Class:
    """value: JSON. place: indices in the lists on the path."""

    path: Path
    value: str
    place: tuple[int, ...] = ()


def is_value(path: Path) -> bool:
    """Whether a class is a value, and not its presence, an equality, or the function called."""
    return path[-1] not in (PRESENCE, EQUAL) and path != CALLED


def classes_of(
    outputs: Sequence[list[Leaf]], labels: Sequence[str | None], slots: Slots
) -> list[frozenset[Class]]:
    """The classes of each output."""
    copied = {path for path, _ in slots.copied}
    # A null in place of a copied value is like an absent one.
    outputs = [[leaf for leaf in own if leaf.value is not None or leaf.path not in copied] for own in outputs]
    optional, equal = _optional(outputs, labels), _equal(outputs)
    return [
        frozenset((*_classes(own, label, optional.get(label, set()), slots), *same))
        for own, label, same in zip(outputs, labels, equal, strict=True)
    ]


def _is_class(leaf: Leaf, slots: Slots) -> bool:
    """Also true, false, null and texts without words, even of arguments that copy."""
    if leaf.value is None or isinstance(leaf.value, bool):
        return True
    if isinstance(leaf.value, str) and not words(leaf.value):
        return True
    return argument(leaf) not in slots.copied and slots.statistics[argument(leaf)].recurs


def _optional(outputs: Sequence[list[Leaf]], labels: Sequence[str | None]) -> dict[str | None, set[Path]]:
    """By label (such as a function), the paths that some of its outputs lack, or some elements of a list, and
    the lists that are sometimes empty."""
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
    """For texts that always equal one of several other arguments, as a winner does: which one."""
    found: list[dict[Path, list[Path]]] = []
    for own in outputs:
        paths: dict[str, list[Path]] = defaultdict(list)
        for leaf in own:
            if isinstance(leaf.value, str) and not leaf.place:
                paths[leaf.value].append(leaf.path)
        found.append({path: [one for one in same if one != path] for same in paths.values() for path in same})
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
    """The path of the innermost list element around a path; empty for the output itself."""
    return next(reversed(lists_in(path[:-1])), ())


def _there(own: Sequence[Leaf]) -> set[tuple[Path, tuple[int, ...]]]:
    """The paths of an output's leaves and of the elements of its lists, with the place of what holds each."""
    paths = [(path, leaf.place) for leaf in own for path in (leaf.path, *lists_in(leaf.path))]
    return {(path, place[: _holder(path).count(ITEM)]) for path, place in paths}


def _holders(own: Sequence[Leaf]) -> set[tuple[Path, tuple[int, ...]]]:
    """The output itself, and the elements of its lists."""
    elements = [(path, leaf.place) for leaf in own for path in lists_in(leaf.path[:-1])]
    return {((), ())} | {(path, place[: path.count(ITEM)]) for path, place in elements}
