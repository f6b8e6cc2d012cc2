"""Objects as expressions: declared properties in order, then further keys; or a walk over what was written.

A text may repeat a further key, which parsers read as one key. So at most one further key counts towards
minProperties. Declared keys are written once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from tinsmith.constraint.automata.dfa import Dfa, anything, difference, words
from tinsmith.constraint.grammar import EMPTY, NOTHING, Expr, Repeat, choice, optional, sequence
from tinsmith.constraint.schema import json_text
from tinsmith.constraint.schema.build import Builder
from tinsmith.constraint.schema.shapes import NEVER, Goal, Object
from tinsmith.errors import ConstraintError

MOST_FREE = 8  # declared properties in any order: 2 ** 8 sets of them
MOST_WORDS = 64  # keys of a pattern that are taken for declared ones
LEVELS = 16  # of nested options in one expression


class Pair(NamedTuple):
    """A declared property: key, colon and value."""

    expr: Expr
    required: bool


class Parts(NamedTuple):
    """pairs: in order. extra: any further key and its value; None: there is none. least, most: pairs in all."""

    pairs: list[Pair]
    extra: Expr | None
    least: int
    most: int | None
    where: str

    @property
    def required(self) -> int:
        return sum(pair.required for pair in self.pairs)


def object_(builder: Builder, shape: Object, name: str) -> Expr:
    parts = _parts(builder, _spelled(shape))
    if parts is None:
        return NOTHING
    count, required, further = len(parts.pairs), parts.required, parts.extra is not None
    if further and parts.least >= required + 2:
        raise ConstraintError(
            f"{shape.where}/minProperties: {parts.least} properties can't be enforced where keys are free, as "
            f"one may be written twice; give at most {required + 1}, or declare them and give "
            "'additionalProperties': false"
        )
    if parts.least > count + further or (parts.most is not None and parts.most < max(required, parts.least)):
        return NOTHING
    if builder.options.order == "free" and count + further > 1:
        return _any_order(builder, parts, name)
    # Counts that say something, and that are not simply those of the further keys.
    if parts.least > max(required, 1) or (parts.most is not None and required < count):
        return _counted(builder, parts, name)
    return builder.bracketed("{}", _chain(builder, parts, name), parts.least == 0 and required == 0)


def _parts(builder: Builder, shape: Object) -> Parts | None:
    """None: nothing satisfies it."""
    pairs = []
    for key, goal in shape.known:
        value = builder.value(goal)
        if value is not None:
            pair = sequence((json_text.literal(key), builder.marks.key, value))
            pairs.append(Pair(pair, key in shape.required))
        elif key in shape.required:
            return None
    names = frozenset(key for key, _ in shape.known)
    closed = builder.options.closed and shape.implicit and bool(names)
    extra = []
    for dfa, goal in () if closed else shape.regions:
        keys, value = _keys(dfa, names), builder.value(goal)
        if value is not None and (keys is None or not keys.empty):
            extra.append(sequence((json_text.string(keys), builder.marks.key, value)))
    most = shape.most
    if most is not None and not extra and most >= len(pairs):
        most = None
    return Parts(pairs, choice(extra) if extra else None, shape.least, most, shape.where)


def _chain(builder: Builder, parts: Parts, name: str) -> Expr | None:
    """At least one pair, in order, with its commas: each stands in it once or twice."""
    pairs, extra, then = parts.pairs, parts.extra, builder.then
    more: Expr = EMPTY
    if extra is not None:
        # Where `most` counts, all pairs are written, or there are none.
        left = None if parts.most is None else parts.most - max(len(pairs), 1)
        more = EMPTY if left is not None and left < 0 else Repeat(then(extra), 0, left)
    first = next((k for k, pair in enumerate(pairs) if pair.required), None)
    if first is not None:
        before = [optional(sequence((pair.expr, builder.marks.item))) for pair in pairs[:first]]
        after = [then(pair.expr) if pair.required else optional(then(pair.expr)) for pair in pairs[first + 1 :]]
        return sequence((*before, pairs[first].expr, *after, more))
    grown: Expr | None = None
    for k, pair in enumerate(pairs):
        # Either something stands before it or it comes first.
        grown = (
            pair.expr if grown is None else choice((sequence((grown, optional(then(pair.expr)))), pair.expr))
        )
        if k % LEVELS == LEVELS - 1:
            grown = builder.rule(name, grown)
    if extra is None or parts.most == 0:
        return grown
    only = sequence((extra, more))
    return only if grown is None else choice((sequence((grown, more)), only))


def _counted(builder: Builder, parts: Parts, name: str) -> Expr:
    """In order; a state is where, and how many pairs and further ones were written."""
    pairs, extra, least, most = parts.pairs, parts.extra, parts.least, parts.most
    needed = [k for k, pair in enumerate(pairs) if pair.required]
    enough = max(least, most or 0)

    def moves(state: tuple[int, int, int]) -> Iterable[tuple[Expr, tuple[int, int, int]]]:
        at, count, extras = state
        if most is not None and count + extras >= most:
            return
        last = next((k for k in needed if k >= at), None)
        for k in range(at, len(pairs) if last is None else last + 1):
            yield pairs[k].expr, (k + 1, min(count + 1, enough), 0)
        if extra is not None and last is None:
            yield extra, (len(pairs), count, 1 if most is None else extras + 1)

    def ends(state: tuple[int, int, int]) -> bool:
        at, count, extras = state
        return not any(k >= at for k in needed) and count + bool(extras) >= least

    return builder.walk("{}", name, (0, 0, 0), moves, ends, parts.where)


def _any_order(builder: Builder, parts: Parts, name: str) -> Expr:
    """A state is which pairs, and how many further ones, were written."""
    pairs, extra, least, most = parts.pairs, parts.extra, parts.least, parts.most
    if len(pairs) > MOST_FREE:
        raise ConstraintError(
            f"{parts.where}: {len(pairs)} properties can't stand in any order; at most {MOST_FREE} can with "
            "order='free'; give order='schema'"
        )
    needed = sum(1 << k for k, pair in enumerate(pairs) if pair.required)
    counts = most is not None or least > needed.bit_count()

    def moves(state: tuple[int, int]) -> Iterable[tuple[Expr, tuple[int, int]]]:
        written, extras = state
        if most is not None and (written | needed).bit_count() + extras > most:
            return
        for k, pair in enumerate(pairs):
            if not written >> k & 1:
                yield pair.expr, (written | 1 << k, extras)
        if extra is not None:
            yield extra, (written, 0 if not counts else 1 if most is None else extras + 1)

    def ends(state: tuple[int, int]) -> bool:
        written, extras = state
        count = written.bit_count()
        fits = most is None or count + extras <= most
        return written & needed == needed and fits and count + bool(extras) >= least

    return builder.walk("{}", name, (0, 0), moves, ends, parts.where)


@lru_cache(256)
def _keys(dfa: Dfa | None, names: frozenset[str]) -> Dfa | None:
    """Without these names."""
    if not names:
        return dfa
    declared = words([ord(c) for c in name] for name in sorted(names))
    return difference(anything() if dfa is None else dfa, declared)


def _spelled(shape: Object) -> Object:
    """With the keys of a region of a few words declared: they can be counted then."""
    known = dict(shape.known)
    regions: list[tuple[Dfa | None, Goal]] = []
    for dfa, goal in shape.regions:
        texts = _few(dfa) if dfa is not None and goal != NEVER else None
        if texts is None:
            regions.append((dfa, goal))
        else:
            known |= {word: goal for word in texts if word not in known}
    return replace(shape, known=tuple(known.items()), regions=tuple(regions))


@lru_cache(256)
def _few(dfa: Dfa) -> tuple[str, ...] | None:
    """All texts of an automaton, where they are few."""
    texts: list[str] = []
    waiting = [(0, "")]
    steps = 0
    while waiting:
        state, word = waiting.pop()
        steps += 1
        if state in dfa.accepts:
            texts.append(word)
        size = sum(high - low + 1 for low, high, _ in dfa.edges[state])
        if max(size + len(waiting), len(texts)) > MOST_WORDS or steps > 64 * MOST_WORDS:
            return None
        waiting += [
            (to, word + chr(code)) for low, high, to in dfa.edges[state] for code in range(low, high + 1)
        ]
    return tuple(sorted(texts))
