"""Constraints held to outsiders on SmolLM2's vocabulary: llguidance's masks, and what jsonschema says of answers.

Slow. TINSMITH_WALKS multiplies the walks and answers: 1, the default, takes minutes; 100 is the whole of what the
book's numbers come from (1,000 answers and 1,000 instances of each of 300 functions, and 10,000 answers of 50
schemas): TINSMITH_WALKS=100 pytest -m slow -s tests/compiler/constraint/test_outsiders.py
"""

from __future__ import annotations

import json
import math
import os
import random
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from llguidance import LLTokenizer
from outsider_schemas import PATTERNS, SCHEMAS
from outsiders import COMPACT, Vocabulary, bfcl_functions, bits, schema_of
from test_lark import LANGUAGES

import tinsmith
from tinsmith import _core
from tinsmith.compiler.constraint.json_schema import compile_schema
from tinsmith.compiler.constraint.lark import compile_lark
from tinsmith.compiler.constraint.regex import compile_regex
from tinsmith.errors import ConstraintError, RuntimeFault

pytestmark = pytest.mark.slow

WALKS = int(os.environ.get("TINSMITH_WALKS", "1"))
LEFT = 256  # tokens of an answer


@pytest.fixture(scope="module")
def vocabulary(base_gguf: Path) -> Vocabulary:
    return Vocabulary(tinsmith.load(base_gguf).core)


@pytest.fixture(scope="module")
def tokenizer(vocabulary: Vocabulary) -> LLTokenizer:
    return vocabulary.tokenizer()


@pytest.fixture(scope="module")
def functions() -> list[dict[str, Any]]:
    found = [schema_of(function["parameters"]) for function in bfcl_functions()]
    random.Random(4).shuffle(found)
    return found


@dataclass(frozen=True)
class Difference:
    """Why one of the two alone allows a token. ours: whether it is us. within: of the grammar's name. ends: of the
    text up to the token and with it."""

    why: str
    ours: bool
    within: str
    ends: str

    def explains(self, name: str, text: str, ours: bool) -> bool:
        return (
            ours == self.ours and bool(re.search(self.within, name)) and bool(re.search(self.ends, text, re.S))
        )


DEL = "JSON allows DEL in a string; llguidance does not"
DIFFERENCES = [
    Difference(DEL, True, "^schema", r"\x7f$"),
    Difference("an integer is never -0 here", False, "^(schema|lark schemas)", r"-0$"),
    Difference("whole numbers end after 40 digits here", False, "^schema", r"\d{41}$"),
    Difference("fractions end after 20 digits here", False, "^schema", r"\.\d{21}$"),
    Difference(
        "a number with an exponent has one digit before its point, and not 0, here",
        False, "^schema", r"(\d{2,}|0)(\.\d+)?[eE]$",
    ),
    Difference("exponents keep numbers within doubles here", False, "^schema", r"\d[eE][-+]?\d+$"),
    Difference("numbers within bounds have exponents here", True, "^schema number", r"^-?\d(\.\d*)?([eE][-+]?\d*)?$"),
    Difference("a control character has one escape here", False, "^schema enum of quotes", r"\\u$"),
    Difference(
        "letters that are not ASCII may be escaped in enums, patterns and keys here",
        True, "^schema (enum of letters|odd keys|pattern)", r"\\(u[0-9a-fA-F]*)?$",
    ),
    Difference("llguidance lets an escaped quote through a class without quotes", False, r'\[\^"\]', r'\\".*$'),
    Difference("a second is never 60 here, T and Z are capitals", False, "^schema format (date-)?time", r"(:6|[tz])$"),
    Difference("emails have fewer forms here: as RFC 5321's examples, not all", False, "^schema format email", ""),
    Difference(
        "llguidance leaves out decimals within bounds, such as 2.2 from 1.5 to 2.25",
        True, "^schema number", r"^-?\d+\.\d+<end>$",
    ),
    Difference("white space runs for at most 20 characters here", False, "^lark schemas", r"[\s]{21,}"),
    Difference("nothing is ignored at the end here", False, "^lark (arithmetic|ignored between)", r"[ _]<end>$"),
]  # fmt: skip


def hold(
    vocabulary: Vocabulary, tokenizer: LLTokenizer, name: str, data: bytes, grammar: str, walks: int
) -> Counter[str]:
    """Walks of both along the same tokens: how many masks, how many are alike, and why others are not.

    grammar: Lark, for llguidance.
    """
    rng = random.Random(name)
    ours = _core.Constraint(vocabulary.model, data)
    # Told so, llguidance's masks have all tokens where only one text can follow, not the first of it alone.
    theirs = vocabulary.matcher(tokenizer, '%llguidance {"no_forcing": true}\n' + grammar)
    seen: Counter[str] = Counter()
    for _ in range(walks):
        ours.begin()
        theirs.reset()
        text = b""
        for _ in range(48):
            mine, other = bits(ours.mask(), vocabulary.size), bits(theirs.compute_bitmask(), vocabulary.size)
            other[vocabulary.ends] = other[vocabulary.eos_token_id]
            unlike = np.flatnonzero(mine != other)
            seen.update(["masks"] if len(unlike) else ["masks", "alike"])
            seen.update({explained(name, text, vocabulary, int(token), bool(mine[token])) for token in unlike})
            both = mine & other
            both[vocabulary.ends] = False
            if not both.any():
                break
            token = vocabulary.drawn(both, rng)
            ours.accept(token)
            assert theirs.consume_token(token)
            text += vocabulary.tokens[token]
    return seen


def explained(name: str, text: bytes, vocabulary: Vocabulary, token: int, ours: bool) -> str:
    after = b"<end>" if token in vocabulary.ends else vocabulary.tokens[token]
    shown = (text + after).decode("utf-8", "replace")
    for difference in DIFFERENCES:
        if difference.explains(name, shown, ours):
            return difference.why
    return f"UNEXPLAINED: {name}: {'we' if ours else 'they'} alone allow {after!r} after {text!r}"


def held(
    vocabulary: Vocabulary, tokenizer: LLTokenizer, grammars: dict[str, tuple[bytes, str]]
) -> Counter[str]:
    """name: (constraint.bin, the same as a Lark grammar)."""
    seen: Counter[str] = Counter()
    for name, (data, grammar) in grammars.items():
        seen += hold(vocabulary, tokenizer, name, data, grammar, 3 * WALKS)
    print(
        f"\n{len(grammars)} grammars:", *(f"{count:,} {why}" for why, count in seen.most_common()), sep="\n    "
    )
    assert not [why for why in seen if why.startswith("UNEXPLAINED")]
    assert seen["alike"] + seen[DEL] > 0.8 * seen["masks"]
    return seen


# What `.` and \d are in Rust's patterns, which llguidance reads, is more than here: this is what they are here.
def rust(pattern: str) -> str:
    pattern = pattern.replace("/", r"\/").replace(r"\d", "[0-9]").replace(r"\w", "[0-9A-Za-z_]")
    return re.sub(r"^\.", r"[^\\n\\r\\u2028\\u2029]", pattern)


def test_masks_of_patterns(vocabulary: Vocabulary, tokenizer: LLTokenizer) -> None:
    grammars = {f"pattern {p}": (compile_regex(p).data, f"start: /{rust(p)}/") for p in PATTERNS}
    seen = held(vocabulary, tokenizer, grammars)
    assert seen["alike"] == seen["masks"]


def test_masks_of_lark_grammars(vocabulary: Vocabulary, tokenizer: LLTokenizer) -> None:
    """Those of test_lark.py in which a lexer and a parser without one see the same."""
    grammars = {f"lark {n}": (compile_lark(g).data, g) for n, (g, _) in LANGUAGES.items() if "%llguidance" not in g}
    held(vocabulary, tokenizer, grammars)


def as_lark(schema: Any) -> str:
    options = {"x-guidance": {**COMPACT, "json_allow_general_unicode_escapes": True}}
    return "start: %json " + json.dumps({**(schema if isinstance(schema, dict) else {}), **options})


def test_masks_of_schemas(
    vocabulary: Vocabulary, tokenizer: LLTokenizer, functions: list[dict[str, Any]]
) -> None:
    schemas = SCHEMAS | {f"function {k}": schema for k, schema in enumerate(functions[:60])}
    assert len(schemas) > 150
    held(vocabulary, tokenizer, {f"schema {n}": (compile_schema(s).data, as_lark(s)) for n, s in schemas.items()})


# Answers and instances, judged by jsonschema.


class Drawing:
    """Tokens by logits that are drawn at random, at temperature 2, as a model that knows nothing has them."""

    def __init__(self, vocabulary: Vocabulary, seed: int) -> None:
        self.vocabulary = vocabulary
        self.rng = np.random.default_rng(seed)
        # The largest of logits / temperature and Gumbel noise is a draw by the softmax.
        self.scores = (self.rng.normal(0, 4, 1 << 22) / 2 + self.rng.gumbel(0, 1, 1 << 22)).astype(np.float32)

    def token(self, mask: bytes) -> int:
        allowed = np.flatnonzero(bits(mask, self.vocabulary.size))
        start = int(self.rng.integers(0, len(self.scores) - len(allowed)))
        return int(allowed[np.argmax(self.scores[start : start + len(allowed)])])

    def answer(self, constraint: _core.Constraint, left: int = LEFT) -> tuple[bytes, bool]:
        """The text, and whether it is whole after at most `left` tokens."""
        constraint.begin()
        text = b""
        for k in range(left):
            if constraint.state() == _core.CONSTRAINT_MUST_END:
                return text, True
            token = self.token(constraint.mask(left - k))
            if token in self.vocabulary.ends:
                return text, True
            constraint.accept(token)
            text += self.vocabulary.tokens[token]
        return text, constraint.state() != _core.CONSTRAINT_OPEN


def judged(text: bytes, schema: Any) -> str:
    """Why jsonschema refuses a text; empty: it does not."""
    try:
        value = json.loads(text)
    except ValueError as error:
        return f"not JSON: {error}"
    error = next(validator(schema).iter_errors(value), None)
    return error.message[:200] if error is not None else ""


def validator(schema: Any) -> Draft202012Validator:
    return Draft202012Validator(schema, format_checker=FormatChecker())


def test_answers_of_random_logits(vocabulary: Vocabulary, functions: list[dict[str, Any]]) -> None:
    """10,000 of them in the whole run: all end in time, parse and validate."""
    rng = random.Random(5)
    schemas = [SCHEMAS[name] for name in rng.sample(sorted(SCHEMAS), 25)] + functions[:25]
    drawing = Drawing(vocabulary, 6)
    faults: list[str] = []
    tokens, longest = 0, 0
    for schema in schemas:
        constraint = _core.Constraint(vocabulary.model, compile_schema(schema).data)
        for _ in range(2 * WALKS):
            text, ended = drawing.answer(constraint)
            tokens, longest = tokens + len(text), max(longest, len(text))
            fault = judged(text, schema) if ended else "no end within the limit"
            if fault:
                faults.append(f"{fault}: {text[:200]!r} {json.dumps(schema)[:200]}")
    print(
        f"\n{len(schemas) * 2 * WALKS:,} answers of {len(schemas)} schemas, {tokens:,} bytes; {len(faults)} faults"
    )
    assert not faults, faults[:5]


class Instances:
    """Random values of BFCL's schemas, with properties in the order in which they are declared."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def of(self, schema: dict[str, Any], depth: int = 0) -> Any:
        rng = self.rng
        if "enum" in schema:
            return rng.choice(schema["enum"])
        kind = schema.get("type") or rng.choice(["string", "integer", "number", "boolean", "null"])
        match kind:
            case "object":
                names = [
                    n
                    for n in schema.get("properties", {})
                    if n in schema.get("required", ()) or rng.random() < 0.5
                ]
                found = {name: self.of(schema["properties"][name], depth + 1) for name in names}
                found |= {name: self.of({}) for name in schema.get("required", ()) if name not in found}
                more = 0 if schema.get("properties") else rng.randrange(3)
                return found | {self.text(): self.of({}, depth + 1) for _ in range(more)}
            case "array":
                return [self.of(schema.get("items", {}), depth + 1) for _ in range(rng.randrange(4))]
            case "string":
                return self.text()
            case "integer":
                return min(
                    rng.choice([0, -1, 7, rng.randrange(-100, 100), rng.getrandbits(63)]),
                    schema.get("maximum", math.inf),
                )
            case "number":
                return rng.choice(
                    [0, -3, 0.5, rng.uniform(-1e3, 1e3), rng.uniform(0, 1) * 10.0 ** rng.randrange(-30, 30)]
                )
            case "boolean":
                return rng.random() < 0.5
        return None

    def text(self) -> str:
        rng = self.rng
        signs = rng.choice(["abc", "the new York 12", '"\\/\b\n\t', "éß日本😀", "\x00\x1f\x7f\u2028"])
        return "".join(rng.choice(signs) for _ in range(rng.choice([0, 1, 5, 20])))


def accepted(vocabulary: Vocabulary, constraint: _core.Constraint, text: bytes) -> bool:
    constraint.begin()
    for token in vocabulary(text):
        try:
            constraint.accept(token)
        except RuntimeFault:
            return False
    return constraint.state() != _core.CONSTRAINT_OPEN


def test_functions_of_bfcl(vocabulary: Vocabulary, functions: list[dict[str, Any]]) -> None:
    """300 real schemas: all that a constraint lets through is valid, and valid instances get through."""
    instances, drawing = Instances(7), Drawing(vocabulary, 8)
    refused: Counter[str] = Counter()
    faults: list[str] = []
    count = 10 * WALKS
    for schema in functions[:300]:
        try:
            constraint = _core.Constraint(vocabulary.model, compile_schema(schema).data)
        except ConstraintError as error:
            refused[str(error)] += 1
            continue
        check = validator(schema)
        for k in range(count):
            value = instances.of(schema)
            assert check.is_valid(value), (value, schema)
            text = json.dumps(value, separators=(",", ":"), ensure_ascii=k % 2 > 0).encode()
            if not accepted(vocabulary, constraint, text):
                faults.append(f"refused, though valid: {text[:300]!r} {json.dumps(schema)[:300]}")
            answer, ended = drawing.answer(constraint)
            fault = judged(answer, schema) if ended else "no end within the limit"
            if fault:
                faults.append(f"{fault}: {answer[:200]!r} {json.dumps(schema)[:200]}")
    print(
        f"\n300 functions, {sum(refused.values())} refused by name, {count} instances and answers of each; {len(faults)} faults"
    )
    print(*refused, sep="\n")
    assert not faults, (len(faults), faults[:5])
    assert sum(refused.values()) < 5
