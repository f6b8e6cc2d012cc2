"""Finite automata against Python's own regular expressions and sets of texts."""

from __future__ import annotations

import re
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinsmith.constraint.automata import dfa as dfa_module
from tinsmith.constraint.automata.dfa import (
    Dfa,
    Nfa,
    anything,
    complement,
    determinize,
    difference,
    intersect,
    minimize,
    nothing,
    union,
    words,
)
from tinsmith.errors import ConstraintError

TEXTS = [bytes(t) for k in range(7) for t in product(b"abc", repeat=k)]
PATTERNS = st.recursive(
    st.sampled_from(["a", "b", "c", "[ab]", "[^a]", "ab", "(?:)"]),
    lambda part: st.one_of(
        st.builds("(?:{}|{})".format, part, part),
        st.builds("{}{}".format, part, part),
        st.builds("(?:{})*".format, part),
        st.builds("(?:{}){{1,2}}".format, part),
    ),
    max_leaves=6,
)


def automaton(pattern: str) -> Dfa:
    """Of the patterns above, by Thompson's construction straight from Python's parse of them."""
    nfa = Nfa()
    start, final = nfa.state(), nfa.state()
    _add(nfa, re._parser.parse(pattern), start, final)  # type: ignore[attr-defined]
    return determinize(nfa, start, [final])


def _add(nfa: Nfa, items: object, source: int, target: int) -> None:
    for op, value in items:  # type: ignore[attr-defined]
        after = nfa.state()
        match str(op):
            case "LITERAL":
                nfa.edge(source, value, value, after)
            case "NOT_LITERAL":
                nfa.edge(source, 0, value - 1, after)
                nfa.edge(source, value + 1, 255, after)
            case "IN":
                for kind, one in value:
                    low, high = one if str(kind) == "RANGE" else (one, one)
                    nfa.edge(source, low, high, after)
            case "BRANCH":
                for one in value[1]:
                    _add(nfa, one, source, after)
            case "SUBPATTERN":
                _add(nfa, value[3], source, after)
            case "MAX_REPEAT":
                least, most, part = value
                for _ in range(least):
                    inner = nfa.state()
                    _add(nfa, part, source, inner)
                    source = inner
                if most > 9:
                    loop = nfa.state()
                    nfa.skip(source, loop)
                    _add(nfa, part, loop, loop)
                    source = loop
                else:
                    for _ in range(most - least):
                        nfa.skip(source, after)
                        inner = nfa.state()
                        _add(nfa, part, source, inner)
                        source = inner
                nfa.skip(source, after)
            case other:
                raise ValueError(other)
        source = after
    nfa.skip(source, target)


def accepted(dfa: Dfa) -> set[bytes]:
    return {t for t in TEXTS if dfa.accepts_all(t)}


def matched(pattern: str) -> set[bytes]:
    compiled = re.compile(pattern.encode())
    return {t for t in TEXTS if compiled.fullmatch(t)}


def well_formed(dfa: Dfa) -> bool:
    return all(
        all(low <= high for low, high, _ in edges)
        and all(a[1] < b[0] and (a[1] + 1 < b[0] or a[2] != b[2]) for a, b in pairwise(edges))
        for edges in dfa.edges
    )


def smallest(dfa: Dfa) -> int:
    """States of the smallest automaton, by what tells each pair of states apart (table filling)."""
    states: list[int | None] = [*range(len(dfa.edges)), None]
    apart = {(x, y) for x in states for y in states if (x in dfa.accepts) != (y in dfa.accepts)}
    symbols = sorted({s for edges in dfa.edges for low, high, _ in edges for s in (low, high, high + 1)})
    steps = {s: [dfa.step(s, c) if s is not None else None for c in symbols] for s in states}
    while True:
        more = {
            (x, y)
            for x in states
            for y in states
            if (x, y) not in apart and any(pair in apart for pair in zip(steps[x], steps[y], strict=True))
        }
        if not more:
            break
        apart |= more
    kinds = {frozenset(y for y in states if (x, y) not in apart) for x in states}
    return len(kinds) - 1 if dfa.accepts else 1


@settings(max_examples=150)
@given(PATTERNS)
def test_determinize_and_minimize(pattern: str) -> None:
    dfa = automaton(pattern)
    small = minimize(dfa)
    assert accepted(dfa) == accepted(small) == matched(pattern)
    assert len(small.edges) == smallest(dfa)
    assert well_formed(dfa) and well_formed(small)
    assert minimize(small).edges == small.edges


@settings(max_examples=80)
@given(PATTERNS, PATTERNS)
def test_products(one: str, other: str) -> None:
    a, b, x, y = automaton(one), automaton(other), matched(one), matched(other)
    assert accepted(union(a, b)) == x | y
    assert accepted(intersect(a, b)) == x & y
    assert accepted(difference(a, b)) == x - y
    assert accepted(complement(a)) == set(TEXTS) - x
    assert difference(a, a).empty
    assert len(union(a, b).edges) == len(minimize(union(b, a)).edges)


@settings(max_examples=80)
@given(st.lists(st.text("abc", max_size=6).map(str.encode), max_size=8))
def test_words(texts: list[bytes]) -> None:
    dfa = words(texts)
    assert accepted(dfa) == set(texts)
    assert len(dfa.edges) == smallest(dfa)


def test_all_and_nothing() -> None:
    assert accepted(anything()) == set(TEXTS)
    assert nothing().empty and not accepted(nothing())
    assert complement(anything()).empty
    assert minimize(nothing()).empty


@pytest.mark.parametrize("limit", [3, 9])
def test_limit_is_named(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    nfa = Nfa()
    states = [nfa.state() for _ in range(12)]
    for a, b in pairwise(states):
        nfa.edge(a, 97, 97, b)
    with pytest.raises(ConstraintError, match=f"more than {limit} states"):
        determinize(nfa, 0, [11], limit)
    monkeypatch.setattr(dfa_module, "MOST_STATES", 5)
    with pytest.raises(ConstraintError, match="two conditions together need more than 5 states"):
        intersect(words([b"abcabcabc"]), anything())


def test_long_chains_take_no_longer_than_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[None] = []
    signature = dfa_module._signature
    monkeypatch.setattr(dfa_module, "_signature", lambda *given: (looks.append(None), signature(*given))[1])

    def work(length: int) -> int:
        """How often a state was looked at."""
        looks.clear()
        chain = Dfa((*(((97, 97, k + 1),) for k in range(length)), ((98, 98, length),)), frozenset((length,)))
        assert len(minimize(chain).edges) == length + 1
        return len(looks)

    assert 1_000 < work(16_000) < 40 * work(1_000)  # 256 times as many, were it quadratic
