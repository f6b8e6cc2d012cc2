"""Regular expressions against Python's own, and by hand where the two differ."""

from __future__ import annotations

import random
import re
import time
import unicodedata

import pytest

from tinsmith.constraint import makers
from tinsmith.constraint.automata.characters import any_case, category
from tinsmith.constraint.automata.code_points import utf8
from tinsmith.constraint.automata.dfa import CODE_POINTS, Dfa, anything
from tinsmith.constraint.regex import parse, search
from tinsmith.errors import ConstraintError

LETTERS = "aabbcA1 -.\n\ré"
ATOMS = [
    "a",
    "b",
    "c",
    "ab",
    ".",
    "[ab]",
    "[^a]",
    r"\d",
    r"\w",
    r"\W",
    r"\s",
    "-",
    r"\.",
    "[a-c]",
    r"[^\w]",
    "é",
    r"\n",
]
REPEATS = ["*", "+", "?", "{2}", "{1,3}", "{2,}", "*?", "+?", "{0,2}", "{0}", "{0,}"]


def matches(dfa: Dfa, text: str) -> bool:
    return dfa.accepts_all(map(ord, text))


def pattern(rng: random.Random, depth: int) -> str:
    """A random one, of what Python reads the same way."""
    if depth == 0:
        return rng.choice(ATOMS)

    def inner() -> str:
        return pattern(rng, depth - 1)

    kind = rng.choices(
        ("atom", "row", "either", "group", "repeat", "look", "word", "ends", "case"),
        (7, 4, 3, 2, 3, 1, 1, 1, 0.5),
    )[0]
    match kind:
        case "atom":
            return rng.choice(ATOMS)
        case "row":
            return inner() + inner()
        case "either":
            return f"(?:{inner()}|{inner()})"
        case "group":
            return f"{rng.choice(['(', '(?:', f'(?P<n{rng.randrange(10**9)}>'])}{inner()})"
        case "repeat":
            return f"(?:{inner()}){rng.choice(REPEATS)}"
        case "look":
            return f"{rng.choice(['(?=', '(?!'])}{inner()}){inner()}"
        case "word":
            # Python's \B is not in the empty text; ECMA's is.
            return rf"\b{inner()}"
        case "ends":
            return rng.choice(["^", ""]) + inner() + rng.choice([r"\Z", ""])
        case "end":
            return rf"{inner()}(?!{inner()}$)"
        case _:
            return f"(?i:{inner()})"


@pytest.mark.parametrize("seed", range(8))
def test_random_patterns_mean_what_python_says(seed: int) -> None:
    rng = random.Random(seed)
    accepted = 0
    for _ in range(80):
        written = pattern(rng, 4)
        # ASCII classes are ECMA's. Word boundaries of Unicode are not ours.
        theirs = [
            re.compile(written, flag) for flag in ((re.ASCII,) if r"\b" in written else (re.ASCII, re.UNICODE))
        ]
        whole, anywhere = parse(written), search(written)
        for _ in range(25):
            text = "".join(rng.choice(LETTERS) for _ in range(rng.randint(0, 7)))
            accepted += matches(whole, text)
            for dfa, matched in (
                (whole, {bool(one.fullmatch(text)) for one in theirs}),
                (anywhere, {bool(one.search(text)) for one in theirs}),
            ):
                if {"é", "\r"}.isdisjoint(text):
                    assert {matches(dfa, text)} == matched, (written, text)
                else:
                    assert not matches(dfa, text) or matched == {True}, (written, text)
    assert accepted > 50


@pytest.mark.parametrize(
    ("written", "yes", "no"),
    [
        (r"[a-z]{2,}", ["ab", "xyz"], ["a", "aB", ""]),
        (r"a{,x}b{", ["a{,x}b{"], ["ab"]),
        (r"\x41\u0042\u{43}\u{1F600}\uD83D\uDE00\U0001F600", ["ABC😀😀😀"], ["ABC"]),
        (r"\0\t\v\f\r", ["\0\t\v\f\r"], ["0tvfr"]),
        (r"[^]", ["\n", "😀"], [""]),
        (r"[]", [], ["", "a"]),
        (r"[\]\-a\b\d]+", ["]-a\b1"], ["b", "\\"]),
        (r"[a\-z]+", ["a-z"], ["b"]),
        (r"\W\D\S[^\w\s]", ["- -."], ["é---", "-٣--", "--\x85-", "---\ufeff"]),
        (r"\w\d\s[^\W\D\S]", [], ["é1 1", "a٣ 1", "a1\ufeff1", "a1 1"]),
        (r"(?!\w|\d\s|.\n).*", ["-", ""], ["é", "\u0663", "\r"]),
        (r"(?!a$)a.?", ["ab"], ["a"]),
        (r".", ["a", "\x85"], ["\n", "\r", "\u2028", ""]),
        (r"(?s).", ["\n"], [""]),
        (r"\p{Lu}\P{L}\p{L}\p{Nd}\pN", ["Ä-ß٣Ⅷ"], ["ä-ß٣Ⅷ"]),
        (r"\p{ASCII}\p{Any}", ["a\U0010ffff"], ["éa"]),
        (r"[^\p{L}\d]+", ["-_!"], ["a", "1"]),
        (r"(?i)straße[k-m]", ["STRAßEL", "ſtraßeK"], ["STRASSEL"]),
        (r"(?i:a)b", ["Ab", "ab"], ["AB"]),
        (r"(?i)[^a]", ["b"], ["a", "A"]),
        (r"(?i)[\W]", ["-"], ["k"]),
        (r"(?<year>\d{4})-(?P<month>\d\d)", ["2024-02"], ["2024-2"]),
        (r"((?!foo).)*", ["bar", "fo", ""], ["a foo b"]),
        (r"(?=.*\d)(?=.*[a-z])[a-z\d]{4,6}", ["ab12"], ["abcd", "1234", "a1"]),
        (r"(?:a(?=b)|b(?!b))+", ["ab", "abab"], ["a", "abb", "bb"]),
        (r"(?=a$)a|ab", ["a", "ab"], ["abb"]),
        (r"\bfoo\b.*", ["foo", "foo bar"], ["foobar"]),
        (r"a\Bb", ["ab"], ["a"]),
        (r"\B", [""], ["a"]),
        (r"^^a$$|\Ab\z", ["a", "b"], ["ab"]),
        (r"a^b|a$b", [], ["ab"]),
        (r"(a|b|)(?:)", ["a", "b", ""], ["ab"]),
        (r"/\/\"\_", ['//"_'], [""]),
    ],
)
def test_by_hand(written: str, yes: list[str], no: list[str]) -> None:
    dfa = parse(written)
    assert [text for text in yes if not matches(dfa, text)] == []
    assert [text for text in no if matches(dfa, text)] == []


def test_search_is_open_where_no_anchor_stands() -> None:
    assert matches(search("b+"), "abbc")
    assert matches(search("^ab"), "abc") and not matches(search("^ab"), "cab")
    assert matches(search("ab$"), "cab") and not matches(search("ab$"), "abc")
    both = search("^a|b$")
    assert matches(both, "ax") and matches(both, "xb") and not matches(both, "bxa")
    assert len(search("^[a-z]{3}$").edges) == len(parse("[a-z]{3}").edges)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (r"(a)\1", "character 4: a backreference"),
        (r"\k<a>", "a backreference"),
        (r"(?P=a)", "this kind of group"),
        (r"(?<=a)b", "character 1: this kind of group"),
        (r"x(?<!a)b", "character 2: this kind of group"),
        (r"(?>a)", "this kind of group"),
        (r"a++", "possessive"),
        (r"(?m)a", "the flag m is not known here; known are i, s and u"),
        (r"(?&x)", "this kind of group"),
        (r"a(b", "character 2: a group is not closed"),
        (r"a)", "character 2: nothing is open"),
        (r"[a", "character 1: a class is not closed"),
        (r"[a\]", "a class is not closed"),
        (r"[z-a]", "ends before it begins"),
        (r"[\d-z]", "between classes"),
        (r"[[:alpha:]]", "a class with a name"),
        (r"*a", "character 1: there is nothing before"),
        (r"^*", "nothing before it to repeat"),
        (r"(?=a)+", "nothing before it to repeat"),
        (r"a{3,2}", "a repetition of 3 to 2 times"),
        (r"a{,3}", "write {0,n}"),
        (r"\q", r"unknown escape \q"),
        (r"\x4", "needs 2 hexadecimal digits"),
        (r"\u{110000}", "0x110000 is no character"),
        (r"\uD83D", "0xd83d is no character"),
        (r"\p{Script=Greek}", "known are general categories"),
        (r"\p{Greek}", "the property 'Greek' is not known"),
        ("\\", "unknown escape"),
        (r"(a{1000}){1000}", "more than 20,000 states"),
        (r"a{99999999999}", "more than 20,000 states"),
        (r"((a{0,100}){0,100}){0,100}", "more than 20,000 states"),
        (r"(a|b)*a(a|b){40}", "more than 10,000 states"),
        ("(" * 300 + ")" * 300, "deeper than 200 levels"),
        ("[" * 3 + "a" * 30_000, "at most 20,000"),
    ],
)
def test_what_is_refused_is_named(written: str, says: str) -> None:
    with pytest.raises(ConstraintError) as caught:
        parse(written, path="#/properties/x/pattern")
    message = str(caught.value)
    assert says in message and message.startswith("#/properties/x/pattern: the pattern ")
    assert "\n" not in message and len(message) < 400


@pytest.mark.parametrize(
    "written", ["(a+)+b", "(a*)*" * 20, "(x+x+)+y", "(a|a)*c", "(a{0,20}){0,20}", "(.*)" * 200]
)
def test_catastrophic_patterns_are_only_automata(written: str) -> None:
    begin = time.perf_counter()
    parse(written)
    search(written)
    assert time.perf_counter() - begin < 60  # a hang, not slowness


def test_a_long_substring_ends_in_an_error() -> None:
    with pytest.raises(ConstraintError, match="make its bounds smaller"):
        search("a{4000}")


@pytest.mark.parametrize("seed", range(3))
def test_random_text_is_a_pattern_or_an_error(seed: int) -> None:
    rng = random.Random(seed)
    signs = [*r"()[]{}|*+?^$.\-,:=!<>ab1dwsbBpPuxkiP&~", "(?", "(?:", "(?=", "\\", "\\p{L}", "{2}", "é"]
    for _ in range(500):
        written = "".join(rng.choice(signs) for _ in range(rng.randint(1, 12)))
        try:
            parse(written)
            search(written)
        except ConstraintError as error:
            assert "\n" not in str(error)


def test_categories_are_those_of_unicodedata() -> None:
    rng = random.Random(1)
    codes = [*range(0x300), *(rng.randrange(CODE_POINTS + 1) for _ in range(5000)), 0xFFFFE, 0x10FFFD, 0x10FFFF]
    for name in ("Lu", "L", "Nd", "Cn", "Co", "Cs", "Zs", "Sm"):
        of = category(name)
        assert of is not None
        for code in codes:
            inside = any(low <= code <= high for low, high in of)
            assert inside == unicodedata.category(chr(code)).startswith(name), (name, hex(code))


def test_case_folds_as_python_does() -> None:
    rng = random.Random(2)
    codes = [*range(0x250), *range(0x370, 0x530), *(rng.randrange(0x20000) for _ in range(300))]
    differ = set()
    for code in codes:
        if 0xD800 <= code < 0xE000:
            continue
        theirs = re.compile(re.escape(chr(code)), re.IGNORECASE)
        of = any_case(((code, code),))
        for other in {code, *(ord(c) for c in chr(code).lower() + chr(code).upper())}:
            if any(low <= other <= high for low, high in of) != bool(theirs.fullmatch(chr(other))):
                differ.add((code, other))
    # Python's dotted and dotless i are one letter with i; simple folding keeps them apart.
    assert all({0x130, 0x131} & set(pair) for pair in differ), differ


def test_utf8_is_what_python_encodes() -> None:
    rng = random.Random(3)
    whole = utf8(anything())
    edges = [0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, CODE_POINTS]
    for code in [*edges, *(rng.randrange(CODE_POINTS + 1) for _ in range(3000))]:
        if not 0xD800 <= code < 0xE000:
            assert whole.accepts_all(chr(code).encode())
    for bad in (
        b"\x80",
        b"\xc0\x80",
        b"\xe0\x80\x80",
        b"\xed\xa0\x80",
        b"\xf0\x80\x80\x80",
        b"\xf4\x90\x80\x80",
    ):
        assert not whole.accepts_all(bad)
    some = utf8(parse("[é-ü㐀-䀀😀-🙏]+"))
    theirs = re.compile("[é-ü㐀-䀀😀-🙏]+")
    for _ in range(2000):
        text = chr(
            rng.choice(
                [rng.randrange(0xE0, 0x100), rng.randrange(0x33F0, 0x4010), rng.randrange(0x1F5F0, 0x1F660)]
            )
        )
        assert some.accepts_all(text.encode()) == bool(theirs.fullmatch(text))


def test_a_compiled_pattern_is_a_constraint() -> None:
    constraint = makers.regex(r"\d{3}-é")
    assert constraint.kind == "regex" and constraint.shortest == 6
    with pytest.raises(ConstraintError, match="matches no text"):
        makers.regex("[]")
