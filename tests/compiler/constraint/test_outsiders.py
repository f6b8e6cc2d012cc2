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
from collections.abc import Callable, Iterator
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
from tinsmith.errors import ConstraintError

pytestmark = pytest.mark.slow

WALKS = int(os.environ.get("TINSMITH_WALKS", "1"))
LEFT = 256  # tokens of an answer
Mask = np.ndarray[Any, np.dtype[np.bool_]]


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
    """What a token that one of the two allows has in common with others of its kind. ours: whether we allow it.
    within: of the name of the grammar. ends: of the text with the token, whole or in part."""

    why: str
    ours: bool
    within: str
    ends: str

    def explains(self, name: str, text: bytes, ours: bool) -> bool:
        shown = text.decode("utf-8", "replace")
        return ours == self.ours and bool(re.search(self.within, name)) and bool(re.search(self.ends, shown, re.S))


DIFFERENCES: list[Difference] = []


@dataclass
class Found:
    masks: int = 0
    unlike: int = 0
    unexplained: Counter[tuple[str, bytes, bytes, bool]] | None = None


def hold(vocabulary: Vocabulary, tokenizer: LLTokenizer, name: str, data: bytes, grammar: str, walks: int) -> Counter[str]:
    """Walks of both along the same tokens; how many masks, and why tokens differ."""
    rng = random.Random(name)
    ours = _core.Constraint(vocabulary.model, data)
    # Forced text is no matter of masks here, as it is there unless it is told so.
    theirs = vocabulary.matcher(tokenizer, '%llguidance {"no_forcing": true}\n' + grammar)
    seen: Counter[str] = Counter()
    for _ in range(walks):
        ours.begin()
        theirs.reset()
        text = b""
        for _ in range(48):
            mine, other = bits(ours.mask(), vocabulary.size), bits(theirs.compute_bitmask(), vocabulary.size)
            other[vocabulary.ends] = other[vocabulary.eos_token_id]
            seen["masks"] += 1
            for token in map(int, np.flatnonzero(mine != other)):
                seen[explained(name, text, vocabulary, token, bool(mine[token]))] += 1
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
    for difference in DIFFERENCES:
        if difference.explains(name, text + after, ours):
            return difference.why
    return f"UNEXPLAINED {'ours' if ours else 'theirs'} {name}: {text!r} + {after!r}"
