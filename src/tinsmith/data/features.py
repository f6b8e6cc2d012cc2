"""Classes that several values of an output decide together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from tinsmith.data.chance import EVIDENT, TOLERATED, determine, differing
from tinsmith.data.leaves import Leaf, Path
from tinsmith.data.orders import amount_of, decide, lists_of
from tinsmith.data.slots import Argument, argument

WIDE = 8  # values of an output, up to which pairs are examined
LISTS: dict[str, Callable[[list[float]], float]] = {
    "greatest": max,
    "least": min,
    "sum": sum,
    "rise": lambda amounts: amounts[-1] - amounts[0],
}
Found = tuple["Feature", Any]  # with its value in an output


@dataclass(frozen=True)
class Feature:
    """A feature of several values of an output: the order of the numbers in `compared`, and the values of
    `stay`."""

    name: str
    compared: tuple[Argument, ...] = ()
    stay: tuple[Argument, ...] = ()

    def decides(self, path: Path, seen: Sequence[tuple[Any, str]]) -> bool:
        """Whether it decides the class of a path, and no part of it does. seen: its values with the classes."""
        if any(own == path for own, _ in self.stay):
            return False
        if self.name in LISTS:
            return decide(seen)
        if not determine(seen):
            return False
        parts = range(len(seen[0][0]))
        alone = [differing((feature[part], value) for feature, value in seen)[1] for part in parts]
        return min(alone) >= EVIDENT and differing(seen)[1] <= TOLERATED * min(alone)


def deciders(classes: Sequence[tuple[int, str]], path: Path, found: Sequence[Sequence[Found]]) -> list[Feature]:
    """The features that decide a class. classes: with the indices of their examples. found: by example."""
    seen: dict[Feature, list[tuple[Any, str]]] = defaultdict(list)
    for i, value in classes:
        for one, feature in found[i]:
            seen[one].append((feature, value))
    return [one for one, pairs in seen.items() if one.decides(path, pairs)]


def features(own: Sequence[Leaf], amounts: Sequence[Leaf], copied: Collection[Argument]) -> Iterator[Found]:
    """The features of an output. amounts: copied values with an order. Wide outputs have features of their
    lists alone."""
    for several in lists_of(amounts):
        for name, feature in LISTS.items():
            yield Feature(name, stay=(argument(several[0]),)), feature([amount_of(leaf) for leaf in several])
    outer = [leaf for leaf in own if not leaf.place and leaf.value is not None]
    if len(outer) > WIDE:
        return
    values = sorted((argument(leaf), str(leaf.value).casefold()) for leaf in outer)
    texts = [(name, text) for name, text in values if name in copied and name[1]]
    for (one, text), (other, beside) in combinations(texts, 2):
        yield Feature("texts", stay=(one, other)), (text, beside)
    numbers = sorted((argument(leaf), amount_of(leaf)) for leaf in amounts if not leaf.place)
    signs = {(one, other): (a > b) - (a < b) for (one, a), (other, b) in combinations(numbers, 2)}
    if len(numbers) > 2:
        yield Feature("signs", compared=tuple(name for name, _ in numbers)), tuple(signs.values())
    for pair, sign in signs.items():
        for other, text in values:
            if other not in pair:
                yield Feature("sign", compared=pair, stay=(other,)), (sign, text)
