"""What several values of an output decide together, where none of them does by itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from tinsmith.data.chance import EVIDENT, TOLD, differing, tell
from tinsmith.data.classes import Path
from tinsmith.data.leaves import Leaf
from tinsmith.data.orders import amount_of, decide, lists_of
from tinsmith.data.slots import Argument, argument

WIDE = 8  # values of an output, up to which it is asked what they are together
LISTS: dict[str, Callable[[list[float]], float]] = {
    "greatest": max,
    "least": min,
    "sum": sum,
    "rise": lambda amounts: amounts[-1] - amounts[0],
}
Found = tuple["Together", Any]  # with what it is in an output


@dataclass(frozen=True)
class Together:
    """Something that values of an output are together: how the numbers of the arguments `compared` stand to
    each other, and what those of `stay` are."""

    name: str
    compared: tuple[Argument, ...] = ()
    stay: tuple[Argument, ...] = ()

    def decides(self, path: Path, seen: Sequence[tuple[Any, str]]) -> bool:
        """Whether it decides the class of a path, and no part of it does. seen: what it was, with the class."""
        if any(own == path for own, _ in self.stay):
            return False
        if self.name in LISTS:
            return decide(seen)
        if not tell(seen):
            return False
        alone = [differing((what[place], value) for what, value in seen)[1] for place in range(len(seen[0][0]))]
        return min(alone) >= EVIDENT and differing(seen)[1] <= TOLD * min(alone)


def deciders(
    classes: Sequence[tuple[int, str]], path: Path, found: Sequence[Sequence[Found]]
) -> list[Together]:
    """What decides a class. classes: of examples, by their numbers; found: of each example."""
    seen: dict[Together, list[tuple[Any, str]]] = defaultdict(list)
    for i, value in classes:
        for one, what in found[i]:
            seen[one].append((what, value))
    return [one for one, pairs in seen.items() if one.decides(path, pairs)]


def together(own: Sequence[Leaf], amounts: Sequence[Leaf], copied: Collection[Argument]) -> Iterator[Found]:
    """What the values of an output are together. amounts: those that are copied and have an order; of wide
    outputs their lists alone are looked at."""
    for several in lists_of(amounts):
        for name, what in LISTS.items():
            yield Together(name, stay=(argument(several[0]),)), what([amount_of(leaf) for leaf in several])
    outer = [leaf for leaf in own if not leaf.place and leaf.value is not None]
    if len(outer) > WIDE:
        return
    said = sorted((argument(leaf), str(leaf.value).casefold()) for leaf in outer)
    texts = [(argued, text) for argued, text in said if argued in copied and argued[1]]
    for (one, text), (other, beside) in combinations(texts, 2):
        yield Together("texts", stay=(one, other)), (text, beside)
    numbers = sorted((argument(leaf), amount_of(leaf)) for leaf in amounts if not leaf.place)
    signs = {(one, other): (a > b) - (a < b) for (one, a), (other, b) in combinations(numbers, 2)}
    if len(numbers) > 2:
        yield Together("signs", compared=tuple(argued for argued, _ in numbers)), tuple(signs.values())
    for pair, sign in signs.items():
        for argued, text in said:
            if argued not in pair:
                yield Together("sign", compared=pair, stay=(argued,)), (sign, text)
