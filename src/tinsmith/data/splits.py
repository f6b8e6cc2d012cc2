"""What splits of a data set may not share, and splits made so that they don't."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinsmith.data.near import Joined, join_near
from tinsmith.data.readers import Example

LEARNED = "train"  # the split of whatever is in no other
SPLITS = (LEARNED, "validation", "test")


def normalize(text: str) -> str:
    """What two inputs must differ in to count as different: letters and digits, case and spacing aside; where
    there are none, all of it."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = "".join(char if char.isalnum() or _is_mark(char) else " " for char in folded).split()
    return " ".join(word for word in words if any(map(str.isalnum, word))) or text


def _is_mark(char: str) -> bool:
    """On a letter, as Hindi writes its vowels; not one that picks a sign's form."""
    return unicodedata.category(char) in ("Mn", "Mc") and not "\ufe00" <= char <= "\ufe0f"


def shared_inputs(train: Sequence[Example], test: Sequence[Example]) -> list[Example]:
    """The test examples whose input is a training input too: they measure memory, not learning."""
    known = {normalize(example.asked) for example in train}
    return [example for example in test if normalize(example.asked) in known]


@dataclass(frozen=True)
class Division:
    """splits: of each example; keys: of each, what it is known by in a later division; kept: examples that an
    earlier one had; groups: of examples that stay together; near: examples that are not alone in theirs."""

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
    """Assigns each example a split: those of `shares`, or the training split.

    Examples of one group, with the same input, with an image in common, or without images and with inputs
    that are alike by `near` or more are in the same one. Each label is divided by the shares, as far as whole
    groups go, the order drawn by hashes of the seed and the inputs. kept: splits by key, which stay; a new
    example goes where its group is.
    """
    texts = [normalize(example.asked) for example in examples]
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
    owed = _at_least_one(shares, len(examples))
    for label in sorted(strata):
        order = sorted(strata[label], key=lambda first: _hash(f"{seed}", texts[first]))
        _fill(order, sizes, shares, splits, owed)
    return Division(
        splits=_of_rows(members, splits, keys, kept),
        keys=keys,
        kept=sum(key in kept for key in keys),
        groups=len(members),
        near=sum(size for size in sizes.values() if size > 1),
    )


def _groups(examples: Sequence[Example], texts: Sequence[str], near: float) -> dict[int, list[int]]:
    """Places of the examples that stay together, by the place of the one with the least text."""
    joined = Joined(len(examples))
    first: dict[tuple[str, str], int] = {}
    for place, (example, text) in enumerate(zip(examples, texts, strict=True)):
        joined.join(first.setdefault(("text", text), place), place)
        if example.group is not None:
            joined.join(first.setdefault(("group", example.group), place), place)
        for image in example.images:
            joined.join(first.setdefault(("image", image.digest), place), place)
    # Of images the question may be the same in all.
    distinct = [place for (kind, _), place in first.items() if kind == "text" and not examples[place].images]
    if near < 1:
        alike = Joined(len(distinct))
        join_near([texts[place] for place in distinct], near, alike)
        for number, place in enumerate(distinct):
            joined.join(distinct[alike.of(number)], place)
    members: dict[int, list[int]] = defaultdict(list)
    for place in range(len(examples)):
        members[joined.of(place)].append(place)
    return {min(places, key=lambda place: texts[place]): places for places in members.values()}


def _at_least_one(shares: Mapping[str, float], count: int) -> dict[str, float]:
    """What a split is owed before the first label: as much as brings it to one example."""
    return {split: max(0.0, 1 - share * count) for split, share in shares.items()}


def _fill(
    order: Sequence[int],
    sizes: Mapping[int, int],
    shares: Mapping[str, float],
    splits: dict[int, str],
    owed: dict[str, float],
) -> None:
    """Gives the groups of one label their splits. owed: by split, what the labels before this one could not
    give it, since groups and examples are whole; and then this one too."""
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


def _of_rows(
    members: Mapping[int, Sequence[int]],
    splits: Mapping[int, str],
    keys: Sequence[str],
    kept: Mapping[str, str],
) -> list[str]:
    found = {place: splits[first] for first, places in members.items() for place in places}
    return [kept.get(key, found[place]) for place, key in enumerate(keys)]


def _hash(seed: str, text: str) -> str:
    return hashlib.sha256(f"{seed}/{text}".encode()).hexdigest()
