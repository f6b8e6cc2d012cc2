"""Splits of a data set that share no input, document or image."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinsmith.data.near import DisjointSets, near_groups
from tinsmith.data.readers import Example

LEARNED = "train"  # the split of examples in no other
SPLITS = (LEARNED, "validation", "test")


def normalize(text: str) -> str:
    """The text without case, spacing and punctuation, or unchanged if nothing is left: equal texts are the same
    input."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = "".join(char if char.isalnum() or _is_mark(char) else " " for char in folded).split()
    return " ".join(word for word in words if any(map(str.isalnum, word))) or text


def _is_mark(char: str) -> bool:
    """A mark on a letter, such as Hindi's vowels; no variation selector."""
    return unicodedata.category(char) in ("Mn", "Mc") and not "\ufe00" <= char <= "\ufe0f"


def shared_inputs(train: Sequence[Example], test: Sequence[Example]) -> list[Example]:
    """The test examples whose input is also a training input; they measure memory."""
    known = {normalize(example.prompt) for example in train}
    return [example for example in test if normalize(example.prompt) in known]


@dataclass(frozen=True)
class Division:
    """splits and keys: of each example; a later division finds it by its key. kept: examples of an earlier
    division. groups: of examples that stay together. near: examples in groups of several."""

    splits: list[str]
    keys: list[str]
    kept: int
    groups: int
    near: int


def divide(
    examples: Sequence[Example],
    labels: Sequence[str | None],
    shares: Mapping[str, float],
    near: float,
    seed: int,
    kept: Mapping[str, str],
) -> Division:
    """Assigns each example a split of `shares`, or the training split.

    Examples stay together that share a group, an input or an image, or, without images, have inputs of a
    similarity of at least `near`. Each label is divided by the shares, as far as whole groups allow, in an
    order drawn by hashes of the seed and the inputs. kept: earlier splits by key; a new example follows its
    group.
    """
    texts = [normalize(example.prompt) for example in examples]
    members = _groups(examples, texts, near)
    keys = [_hash("", text)[:16] for text in texts]
    splits: dict[int, str] = {}
    for first, places in members.items():
        known = next((kept[keys[place]] for place in places if keys[place] in kept), None)
        if known is not None:
            splits[first] = known
    strata: dict[str, list[int]] = defaultdict(list)
    for first in members:
        strata[labels[first] or ""].append(first)
    sizes = {first: len(places) for first, places in members.items()}
    # Every split gets at least one example.
    owed = {split: max(0.0, 1 - share * len(examples)) for split, share in shares.items()}
    for label in sorted(strata):
        order = sorted(strata[label], key=lambda first: _hash(f"{seed}", texts[first]))
        _fill(order, sizes, shares, splits, owed)
    found = {place: splits[first] for first, places in members.items() for place in places}
    return Division(
        splits=[kept.get(key, found[place]) for place, key in enumerate(keys)],
        keys=keys,
        kept=sum(key in kept for key in keys),
        groups=len(members),
        near=sum(size for size in sizes.values() if size > 1),
    )


def _groups(examples: Sequence[Example], texts: Sequence[str], near: float) -> dict[int, list[int]]:
    """Indices of the examples that stay together, by the index of the one whose text sorts first."""
    joined = DisjointSets(len(examples))
    first: dict[tuple[str, str], int] = {}
    for place, (example, text) in enumerate(zip(examples, texts, strict=True)):
        joined.union(first.setdefault(("text", text), place), place)
        if example.group is not None:
            joined.union(first.setdefault(("group", example.group), place), place)
        for image in example.images:
            joined.union(first.setdefault(("image", image.digest), place), place)
    # All images may have the same question.
    distinct = [place for (kind, _), place in first.items() if kind == "text" and not examples[place].images]
    if near < 1:
        alike = near_groups([texts[place] for place in distinct], near)
        for number, place in enumerate(distinct):
            joined.union(distinct[alike.find(number)], place)
    members: dict[int, list[int]] = defaultdict(list)
    for place in range(len(examples)):
        members[joined.find(place)].append(place)
    return {min(places, key=lambda place: texts[place]): places for places in members.values()}


def _fill(
    order: Sequence[int],
    sizes: Mapping[int, int],
    shares: Mapping[str, float],
    splits: dict[int, str],
    owed: dict[str, float],
) -> None:
    """Gives the groups of one label their splits. owed: examples that each split lacks after earlier labels,
    since groups are whole; updated."""
    total = sum(sizes[first] for first in order)
    free = [first for first in order if first not in splits]
    learned = len(free) + sum(splits.get(first) == LEARNED for first in order)
    for split, share in shares.items():
        owed[split] += share * total - sum(sizes[first] for first in order if splits.get(first) == split)
        for first in free:
            if first not in splits and sizes[first] <= owed[split] + 0.5 and learned > 1:
                splits[first] = split
                owed[split] -= sizes[first]
                learned -= 1
    splits.update({first: LEARNED for first in free if first not in splits})


def _hash(seed: str, text: str) -> str:
    return hashlib.sha256(f"{seed}/{text}".encode()).hexdigest()
