"""JSON texts against Python's json."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.constraint.oracle import Oracle
from tinsmith.constraint.automata.code_points import json_content
from tinsmith.constraint.automata.dfa import CODE_POINTS, Dfa, anything, intersect
from tinsmith.constraint.automata.numbers import integer
from tinsmith.constraint.grammar import NOTHING, Expr, Grammar, Ref
from tinsmith.constraint.machine.automaton import compile_grammar
from tinsmith.constraint.regex import parse
from tinsmith.constraint.schema import json_text
from tinsmith.constraint.schema.formats import format_
from tinsmith.constraint.schema.json_text import Spacing
from tinsmith.errors import ConstraintError

CHARACTERS = list('"\\/a0 \x7f\n\t\x00\x1fé\u2028中\ud7ff\ue000\uffff𐀀😀\U0010ffff')


def oracle(part: Expr, spacing: Spacing = "compact") -> Oracle:
    grammar = Grammar({"start": part})
    json_text.rules(grammar, spacing)
    return Oracle(compile_grammar(grammar, "schema").data)


def accepts(dfa: Dfa, text: str) -> bool:
    return dfa.accepts_all(text.encode())


def random_text(rng: random.Random, most: int = 6) -> str:
    return "".join(rng.choice(CHARACTERS) for _ in range(rng.randint(0, most)))


def random_value(rng: random.Random, depth: int = 3) -> Any:
    kind = rng.randrange(8 if depth else 5)
    if kind < 5:
        return [None, True, rng.randint(-999, 999), rng.uniform(-1e3, 1e3), random_text(rng)][kind]
    if kind == 5:
        return {random_text(rng): random_value(rng, depth - 1) for _ in range(rng.randrange(3))}
    return [random_value(rng, depth - 1) for _ in range(rng.randrange(3))]


def test_both_forms_of_json_dumps_are_accepted() -> None:
    content = json_content(anything())
    codes = [*range(0x3000), *random.Random(1).sample(range(0x3000, CODE_POINTS + 1), 4000)]
    for code in codes:
        if 0xD800 <= code < 0xE000:
            continue
        literal, escaped = (json.dumps(chr(code), ensure_ascii=ascii_)[1:-1] for ascii_ in (False, True))
        assert accepts(content, literal) and accepts(content, escaped), code


def test_one_form_of_what_needs_no_escape() -> None:
    content = json_content(anything())
    for text in (
        '"',
        "\\",
        "\\/",
        "\\u0041",
        "\\u000a",
        "\n",
        "\\ud800",
        "\\ud83d\\u0041",
        "\\ude00",
        "\\x41",
        "\\u00e",
    ):
        assert not accepts(content, text), text
    assert not content.accepts_all(b"\xed\xa0\x80")
    assert accepts(content, "\\uD83D\\uDE00\\u00E9")


@pytest.mark.parametrize("seed", range(4))
def test_a_string_is_what_its_value_says(seed: int) -> None:
    rng = random.Random(seed)
    for pattern in ("[a-z]+", "[^a]*", r'["\\/]{2}', "[é-中😀]*", r"[\x00-\x1f]+", "(?:é|\n){1,3}", r".{2,4}"):
        dfa = parse(pattern)
        content = json_content(dfa)
        for _ in range(150):
            value = random_text(rng, 4)
            inside = dfa.accepts_all(map(ord, value))
            for ascii_ in (False, True):
                assert accepts(content, json.dumps(value, ensure_ascii=ascii_)[1:-1]) == inside, (
                    pattern,
                    value,
                )


def test_everything_accepted_is_read_back() -> None:
    rng = random.Random(2)
    dfa = parse('[a-é\\\\"\n一-丈😀-🙏]{0,5}')
    content = json_content(dfa)
    for _ in range(2000):
        state, out = 0, bytearray()
        while not (state in content.accepts and (not content.edges[state] or rng.random() < 0.1)):
            low, high, state = rng.choice(content.edges[state])
            out.append(rng.randint(low, high))
        assert dfa.accepts_all(map(ord, json.loads(b'"' + out + b'"'))), out


def test_lengths_count_code_points() -> None:
    reader = oracle(json_text.string_length(2, 3))
    for value in ("", "a", "ab", "é😀", '\n\\"', "abc", "abcd", "😀😀😀😀"):
        for ascii_ in (False, True):
            assert reader.accepts(json.dumps(value, ensure_ascii=ascii_).encode()) == (2 <= len(value) <= 3)
    assert oracle(json_text.string_length(2)).accepts(b'"' + b"a" * 500 + b'"')
    both = oracle(json_text.string(intersect(parse("a*b*"), json_text.length(2, 3))))
    assert [both.accepts(f'"{text}"'.encode()) for text in ("a", "ab", "abb", "aabb", "ba")] == [
        False,
        True,
        True,
        False,
        False,
    ]
    with pytest.raises(ConstraintError, match="more than 20,000"):
        json_text.length(0, 1 << 40)


@pytest.mark.parametrize("spacing", ["compact", "spaced", "free"])
def test_any_value(spacing: Spacing) -> None:
    rng = random.Random(3)
    reader = oracle(Ref(json_text.value_rule(spacing)), spacing)
    marks = (",", ":") if spacing == "compact" else (", ", ": ")
    for _ in range(60):
        value = random_value(rng)
        text = json.dumps(value, ensure_ascii=rng.random() < 0.5, separators=marks)
        assert reader.accepts(text.encode()), text
        assert not reader.accepts(text.encode()[:-1] + b"?")
        indented = json.dumps(value, indent=2)
        if spacing == "free":
            assert reader.accepts(indented.encode()), indented
        elif "\n" in indented:
            assert not reader.accepts(indented.encode())
    for bad in ("", "nul", "[1,]", "{,}", '{"a"}', "{1:2}", "[1 2]", '"', "tru", "[", "1]"):
        assert not reader.accepts(bad.encode()), bad


@pytest.mark.parametrize("spacing", ["compact", "spaced", "free"])
def test_a_literal_is_its_value_and_nothing_else(spacing: Spacing) -> None:
    rng = random.Random(4)
    marks = (",", ":") if spacing == "compact" else (", ", ": ")
    for _ in range(40):
        value = random_value(rng)
        reader = oracle(json_text.literal(value, spacing), spacing)
        for ascii_ in (False, True):
            assert reader.accepts(json.dumps(value, ensure_ascii=ascii_, separators=marks).encode()), value
        other = json.dumps(random_value(rng), separators=marks)
        assert not reader.accepts(other.encode()) or json.loads(other) == value


def test_literal_numbers() -> None:
    whole = oracle(json_text.literal(2.0))
    assert whole.accepts(b"2") and whole.accepts(b"2.0") and not whole.accepts(b"2.00")
    assert oracle(json_text.literal(1e22)).accepts(b"1e+22")
    assert not oracle(json_text.literal(True)).accepts(b"1")


def test_shared_expressions_are_the_same_objects() -> None:
    one, other = Grammar(), Grammar()
    json_text.rules(one)
    json_text.rules(other)
    assert all(one.rules[name] is other.rules[name] for name in one.rules)
    assert json_text.string(format_("date")) is json_text.string(format_("date"))
    assert json_text.machine(integer(0, 9)) is json_text.machine(integer(0, 9))
    assert json_text.machine(integer(9, 0)) is NOTHING and json_text.string(parse("[]")) is NOTHING
