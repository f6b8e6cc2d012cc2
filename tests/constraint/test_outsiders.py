"""Constraints held to outsiders on SmolLM2's vocabulary: to llguidance's masks, and jsonschema's judgement.

Slow. TINSMITH_WALKS multiplies walks, instances and answers: 1, the default, takes a minute; 100 is the whole
run (1,000 instances of each of 300 functions, 10,000 answers of 50 schemas) and takes half an hour:
TINSMITH_WALKS=100 pytest -m slow -s tests/constraint/test_outsiders.py
"""

from __future__ import annotations

import ctypes
import json
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

import tinsmith
from tests.constraint.outsider_schemas import PATTERNS, SCHEMAS
from tests.constraint.outsiders import COMPACT, Mask, Vocabulary, bfcl_functions, bits, schema_of
from tests.constraint.test_gbnf import LANGUAGES as GBNF
from tests.constraint.test_lark import LANGUAGES
from tinsmith import _core
from tinsmith.constraint import makers
from tinsmith.constraint.json_schema import compile_schema
from tinsmith.constraint.schema import json_text
from tinsmith.errors import ConstraintError, RuntimeFault

pytestmark = pytest.mark.slow

WALKS = int(os.environ.get("TINSMITH_WALKS", "1"))
SPACINGS: tuple[json_text.Spacing, ...] = ("compact", "spaced", "free")
DEPTH = 4096  # more than walks reach: outsiders count it otherwise
LEFT = 256  # tokens of an answer


@pytest.fixture(scope="module")
def vocabulary(base_gguf: Path) -> Vocabulary:
    return Vocabulary(tinsmith.load(base_gguf).core)


@pytest.fixture(scope="module")
def tokenizer(vocabulary: Vocabulary) -> LLTokenizer:
    return vocabulary.tokenizer()


@pytest.fixture(scope="module")
def functions() -> list[dict[str, Any]]:
    schemas = [schema_of(function["parameters"]) for function in bfcl_functions()]
    random.Random(4).shuffle(schemas)
    return schemas


@dataclass(frozen=True)
class Difference:
    """Why one of the two alone allows a token. ours: whether it is us. within: of the grammar's name. ends: of
    the text up to the token and with it."""

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
    Difference(
        "numbers within bounds have exponents here", True, "^schema number", r"^-?\d(\.\d*)?([eE][-+]?\d*)?$"
    ),
    Difference(
        "`.` is not the end of a line here", False, r"^schema pattern \^\.", r"\\r|\\u000[dD]|[\u2028\u2029]"
    ),
    Difference("a control character has one escape here", False, "^schema enum of quotes", r"\\u$"),
    Difference(
        "letters that are not ASCII may be escaped in enums, patterns and keys here",
        True, "^schema (enum of letters|odd keys|pattern)", r"\\(u[0-9a-fA-F]*)?$",
    ),
    Difference("llguidance lets an escaped quote through a class without quotes", False, r'\[\^"\]', r'\\".*$'),
    Difference("fractions of a second have 9 digits at most here", False, "^schema format .*time", r"\.\d{10}"),
    Difference("no exponent is 0 here", False, "^schema", r"\d[eE][-+]?0+[^0-9].{0,20}$"),
    Difference("years begin with 0001 here", False, "^schema format date", r"^\"0000$"),
    Difference("29 February is in leap years alone here", False, "^schema format date", r"-02-29$"),
    Difference("no second is 60, T and Z are capitals here", False, "^schema format .*time", r"(:6|[tz])$"),
    Difference("emails have the common forms alone here", False, "^schema format email", ""),
    Difference(
        "llguidance leaves out decimals within bounds, such as 2.2 from 1.5 to 2.25",
        True, "^schema number", r"^-?\d+(\.\d+)?<end>$",
    ),
    Difference("white space runs for at most 20 characters here", False, "^lark schemas", r"[\s]{21,}"),
    Difference("nothing is ignored at the end here", False, "^lark (arithmetic|ignored)", r"[ _]<end>$"),
]  # fmt: skip


def hold(
    vocabulary: Vocabulary, tokenizer: LLTokenizer, name: str, data: bytes, grammar: str, walks: int
) -> Counter[str]:
    """Walks of both along the same tokens: how many masks, how many are alike, and why others are not.

    grammar: Lark, for llguidance.
    """
    rng = random.Random(name)
    ours = _core.Constraint(vocabulary.model, data, DEPTH)
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
            unlike = list(map(int, np.flatnonzero(mine != other)))
            seen.update(["masks"] if unlike else ["masks", "alike"])
            # Where a class of characters differs, so do thousands of tokens: some of them say why.
            some = rng.sample(unlike, min(len(unlike), 300))
            seen.update({explained(name, text, vocabulary, token, bool(mine[token])) for token in some})
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
    unexplained = [why for why in seen if why.startswith("UNEXPLAINED")]
    reported = [
        f"{seen[why]:,} {why}" for why in sorted(seen.keys() - set(unexplained), key=lambda why: -seen[why])
    ]
    print(f"\n{len(grammars)} grammars:", *reported, sep="\n    ")
    assert not unexplained, (
        len(unexplained),
        [why[:300] for why in unexplained[:: len(unexplained) // 10 + 1]],
    )
    assert seen["alike"] + seen[DEL] > 0.8 * seen["masks"]
    return seen


SPACE = r"[\t-\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"


# `.`, \d, \w and \s are other characters in Rust's patterns, which llguidance reads: here are ours.
def rust(pattern: str) -> str:
    pattern = pattern.replace("/", r"\/").replace(r"\s", SPACE)
    pattern = pattern.replace(r"\d", "[0-9]").replace(r"\w", "[0-9A-Za-z_]")
    return re.sub(r"^\.", r"[^\\n\\r\\u2028\\u2029]", pattern)


def test_masks_of_patterns(vocabulary: Vocabulary, tokenizer: LLTokenizer) -> None:
    grammars = {f"pattern {p}": (makers.regex(p).data, f"start: /{rust(p)}/") for p in PATTERNS}
    seen = held(vocabulary, tokenizer, grammars)
    assert seen["alike"] == seen["masks"]


class LlamaGrammar:
    """llama.cpp's own reading of a GBNF grammar, with a file's vocabulary."""

    def __init__(self, gguf: Path) -> None:
        self.llama = pytest.importorskip("llama_cpp")
        options = self.llama.llama_model_default_params()
        options.vocab_only = True
        self.model = self.llama.llama_model_load_from_file(str(gguf).encode(), options)
        self.vocab = self.llama.llama_model_get_vocab(self.model)
        self.size = self.llama.llama_vocab_n_tokens(self.vocab)
        self.data = (self.llama.llama_token_data * self.size)()
        kinds = [("id", np.int32), ("logit", np.float32), ("p", np.float32)]
        self.view: np.ndarray[Any, Any] = np.frombuffer(self.data, np.dtype(kinds))

    def begin(self, grammar: str) -> None:
        self.sampler = self.llama.llama_sampler_init_grammar(self.vocab, grammar.encode(), b"root")
        assert self.sampler

    def mask(self) -> Mask:
        self.view["id"], self.view["logit"] = np.arange(self.size), 0
        tokens = self.llama.llama_token_data_array(data=self.data, size=self.size, selected=-1, sorted=False)
        self.llama.llama_sampler_apply(self.sampler, ctypes.byref(tokens))
        allowed: Mask = self.view["logit"] == 0
        return allowed

    def accept(self, token: int) -> None:
        self.llama.llama_sampler_accept(self.sampler, token)


# What llama.cpp refuses: names of rules with underscores, recursion on the left, and tokens that the vocabulary
# does not have.
NOT_LLAMAS = {"rules", "operators on operators", "left recursion", "hidden left recursion", "tokens"}
NOT_LLAMAS |= {"text without a token"}


def test_masks_of_gbnf_grammars(vocabulary: Vocabulary, base_gguf: Path) -> None:
    """All of test_gbnf.py that llama.cpp reads. There, control tokens are text, and a NUL ends a text."""
    theirs = LlamaGrammar(base_gguf)
    apart = np.zeros(vocabulary.size, bool)
    apart[[*vocabulary.special_token_ids, vocabulary.tokens.index(b"\0")]] = True
    apart[vocabulary.ends] = False
    masks = 0
    for name, (grammar, _, _) in GBNF.items():
        if name in NOT_LLAMAS:
            continue
        ours = _core.Constraint(vocabulary.model, makers.grammar(grammar).data, DEPTH)
        for seed in range(WALKS):
            rng = random.Random(seed)
            ours.begin()
            theirs.begin(grammar)
            text = b""
            for _ in range(40):
                mine, other = bits(ours.mask(), vocabulary.size) & ~apart, theirs.mask() & ~apart
                other[vocabulary.ends] = other[vocabulary.eos_token_id]
                unlike = [vocabulary.tokens[token] for token in np.flatnonzero(mine != other)]
                assert not unlike, (name, text, unlike[:9])
                masks += 1
                mine[vocabulary.ends] = False
                if not mine.any():
                    break
                token = vocabulary.drawn(mine, rng)
                ours.accept(token)
                theirs.accept(token)
                text += vocabulary.tokens[token]
    print(f"\n{len(GBNF) - len(NOT_LLAMAS)} GBNF grammars: {masks:,} masks alike")


def test_masks_of_lark_grammars(vocabulary: Vocabulary, tokenizer: LLTokenizer) -> None:
    """Those of test_lark.py in which a lexer and a parser without one see the same, but for schemas, which are
    compact here (test_masks_of_schemas)."""
    grammars = {
        f"lark {n}": (makers.grammar(g, "lark").data, g)
        for n, (g, _) in LANGUAGES.items()
        if "%llguidance" not in g and "%json" not in g
    }
    held(vocabulary, tokenizer, grammars)


def as_lark(schema: Any) -> str:
    options = {"x-guidance": {**COMPACT, "json_allow_general_unicode_escapes": True}}
    return "start: %json " + json.dumps({**(schema if isinstance(schema, dict) else {}), **options})


def test_masks_of_schemas(
    vocabulary: Vocabulary, tokenizer: LLTokenizer, functions: list[dict[str, Any]]
) -> None:
    schemas = SCHEMAS | {f"function {k}": schema for k, schema in enumerate(functions[:60])}
    assert len(schemas) > 150
    held(
        vocabulary, tokenizer, {f"schema {n}": (compile_schema(s).data, as_lark(s)) for n, s in schemas.items()}
    )


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


def is_of(value: Any, kind: str) -> bool:
    return kind == "any" or Draft202012Validator({"type": kind}).is_valid(value)


def validator(schema: Any) -> Draft202012Validator:
    return Draft202012Validator(schema, format_checker=FormatChecker())


def test_answers_of_random_logits(vocabulary: Vocabulary, functions: list[dict[str, Any]]) -> None:
    """10,000 of them in the whole run: all end in time, parse and validate."""
    rng = random.Random(5)
    schemas = [SCHEMAS[name] for name in rng.sample(sorted(SCHEMAS), 25)] + functions[:25]
    drawing = Drawing(vocabulary, 6)
    faults: list[str] = []
    size = 0
    for k, schema in enumerate(schemas):
        spacing = SPACINGS[k % len(SPACINGS)]
        constraint = _core.Constraint(vocabulary.model, compile_schema(schema, spacing=spacing).data)
        for _ in range(2 * WALKS):
            text, ended = drawing.answer(constraint)
            size += len(text)
            fault = judged(text, schema) if ended else "no end within the limit"
            if fault:
                faults.append(f"{fault}: {text[:200]!r} {json.dumps(schema)[:200]}")
    count = len(schemas) * 2 * WALKS
    print(f"\n{count:,} answers of {len(schemas)} schemas, {size:,} bytes; {len(faults)} faults")
    assert not faults, faults[:5]


class Instances:
    """Random values of BFCL's schemas, with properties in the order in which they are declared."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def of(self, schema: dict[str, Any]) -> Any:
        rng = self.rng
        kind = schema.get("type")
        if "enum" in schema:
            # Some of BFCL's enums have values of another type, which are none.
            return rng.choice([one for one in schema["enum"] if kind is None or is_of(one, kind)])
        match kind or rng.choice(["string", "integer", "number", "boolean", "null"]):
            case "object":
                return self.object(schema.get("properties", {}), schema.get("required", []))
            case "array":
                return [self.of(schema.get("items", {})) for _ in range(rng.randrange(4))]
            case "string":
                return "2024-02-29" if schema.get("format") == "date" else self.text()
            case "integer":
                value = rng.choice([0, -1, 7, rng.randrange(-100, 100), rng.getrandbits(63)])
                return min(value, schema.get("maximum", value))
            case "number":
                wide = rng.uniform(0, 1) * 10.0 ** rng.randrange(-30, 30)
                return rng.choice([0, -3, 0.5, rng.uniform(-1e3, 1e3), wide])
            case "boolean":
                return rng.random() < 0.5
        return None

    def object(self, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
        made = {}
        for name, schema in properties.items():
            empty = "enum" in schema and not any(
                is_of(one, schema.get("type", "any")) for one in schema["enum"]
            )
            if name in required or (not empty and self.rng.random() < 0.5):
                made[name] = self.of(schema)
        made |= {name: self.of({}) for name in required if name not in made}
        more = 0 if properties else self.rng.randrange(3)
        return made | {self.text(): self.of({}) for _ in range(more)}

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
    """300 real schemas: valid instances get through, and what gets through is valid."""
    instances, drawing = Instances(7), Drawing(vocabulary, 8)
    many, few = min(30 * WALKS, 1000), min(WALKS, 20)
    refused: list[str] = []
    faults: list[str] = []
    for schema in functions[:300]:
        try:
            constraint = _core.Constraint(vocabulary.model, compile_schema(schema).data)
        except ConstraintError as error:
            refused.append(f"{error}: {json.dumps(schema)[:300]}")
            continue
        check = validator(schema)
        for k in range(many):
            value = instances.of(schema)
            assert check.is_valid(value), (value, schema)
            text = json.dumps(value, separators=(",", ":"), ensure_ascii=k % 2 > 0).encode()
            if not accepted(vocabulary, constraint, text):
                faults.append(f"refused, though valid: {text[:300]!r} {json.dumps(schema)[:300]}")
        for _ in range(few):
            answer, ended = drawing.answer(constraint)
            fault = judged(answer, schema) if ended else "no end within the limit"
            if fault:
                faults.append(f"{fault}: {answer[:200]!r} {json.dumps(schema)[:200]}")
    print(f"\n300 functions, each {many} instances and {few} answers; {len(faults)} faults; refused by name:")
    print(*refused, sep="\n")
    assert not faults, (len(faults), faults[:5])
    assert len(refused) < 5
