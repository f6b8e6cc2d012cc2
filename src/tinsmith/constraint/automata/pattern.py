"""Automata of patterns: conditions on the text before and after a position, turned into plain automata.

A condition is a transition without input that constrains the rest of the text. A state carries its open
conditions, as states of the conditions' automata, until any rest of the text satisfies them.
"""

from __future__ import annotations

from collections.abc import Iterator

from tinsmith.constraint.automata.characters import WORD, negated
from tinsmith.constraint.automata.dfa import CODE_POINTS, Dfa, Edge, Nfa, Numbering, determinize, minimize
from tinsmith.errors import ConstraintError

BEGINNING, OTHER, WORD_CHARACTER = range(3)  # the position's left context
# The rest of the text by left context; None: impossible.
Condition = tuple[Dfa | None, Dfa | None, Dfa | None]
Open = frozenset[tuple[Dfa, int]]
Key = tuple[int, int, Open]  # state of the pattern, left context, open conditions

MOST_PATTERN = 20_000  # states of the pattern before determinization
MOST_STATES = 10_000  # and after it


class Pattern(Nfa):
    """conditions[s]: (condition, target). words: whether a condition depends on word characters."""

    def __init__(self) -> None:
        super().__init__()
        self.conditions: list[list[tuple[Condition, int]]] = []
        self.conditional = self.words = False

    def state(self) -> int:
        self.conditions.append([])
        return super().state()

    def condition(self, source: int, condition: Condition, target: int) -> None:
        self.conditions[source].append((condition, target))
        self.conditional = True

    def copy(self, first: int, last: int) -> int:
        """Copies the states first to last - 1, which lead only to each other. Returns the copy's offset."""
        shift = len(self.edges) - first
        self.edges += [[(low, high, to + shift) for low, high, to in out] for out in self.edges[first:last]]
        self.skips += [[to + shift for to in out] for out in self.skips[first:last]]
        self.conditions += [[(one, to + shift) for one, to in out] for out in self.conditions[first:last]]
        return shift

    def cut(self, first: int) -> Pattern:
        """Moves the states from `first` on, which lead only to each other, to a new pattern."""
        part = Pattern()
        part.words = self.words
        part.edges = [[(low, high, to - first) for low, high, to in out] for out in self.edges[first:]]
        part.skips = [[to - first for to in out] for out in self.skips[first:]]
        part.conditions = [[(one, to - first) for one, to in out] for out in self.conditions[first:]]
        part.conditional = any(part.conditions)
        del self.edges[first:], self.skips[first:], self.conditions[first:]
        return part

    def dfa(self, start: int, end: int, before: int = BEGINNING) -> Dfa:
        """All texts from start to end. ConstraintError if it needs too many states."""
        if not self.conditional:
            return minimize(determinize(self, start, (end,), MOST_STATES))
        return _Plain(self, end).dfa((start, before, frozenset()))


class _Plain:
    """Resolves a pattern's conditions for all reachable states."""

    def __init__(self, pattern: Pattern, end: int) -> None:
        self.pattern, self.end = pattern, end
        self.nfa = Nfa()
        self.numbers: Numbering[Key] = Numbering()
        word = [(low, high, WORD_CHARACTER) for low, high in WORD]
        other = [(low, high, OTHER) for low, high in negated(WORD)]
        self.kinds = sorted(word + other) if pattern.words else [(0, CODE_POINTS, OTHER)]

    def dfa(self, start: Key) -> Dfa:
        self.number(start)
        for key in self.numbers.order:
            self.follow(key)
        accepts = [
            number
            for (state, _, conditions), number in self.numbers.items()
            if state == self.end and all(at in dfa.accepts for dfa, at in conditions)
        ]
        return minimize(determinize(self.nfa, 0, accepts, MOST_STATES))

    def number(self, key: Key) -> int:
        if key not in self.numbers:
            self.nfa.state()
        number = self.numbers[key]
        if number >= MOST_PATTERN:
            raise ConstraintError(f"lookaheads and anchors need more than {MOST_PATTERN:,} states; use fewer")
        return number

    def follow(self, key: Key) -> None:
        state, before, conditions = key
        source = self.numbers[key]
        for target in self.pattern.skips[state]:
            self.nfa.skip(source, self.number((target, before, conditions)))
        for condition, target in self.pattern.conditions[state]:
            dfa = condition[before]
            if dfa is not None:
                now = conditions if _met(dfa, 0) else conditions | {(dfa, 0)}
                self.nfa.skip(source, self.number((target, before, now)))
        for edge in self.pattern.edges[state]:
            for low, high, kind, now in self.advance(edge, conditions):
                self.nfa.edge(source, low, high, self.number((edge[2], kind, now)))

    def advance(self, edge: Edge, conditions: Open) -> Iterator[tuple[int, int, int, Open]]:
        """Splits an edge by kind of character, with the open conditions after it."""
        none: Open = frozenset()
        parts = [(max(edge[0], a), min(edge[1], b), kind, none) for a, b, kind in self.kinds]
        for dfa, at in conditions:
            parts = [
                (max(low, a), min(high, b), kind, now if _met(dfa, to) else now | {(dfa, to)})
                for low, high, kind, now in parts
                for a, b, to in dfa.edges[at]
            ]
            parts = [part for part in parts if part[0] <= part[1]]
        return (part for part in parts if part[0] <= part[1])


def _met(dfa: Dfa, state: int) -> bool:
    """Whether any rest of the text is accepted."""
    return state in dfa.accepts and dfa.edges[state] == ((0, CODE_POINTS, state),)
