"""Grammars become automata of the same language. What a grammar says is told by its texts up to a length, which
a least fixed point over sets of texts gives: no automaton and no stack."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.constraint.oracle import Oracle, one_byte
from tinsmith.constraint.automata.dfa import words
from tinsmith.constraint.grammar import (
    EMPTY,
    NOTHING,
    Choice,
    Expr,
    Grammar,
    Literal,
    Machine,
    Ref,
    Repeat,
    Sequence,
    choice,
    optional,
    sequence,
    text,
    token,
)
from tinsmith.constraint.machine import automaton, network
from tinsmith.constraint.machine.automaton import compile_grammar
from tinsmith.errors import ConstraintError

LONGEST = 6
Texts = frozenset[bytes]
ALPHABET = b"ab"


def texts(grammar: Grammar, longest: int = LONGEST) -> Texts:
    """All texts of a grammar up to a length."""
    rules: dict[str, Texts] = dict.fromkeys(grammar.rules, frozenset())
    while True:
        new = {name: _texts(expr, rules, longest) for name, expr in grammar.rules.items()}
        if new == rules:
            return rules[grammar.start]
        rules = new


def _join(a: Texts, b: Texts, longest: int) -> Texts:
    return frozenset(x + y for x in a for y in b if len(x) + len(y) <= longest)


def _texts(expr: Expr, rules: dict[str, Texts], longest: int) -> Texts:
    match expr:
        case Literal(data):
            return frozenset((data,)) if len(data) <= longest else frozenset()
        case Machine(dfa):
            every = (bytes(t) for k in range(longest + 1) for t in product(ALPHABET, repeat=k))
            return frozenset(t for t in every if dfa.accepts_all(t))
        case Sequence(parts):
            joined: Texts = frozenset((b"",))
            for part in parts:
                joined = _join(joined, _texts(part, rules, longest), longest)
            return joined
        case Choice(parts):
            return frozenset().union(*(_texts(part, rules, longest) for part in parts))
        case Ref(name):
            return rules[name]
        case Repeat(part, least, most):
            one = _texts(part, rules, longest)
            now, joined, times = frozenset((b"",)), frozenset(), 0
            while most is None or times <= most:
                if times >= least:
                    joined |= now
                after = _join(now, one, longest)
                if after == now:  # and so it stays
                    return joined | now
                now, times = after, times + 1
                if not now:
                    break
            return joined
    raise TypeError(expr)


def accepted(oracle: Oracle, longest: int = LONGEST, alphabet: bytes = ALPHABET) -> Texts:
    taken = set()
    level = [(b"", oracle.begin())]
    while level:
        after = []
        for prefix, configurations in level:
            if oracle.ends(configurations):
                taken.add(prefix)
            if len(prefix) < longest:
                after += [(prefix + bytes((b,)), c) for b in alphabet if (c := oracle.step(configurations, b))]
        level = after
    return frozenset(taken)


def same(rules: dict[str, Expr], longest: int = LONGEST) -> Oracle:
    """The oracle of a grammar, which accepts what the grammar says and no more."""
    grammar = Grammar(rules)
    constraint = compile_grammar(grammar, "gbnf")
    oracle = Oracle(constraint.data)
    assert accepted(oracle, longest) == texts(grammar, longest)
    assert oracle.shortest == constraint.shortest
    assert len(oracle.states) == constraint.states
    return oracle


NAMES = ("start", "x", "y", "z")
LEAVES = st.one_of(
    st.text("ab", max_size=2).map(text),
    st.sampled_from([one_byte((97, 98)), one_byte((98, 98)), NOTHING]),
    st.sampled_from(NAMES).map(Ref),
    st.lists(st.text("ab", max_size=3).map(str.encode), min_size=1, max_size=3).map(
        lambda t: Machine(words(t))
    ),
)


def _parts(parts: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    few = st.lists(parts, max_size=3)
    bounds = st.tuples(st.integers(0, 3), st.one_of(st.none(), st.integers(0, 3), st.just(200)))
    return st.one_of(
        few.map(lambda p: Sequence(tuple(p))),
        few.map(lambda p: Choice(tuple(p))),
        st.builds(lambda p, b: Repeat(p, b[0], None if b[1] is None else b[0] + b[1]), parts, bounds),
    )


GRAMMARS = st.fixed_dictionaries({name: st.recursive(LEAVES, _parts, max_leaves=6) for name in NAMES})


@settings(max_examples=300)
@given(GRAMMARS, st.sampled_from([(8, 64), (0, 64), (0, 2)]))
def test_random_grammars_against_their_texts(rules: dict[str, Expr], limits: tuple[int, int]) -> None:
    grammar = Grammar(rules)
    expected = texts(grammar)
    small, unrolled = network.SMALL, network.UNROLLED
    network.SMALL, network.UNROLLED = limits  # with and without calls
    try:
        data = compile_grammar(grammar, "gbnf").data
    except ConstraintError as error:
        assert "no text" in str(error)
        assert not expected
        return
    finally:
        network.SMALL, network.UNROLLED = small, unrolled
    oracle = Oracle(data)
    assert accepted(oracle) == expected
    assert bool(expected) or oracle.shortest > LONGEST
    if expected:
        assert oracle.shortest == min(map(len, expected))


A, B, C = text("a"), text("b"), text("c")
START, X, Y, Z = map(Ref, NAMES)

RECURSIVE: list[dict[str, Expr]] = [
    {"start": choice([sequence([START, A]), B])},
    {"start": choice([sequence([START, START]), A, B, EMPTY])},
    {"start": choice([sequence([A, START]), B])},
    {"start": choice([sequence([A, START, B]), EMPTY])},
    {"start": choice([sequence([optional(B), START, A]), B])},  # hidden behind what may be empty
    {"start": choice([sequence([X, START, A]), B]), "x": Repeat(Y, 0, 500), "y": optional(B)},
    {
        "start": choice([sequence([X, A]), B]),
        "x": choice([sequence([Y, B]), A]),
        "y": choice([START, sequence([X, A])]),
    },
    {"start": choice([sequence([Repeat(START, 2, 900), A]), B])},  # counted, and to the left
    {"start": choice([sequence([Repeat(START, 1, None), A]), B, EMPTY])},
    {"start": choice([START, A])},
    {"start": X, "x": Y, "y": choice([X, sequence([A, START]), B])},
    {"start": sequence([X, X]), "x": choice([EMPTY, sequence([A, X, B]), sequence([X, A])])},
    {"start": Repeat(X, 0, None), "x": choice([sequence([A, X, A]), sequence([B, X, B]), EMPTY])},
]


@pytest.mark.parametrize("rules", RECURSIVE)
def test_recursion(rules: dict[str, Expr]) -> None:
    same(rules, 7)


def test_left_and_right_recursion_need_no_stack() -> None:
    left = compile_grammar(Grammar({"start": choice([sequence([START, A]), B])}), "gbnf")
    right = compile_grammar(Grammar({"start": choice([sequence([A, START]), B])}), "gbnf")
    mutual = compile_grammar(
        Grammar(
            {"start": choice([sequence([A, X]), B]), "x": choice([sequence([B, START]), sequence([A, X]), A])}
        ),
        "gbnf",
    )
    assert (left.depth, right.depth, mutual.depth) == (0, 0, 0)
    assert compile_grammar(Grammar({"start": choice([sequence([A, START, B]), A])}), "gbnf").depth is None


def test_depth_counts_frames() -> None:
    rules: dict[str, Expr] = {
        "start": sequence([X, A, X]),
        "x": sequence([B, Y, A, Y, Repeat(B, 9)]),
        "y": sequence([Z, Repeat(A, 9), Z, A]),
        "z": Literal(b"abababababababab"),
    }
    assert compile_grammar(Grammar(rules), "gbnf").depth == 3
    rules["x"] = sequence([B, Y, A, Repeat(B, 9), Y])  # its last call needs no frame, its first does
    assert compile_grammar(Grammar(rules), "gbnf").depth == 3
    rules["y"] = sequence([Z, Repeat(A, 9), Z])
    rules["x"] = sequence([Repeat(B, 9), Y])
    assert compile_grammar(Grammar(rules), "gbnf").depth == 2


def test_distances_are_those_of_the_shortest_texts() -> None:
    oracle = same(
        {"start": sequence([Repeat(X, 3, 700), B]), "x": choice([sequence([A, X, B]), text("ab")])}, 12
    )
    assert oracle.shortest == 7
    for prefix, left in ((b"", 7), (b"a", 6), (b"aa", 7), (b"aaabb", 6), (b"ababab", 1), (b"abababab", 1)):
        assert min(length(oracle, configuration) for configuration in oracle.walk(prefix)) == left, prefix


def length(oracle: Oracle, configuration: tuple[int, int]) -> int:
    """Bytes of the shortest way to the end, by the distances in the file."""
    state, stack = configuration
    total = oracle.states[state][3]
    while stack:
        below, call, done = oracle.frames[stack]
        enter, leave, least, _, _ = oracle.calls[call]
        total += max(least - done - 1, 0) * oracle.states[enter][3] + oracle.states[leave][3]
        stack = below
    return total


@settings(max_examples=100)
@given(GRAMMARS)
def test_distances_by_trying(rules: dict[str, Expr]) -> None:
    try:
        oracle = Oracle(compile_grammar(Grammar(rules), "gbnf").data)
    except ConstraintError:
        return
    taken = accepted(oracle)
    for prefix in (t[:k] for t in sorted(taken)[:5] for k in range(len(t))):
        best = min(length(oracle, configuration) for configuration in oracle.walk(prefix))
        assert best == min((len(t) - len(prefix) for t in taken if t.startswith(prefix)), default=best), prefix


def test_large_repeats_are_counted() -> None:
    item = text("item,")
    constraint = compile_grammar(Grammar({"start": sequence([Repeat(item, 20, 2**31), B])}), "gbnf")
    assert constraint.states < 12
    oracle = Oracle(constraint.data)
    for times in (0, 1, 19, 20, 21, 400):
        assert oracle.accepts(b"item," * times + b"b") == (times >= 20)
    for least, most in ((0, 30), (13, 13), (1, 400), (25, None)):
        oracle = Oracle(compile_grammar(Grammar({"start": Repeat(item, least, most)}), "gbnf").data)
        for times in (0, 1, 12, 13, 14, 24, 25, 26, 30, 31, 399, 400, 401):
            assert oracle.accepts(b"item," * times) == (times >= least and (most is None or times <= most))


def test_rules_used_from_several_places_share_their_states() -> None:
    word = Machine(words([b"a long word", b"another one"]))
    one = compile_grammar(Grammar({"start": sequence([X, A]), "x": word}), "gbnf")
    many = compile_grammar(Grammar({"start": sequence([X, A, X, B, X, C]), "x": word}), "gbnf")
    assert many.states < one.states + 12
    assert Oracle(many.data).accepts(b"a long wordaanother onebanother onec")
    assert not Oracle(many.data).accepts(b"a long wordaanother onea")


def test_control_tokens_are_bytes() -> None:
    oracle = Oracle(compile_grammar(Grammar({"start": sequence([token(258), A])}), "gbnf").data)
    assert oracle.accepts(b"\xff\x00\x01\x02a")


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"start": NOTHING}, "no text satisfies"),
        ({"start": sequence([A, START])}, "no text satisfies"),
        ({"start": sequence([A, X]), "x": sequence([START, B])}, "no text satisfies"),
        ({"start": Repeat(Repeat(text("aa"), 2**31, 2**31), 2, 2)}, "shortest text has"),
        ({"start": Literal(b"a" * 300_000)}, "250,000 states"),
        ({"start": sequence([Repeat(choice([A, B])), A, *[choice([A, B])] * 30])}, "60,000 states"),
        ({f"r{k}" if k else "start": Ref(f"r{k + 1}") for k in range(60_000)}, "50,000 rules"),
    ],
)
def test_what_can_not_be_is_an_error(rules: dict[str, Expr], message: str) -> None:
    with pytest.raises(ConstraintError, match=re.escape(message)) as error:
        compile_grammar(Grammar(rules), "gbnf")
    assert "\n" not in str(error.value)


def test_what_can_not_be_within_what_can_is_left_out() -> None:
    same({"start": choice([sequence([A, X]), B, sequence([A, NOTHING])]), "x": choice([sequence([B, X, A])])})
    same({"start": choice([sequence([A, X]), B]), "x": choice([X, EMPTY])})


def test_deep_and_long_expressions_need_no_recursion() -> None:
    deep: Expr = A
    for _ in range(20_000):
        deep = Choice((Sequence((deep, EMPTY)), NOTHING))
    assert compile_grammar(Grammar({"start": deep}), "gbnf").states == 2
    chain: dict[str, Expr] = {
        f"r{k}": sequence([Ref(f"r{k + 1}"), optional(Ref(f"r{k + 1}"))]) for k in range(3000)
    }
    oracle = Oracle(
        compile_grammar(Grammar({"start": Ref("r0"), **chain, "r3000": Literal(b"0123456789")}), "gbnf").data
    )
    assert oracle.accepts(b"0123456789") and oracle.accepts(b"0123456789" * 2)
    doubled: Expr = text("ab")
    for _ in range(60):
        doubled = Sequence((doubled, doubled))
    with pytest.raises(ConstraintError, match="states before equal ones are merged"):
        compile_grammar(Grammar({"start": doubled}), "gbnf")


def test_the_same_grammar_gives_the_same_bytes() -> None:
    script = """
import hashlib
from tinsmith.constraint.machine.automaton import compile_grammar
from tinsmith.constraint.grammar import *
word = Repeat(Machine(Dfa((((97, 122, 1),), ()), frozenset((1,)))), 1, 90)
value = choice([text("null"), Ref("array"), Ref("object"), sequence([text('"'), Ref("word"), text('"')])])
rules = {
    "start": Ref("value"), "value": value, "word": word,
    "pair": sequence([Ref("word"), text(":"), Ref("value")]),
    "array": sequence([text("["), Ref("value"), Repeat(sequence([text(","), Ref("value")])), text("]")]),
    "object": sequence([text("{"), Ref("pair"), Repeat(sequence([text(","), Ref("pair")]), 0, 70), text("}")]),
    "left": choice([sequence([Ref("left"), text("!")]), text("?")]),
}
print(hashlib.sha256(compile_grammar(Grammar(rules), "gbnf").data).hexdigest())
"""
    seen = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(seen) == 1


def test_format_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    grammar = Grammar({"start": sequence([X, A, X]), "x": choice([sequence([A, X, B]), A])})
    monkeypatch.setattr(automaton, "MOST_CALLS", 1)
    with pytest.raises(ConstraintError, match="calls of at most 1"):
        compile_grammar(grammar, "gbnf")
    monkeypatch.setattr(automaton, "MOST_BYTES", 100)
    monkeypatch.setattr(automaton, "MOST_CALLS", 100)
    with pytest.raises(ConstraintError, match="MiB of 0"):
        compile_grammar(grammar, "gbnf")
