"""GBNF grammars: what they accept, read by the oracle, and how faults in them are told."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.constraint.oracle import Oracle
from tinsmith.constraint import makers
from tinsmith.constraint.grammars import gbnf
from tinsmith.errors import ConstraintError

# Grammar, what it accepts, what it refuses.
LANGUAGES = {
    "literals": (r'root ::= "a\tb" "\x41\u00e9\U0001F600" "\"\\\[\]\-"', ['a\tbAé😀"\\[]-'], ["", "a"]),
    "classes": (
        r"root ::= [a-cx] [^\n\r] [-+*/] [\]\\] [a-]",
        ["ax+]a", "x-*\\-", "bé/]-"],
        ["dx+]a", "a\n+]a", "ax+]b"],
    ),
    "any": ("root ::= . .", ["\n\n", "日本"], ["a", "abc"]),
    "operators": (
        'root ::= "a"* "b"+ "c"? [0-9]{2} "d"{1,} "e"{0,2} "f" {1 , 2}',
        ["b00df", "aabbc12ddeeff"],
        ["00df", "b0df", "b00f", "b00deeef", "b00dfff"],
    ),
    "operators on operators": ('root ::= "a"{2}* "b"?+', ["", "aa", "aaaab", "bb"], ["a", "aaab"]),
    "alternatives": (
        'root ::= "a" | "b" "c" |\n "d" | ("e" |\n\n "f")',
        ["a", "bc", "d", "e", "f"],
        ["", "b", "ad"],
    ),
    "the empty text": ('root ::= | "a"', ["", "a"], ["aa"]),
    "groups over lines": ('root ::= (\n  "a" # first\n  "b"\n)+\n# the end', ["ab", "abab"], ["a", ""]),
    "rules": ('root ::= my-rule Other_2 0\nmy-rule ::= "a"\nOther_2 ::= "b"\n0 ::= "c"', ["abc"], ["ab", "c"]),
    "line ends": ('root ::= x\r\nx ::= "a"\r\r\n', ["a"], ["b"]),
    "left recursion": ('root ::= root "+" n | n\nn ::= [0-9]+', ["1", "12+3+4"], ["", "+1", "1+"]),
    "hidden left recursion": ('root ::= "x"? root "y" | "z"', ["z", "zy", "xzy", "xxzyyy"], ["x", "xz"]),
    "mutual recursion": (
        'root ::= "(" a ")" | "0"\na ::= "[" root "]" | root root',
        ["([0])", "(00)", "((00)([0]))"],
        ["(0)", "([00])"],
    ),
    "a long repetition": ("root ::= [a-z]{3,100000}", ["abc", "x" * 5000], ["ab"]),
}

# Grammars of the kinds that llama.cpp ships.
ARITHMETIC = r"""
root  ::= (sum "=" ws atom "\n")+
sum   ::= atom ([-+*/] atom)*
atom  ::= [a-z] [a-z0-9_]* ws | [0-9]+ ws | "(" ws sum ")" ws
ws    ::= [ \t\n]*
"""
CHESS = r"""
# two half moves a line
root  ::= "1. " move " " move "\n" ([1-9] [0-9]? ". " move " " move "\n")+
move  ::= (pawn | piece | "O-O" "-O"?) [+#]?
piece ::= [NBKQR] [a-h]? [1-8]? "x"? [a-h] [1-8]
pawn  ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBKQR])?
"""
JSON = r"""
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9]{1,15})? ws
ws     ::= | " " | "\n" [ \t]{0,20}
"""
C = r"""
root ::= function*
function ::= type name "(" (type name)? ")" "{" statement* "}"
type ::= ("int" | "float" | "char") ws
name ::= [a-zA-Z_] [a-zA-Z_0-9]*
statement ::=
    ( type? name ws "=" ws sum ";" ) |
    ( "return" ws sum ";" ) |
    ( "while" "(" sum ("<" | "<=" | "==") sum ")" "{" statement* "}" ) |
    ( "//" [^\n]* "\n" ) |
    ( "/*" ( [^*] | "*" [^/] )* "*/" )
sum ::= factor (("+" | "-") factor)*
factor ::= name | [0-9]+ | "-" factor | name "(" (sum ("," ws sum)*)? ")" | "(" ws sum ws ")"
ws ::= [ \t\n]+
"""
WRITINGS = r"""
root ::= (("- " [^\r\n\x0b\x0c\x85\u2028\u2029]+ "\n") | japanese | english)+
japanese ::= [ぁ-ゟァ-ヿ、-〾一-鿿]+ "\n"
english ::= [a-zA-Z0-9!"#$%&'()*+,-./:;<=>?@[\\\]^_`{|}~ \t]+ "\n"
"""
LANGUAGES |= {
    "arithmetic": (ARITHMETIC, ["1=2\n", "(a1 +2)*3 = x\n4=4\n"], ["1=2", "(1=1\n", "A=1\n"]),
    "chess": (CHESS, ["1. e4 e5\n2. Nf3 Nc6\n3. exd5 O-O-O+\n"], ["1. e4 e5\n", "1. e9 e5\n2. a3 a4\n"]),
    "json": (
        JSON,
        ['{"a":1}', '{"a": [true, {"b":\n \t"\\u00e9\\n"}], "c": -1.5e+3}', "{}"],
        ["[]", '{"a":01}', '{"a":1,}', '{"a":"\n"}'],
    ),
    "c": (
        C,
        ["", "int f(){return 1;}", "int f(char c){while(a+1<=f(2, 3)){b = -a;}/* * */ return x;}"[:-11] + "}"],
        ["int f()", "f(){}", "int f(){return 1}", "int f(){/* }"],
    ),
    "writings": (WRITINGS, ["- é!\n", "日本、カナ\n", "a[b]\\^-~\n"], ["é\n", "-é\n", "-\u2028\n"]),
}


@pytest.mark.parametrize("name", LANGUAGES)
def test_language(name: str) -> None:
    grammar, accepted, refused = LANGUAGES[name]
    oracle = Oracle(makers.grammar(grammar).data)
    for text in accepted:
        assert oracle.accepts(text if isinstance(text, bytes) else text.encode()), text
    for text in refused:
        assert not oracle.accepts(text if isinstance(text, bytes) else text.encode()), text


# Grammar, and what the error says of it.
FAULTS = {
    'root ::= "a" x': "1:14: the rule 'x' is used but not defined; defined are: root",
    'other ::= "a"': "there is no rule 'root'",
    "": "there is no rule 'root'",
    'root ::= "a\\q"': "1:12: \\q is no escape",
    'root ::= "a\\\n"': "1:12: a backslash before the end of a line is no escape",
    'root ::= "\\x4g"': "1:13: expected 2 hexadecimal digits",
    'root ::= "\\ud800"': "1:13: U+D800 is no character",
    'root ::= "\\U00110000"': "1:13: U+110000 is no character",
    'root ::= "\ud800"': "1:11: U+D800 is no character",
    'root ::= "abc': "1:10: the literal or class that begins here has no end",
    "root ::= [abc": "1:10: the literal or class that begins here has no end",
    "root ::= [a\\": "1:12: ",
    "root ::= []": "1:10: an empty class",
    "root ::= [z-a]": "1:11: the range 'z-a' goes down",
    'root ::= ("a"': "1:14: expected ')' for the '(' at 1:10, not the end of the grammar",
    'root ::= "a")': "1:13: ')' can't stand here",
    'root ::= "a"\nx = "b"': "2:3: expected '::=' after the rule's name 'x'",
    'root ::= "a"\n\nroot ::= "b"': "3:1: the rule 'root' is defined at 1:1 already",
    'root ::= "a"\n | "b"': "2:2: expected a rule's name",
    "root ::= *": "1:10: there is nothing before '*' to repeat",
    'root ::= "a"{3,2}': "1:13: at least 3 and at most 2 times",
    'root ::= "a"{,2}': "1:14: expected a number after '{'",
    'root ::= "a"{2': "1:15: expected '}'",
    'root ::= "a"{1234567890}': "1:14: a number of 10 digits",
    'root ::= "a"{2000000}': "1:13: 2,000,000 repetitions; give at most 1,000,000",
    "root ::= <think>": "1:10: tokens are not supported",
    "root ::= !<[7]>*": "1:10: tokens are not supported",
    'root ::= "a" @': "1:14: '@' can't stand here",
    "root ::= " + "(" * 60 + '"a"' + ")" * 60: "groups nest more than 50 deep",
    'root ::= "a"' + "*" * 60: "1:10: more than 50 operators on one item",
    'root ::= "a" root': "no text satisfies",
    "root ::= " + '"a" ' * 300_000: "a GBNF grammar has 1,200,009 characters; write at most 1,000,000",
}


@pytest.mark.parametrize("grammar", FAULTS, ids=lambda text: repr(text[:30]))
def test_fault(grammar: str) -> None:
    with pytest.raises(ConstraintError, match=re.escape(FAULTS[grammar])):
        makers.grammar(grammar)


SCRAPS = st.sampled_from(
    [
        *"ab \n\r.()[]|*+?{#!<-\\",
        "root",
        "::=",
        "{2}",
        "{1,3}",
        '"x"',
        "[a-c]",
        "[^",
        '"',
        "root ::= ",
        "b ::= ",
    ]
)


@settings(max_examples=400, derandomize=True)
@given(st.one_of(st.text(max_size=40), st.lists(SCRAPS, max_size=25).map("".join)))
def test_any_text_is_a_grammar_or_an_error(grammar: str) -> None:
    for form in (grammar, "root ::= " + grammar):
        try:
            assert gbnf.read(form).start == "root"
            makers.grammar(form)
        except ConstraintError as error:
            assert "\n" not in str(error)
