"""Lark grammars: what they accept, asked of llguidance too, and how faults in them are told."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer

from tests.constraint.oracle import Oracle
from tinsmith.constraint import makers
from tinsmith.constraint.grammars import lark
from tinsmith.constraint.grammars.lark_terminals import COMMON
from tinsmith.errors import ConstraintError

BYTES = LLTokenizer("byte")  # a token a byte


def theirs(grammar: str, text: str) -> bool:
    matcher = LLMatcher(BYTES, LLMatcher.grammar_from_lark(grammar), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    tokens = list(text.encode())
    return matcher.try_consume_tokens(tokens) == len(tokens) and bool(matcher.is_accepting())


JSON = r"""
?start: value
?value: object | array | STRING | NUMBER | "true" | "false" | "null"
array: "[" [value ("," value)*] "]"
object: "{" [pair ("," pair)*] "}"
pair: STRING ":" value
%import common.ESCAPED_STRING -> STRING
%import common.SIGNED_NUMBER -> NUMBER
%import common.WS
%ignore WS
"""
ARITHMETIC = """
start: sum
sum: sum "+" product | product   // left recursion
product: product "*" atom | atom
atom: NUMBER | "(" sum ")"       # right nesting
NUMBER: /[0-9]+/ ("." /[0-9]+/)?
%ignore " "
"""

# Grammar, and texts of which some are accepted and some are not: llguidance says which.
LANGUAGES = {
    "strings": (r'start: "a\n\x41\u00e9\\" "\"" ', ['a\nAé\\"', "a\nAé", ""]),
    "any case": ('start: "Straße-K."i', ["STRAßE-k.", "straẞe-\u212a.", "strasse-k.", "Straße-Kx"]),
    "ranges": ('start: "a".."f" "α".."ω"', ["aβ", "gβ", "a", "aa"]),
    "patterns": (r"start: /a.\/[^b]{2,3}\u0041/ /\x42+/s", ["aé/ccAB", "a\n/ccAB", "a\r/cccABB", "ax/cA"]),
    "pattern flags": ("start: /a.b/is /c/i", ["A\nBC", "a\nbc", "ab"]),
    "operators": (
        'start: "a"? "b"* "c"+ "d"~2 "e"~1..2 "f"{2} "g"{,2} "h"{1,} "i"{2,3}',
        ["abcddeffhii", "cddeeffgghhiii", "cddeeeffhii", "cddeffggghii", "cddeffhi", "cdeffhii", "cddeffii"],
    ),
    "groups": ('start: ("a" | "b" "c")+ ["d"] [("e" "f")]', ["a", "bcad", "bcef", "b", "", "de"]),
    "names": ('?start: _a B_1 c-d\n_a: "a"\nB_1: "b"\n!c-d: "c" -> other', ["abc", "ab"]),
    "lines": ('start: "a" // one\n\n  | "b"\n\n\n| c\nc: "c"\n', ["a", "b", "c", "ab", ""]),
    "empty alternatives": ("start: | a\na:\n| B\nB: /x/", ["", "x", "xx"]),
    "terminals of terminals": (
        'start: WORD ("," WORD)*\nWORD: L (L | D)*\nL: /[a-z]/\nD: "0".."9"',
        ["a1,b", "1", "a,,b"],
    ),
    "common": (
        "%import common (INT, WORD)\n%import common.CNAME -> N\nstart: WORD INT N",
        ["a1_b2", "1a", "a1_"],
    ),
    "json": (JSON, ['{"a": [1, -2.5e3, "\\n", null]}', "[]", " 1", "[1,]", '{"a" 1}', "[1] ", '{\n"a"\t:{ }}']),
    "arithmetic": (ARITHMETIC, ["1+2*(3+4.5)", "1 + 2", "((1))", "1+", "1 2", "(1", " 1"]),
    "ignored between": (
        'start: "a"? b*\nb: "b" "c"?\n%ignore " "\n%ignore "_"',
        ["", "a b_c", "b  b", " b", "b_d"],
    ),
    "not in terminals": ('start: AB "c"\nAB: "a" "b"\n%ignore " "', ["ab c", "a bc", "abc"]),
    "schemas": ('start: "x" %json {"items": {"enum": [1]}, "type": "array"}', ["x[1,1]", "x[1.5]", "x"]),
    "no options": ('%llguidance {}\nstart: "a"', ["a", "b"]),
}


@pytest.mark.parametrize("name", LANGUAGES)
def test_language_as_llguidance_has_it(name: str) -> None:
    grammar, texts = LANGUAGES[name]
    oracle = Oracle(makers.grammar(grammar, "lark").data)
    accepted = [oracle.accepts(text.encode()) for text in texts]
    assert accepted == [theirs(grammar, text) for text in texts]
    assert any(accepted)
    assert not all(accepted)


# What llguidance's lexer, which takes the longest terminal, and we, who have none, read differently:
# grammar, text, whether it is accepted here.
DIFFERENCES = {
    "a terminal stops where the next begins": ('start: /[a-z]+/ "s"', "cats", True),
    "a repetition gives back": ('start: A "ab"\nA: "a"*', "aab", True),
    "digits are ASCII": (r"start: /\d/", "\u0967", False),
    "letters are ASCII": (r"start: /\w/", "é", False),
    "schemas are compact": ('start: %json {"type": "array"}', "[1, 2]", False),
    "nothing is ignored at the end": ('start: "a" "b"?\n%ignore " "', "a ", False),
    "what is ignored stands around schemas": (
        'start: "x" %json {"type": "integer"} "y"\n%ignore " "',
        "x 1 y",
        True,
    ),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_language_is_another_one_than_llguidances(name: str) -> None:
    grammar, text, ours = DIFFERENCES[name]
    assert Oracle(makers.grammar(grammar, "lark").data).accepts(text.encode()) == ours
    assert theirs(grammar, text) != ours


COMMON_TEXTS = [
    *[
        "1",
        "12",
        "-3",
        "+4",
        "1.5",
        ".5",
        "5.",
        "1e5",
        "1.e-5",
        "1e",
        "-",
        "-.5e+1",
        "f",
        "G",
        "a",
        "Zz",
        "_a1",
        "9a",
        "",
    ],
    *[
        " ",
        "\t ",
        "\n",
        "\r\n",
        "\r",
        "\f",
        '"a\\"b"',
        '"a',
        "# x",
        "// x",
        "/* a * b **/",
        "/* a */ */",
        "/*/",
        "-- x",
    ],
]


@pytest.mark.parametrize("name", COMMON)
def test_common_terminal_as_llguidance_has_it(name: str) -> None:
    grammar = f"%import common.{name}\nstart: {name}"
    oracle = Oracle(makers.grammar(grammar, "lark").data)
    for text in COMMON_TEXTS:
        assert oracle.accepts(text.encode()) == theirs(grammar, text), text


FAULTS = {
    "start: !a": "1:8: '!' can't stand here",
    'begin: "a"': "there is no rule 'start'",
    "start: nothing": "1:8: the rule nothing is used but not defined; defined are start",
    "start: NOTHING": "1:8: the terminal NOTHING is not defined",
    'start: A\nA: "a" b\nb: "b"': "2:8: the rule b can't stand in a terminal",
    'start: A\nA: "a" B\nB: "b" A': "3:8: the terminal A contains itself",
    'start: "a"\nstart: "b"': "2:1: start is already defined",
    "%import common.INT\nINT: /a/\nstart: INT": "2:1: INT is already defined",
    "%import common.NOTHING\nstart: NOTHING": "there is no common.NOTHING; known are DIGIT, HEXDIGIT",
    "%import python.INT\nstart: INT": "1:9: only %import common.NAME is supported",
    "%declare A\nstart: A": "1:1: an unknown statement",
    '%llguidance {"no_forcing": true}\nstart: "a"': "1:1: an unknown statement",
    'start.2: "a"': "1:6: priorities (.) are not supported",
    'start{a}: "a"': "1:6: templates ({) are not supported",
    'start: x::1\nx::_: "a"': "1:9: parametric rules (::) are not supported",
    'start: "a" %if true': "1:12: conditions (%if) are not supported",
    "start: @json": "1:8: grammars by name (@) are not supported",
    "start: a\na[lazy]: /x/": "2:2: attributes ([) are not supported",
    'start: %regex {"substring_chars": "ab"}': "1:8: substrings (%regex) are not supported",
    'start: %lark { start: "a" }': "1:8: nested grammars (%lark) are not supported",
    "start: <[5]>": "1:8: control tokens (<) are not supported",
    'start: /[a-z]*/ & "a"': "1:17: intersections (&) are not supported",
    'start: ~"a"': "1:8: complements (~) are not supported",
    "start: /a(/": "Lark 1:8: the pattern 'a(' at character 2",
    "start: /a/l": "Lark 1:8: the pattern '(?l)a' at character 1: the flag l",
    'start: "ab".."c"': "1:8: a range is two strings of one character",
    'start: "c".."a"': "1:8: a range is two strings of one character",
    'start: "a"~3..2': "1:11: at least 3 and at most 2 times",
    'start: "a"{2000000}': "1:11: 2,000,000 repetitions",
    "start: A\nA: /a/{100000}{1000}": "'{' can't stand here",
    "start: A\nA: (/ab/{9999}){9999}": "a terminal needs more than 240,000 states",
    "start: 'a'": "1:8: \"'\" can't stand here",
    'start: "a': "1:8: '\"' can't stand here",
    "start: /a": "1:8: '/' can't stand here",
    'start: "\\ud800"': "1:8: U+D800 is no character",
    'start: ("a"': "1:12: expected ')' for what begins at 1:8, not the end of the grammar",
    'start: "a")': "1:11: ')' can't stand here",
    'start: ["a"': "expected ']' for what begins at 1:8",
    "start: %json {": "not JSON",
    'start: A\nA: %json {"type": "null"}': "2:4: %json can't stand in a terminal",
    'start: "' + "k" * 20_000 + '"i': "Lark 1:8: the pattern",
    'start: "a" start': "no text satisfies",
    "start: " + "(" * 60 + '"a"' + ")" * 60: "groups nest more than 50 deep",
    "start: " + '"a"? ' * 300 + '\n%ignore " "': "more than 200 items that may be empty begin a rule",
    "start: %json " + "[" * 100_000: "nested too deep",
}


@pytest.mark.parametrize("grammar", FAULTS, ids=lambda text: repr(text[:30]))
def test_fault(grammar: str) -> None:
    with pytest.raises(ConstraintError, match=re.escape(FAULTS[grammar])):
        makers.grammar(grammar, "lark")


def test_long_chains_of_names_need_no_recursion() -> None:
    names = [f"A{k}" for k in range(3000)]
    chain = "\n".join(f"{a}: {b}" for a, b in pairwise(names))
    assert Oracle(makers.grammar(f'start: A0\n{chain}\n{names[-1]}: "x"', "lark").data).accepts(b"x")
    assert Oracle(makers.grammar(f'start: a0\n{chain.lower()}\n{names[-1].lower()}: "x"', "lark").data).accepts(
        b"x"
    )


SCRAPS = st.sampled_from(
    [
        *'aA \n()[]|*+?{}~&#\\"/.@',
        *(
            "start",
            ": ",
            "start: ",
            "\na: ",
            "\nA: ",
            '"x"',
            "/y/",
            "/y/i",
            "{2}",
            "{1,3}",
            "~2",
            "~1..2",
            "::",
        ),
        *(
            "%ignore ",
            "%import common.INT",
            "%json ",
            "->",
        ),
    ]
)


@settings(max_examples=400, derandomize=True)
@given(st.one_of(st.text(max_size=40), st.lists(SCRAPS, max_size=25).map("".join)))
def test_any_text_is_a_grammar_or_an_error(grammar: str) -> None:
    for form in (grammar, "start: " + grammar):
        try:
            assert lark.read(form).start == "%start"
            makers.grammar(form, "lark")
        except ConstraintError as error:
            assert "\n" not in str(error)
