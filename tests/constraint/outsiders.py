"""Outsiders that constraints are held to: llguidance, with a model's vocabulary, and the functions of BFCL."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from tinsmith import _core

BFCL = "bfcl-eval==2026.3.23"
Mask = np.ndarray[Any, np.dtype[np.bool_]]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tinsmith" / "peers"
COMPACT = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}


def bfcl_functions() -> list[dict[str, Any]]:
    """The functions of BFCL's questions that call one, each once. TINSMITH_BFCL: its wheel, else downloaded."""
    given = os.environ.get("TINSMITH_BFCL")
    if given is None and not list(CACHE.glob("bfcl_eval-*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(CACHE), BFCL]
        subprocess.run(command, check=True)
    wheel = Path(given) if given else next(CACHE.glob("bfcl_eval-*.whl"))
    functions: dict[str, dict[str, Any]] = {}
    with zipfile.ZipFile(wheel) as files:
        for name in (
            "simple_python",
            "multiple",
            "live_simple",
            "live_multiple",
            "simple_java",
            "simple_javascript",
        ):
            for line in files.read(f"bfcl_eval/data/BFCL_v4_{name}.json").decode().splitlines():
                for function in json.loads(line)["function"]:
                    functions.setdefault(json.dumps(function["parameters"]), function)
    return list(functions.values())


# What BFCL's names of types mean; of those, `any` (and no name) is no bound: a schema without `type`.
TYPES: dict[str, str | None] = {
    **{name: name for name in ("string", "integer", "number", "boolean", "array", "object")},
    **{"dict": "object", "HashMap": "object", "float": "number", "double": "number", "long": "integer"},
    **{"String": "string", "char": "string", "Boolean": "boolean"},
    **{"tuple": "array", "Array": "array", "ArrayList": "array", "any": None, "": None},
}


def schema_of(value: Any) -> Any:
    """A schema of BFCL as JSON Schema: with types of its names, without its own annotations."""
    if not isinstance(value, dict):
        return value
    schema: dict[str, Any] = {}
    for key, one in value.items():
        match key:
            case "type":
                if TYPES[one] is not None:
                    schema[key] = TYPES[one]
            case "properties":
                schema[key] = {name: schema_of(inner) for name, inner in one.items()}
            case "items":
                schema[key] = schema_of(one)
            case "enum" | "required" | "format" | "maximum" | "default":
                schema[key] = one
    return schema


class Vocabulary:
    """A model's tokens, as llguidance wants them."""

    def __init__(self, model: _core.Model) -> None:
        self.model = model
        self.tokens: list[bytes] = []
        self.ends: list[int] = []
        self.special_token_ids: list[int] = []
        for token in range(model.info()["vocab"]):
            text, control, end = model.token(token)
            self.tokens.append(text)
            if control:
                self.special_token_ids.append(token)
            if end:
                self.ends.append(token)
        self.eos_token_id = self.ends[0]
        self.bos_token_id = None
        self.size = len(self.tokens)
        # Tokens with signs of structure: drawn evenly from all, they are so rare that no string would end.
        self.signs = np.array([any(sign in text for sign in b'",:[]{}') for text in self.tokens])

    def __call__(self, text: bytes) -> list[int]:
        return self.model.tokenize(text, 0)

    def matcher(self, tokenizer: LLTokenizer, grammar: str) -> LLMatcher:
        made = LLMatcher(tokenizer, grammar, log_level=0)
        if made.is_error():
            raise ValueError(made.get_error())
        return made

    def drawn(self, allowed: Mask, rng: random.Random) -> int:
        """A token of those allowed; a sign of structure half of the time."""
        signs = allowed & self.signs
        return int(rng.choice(np.flatnonzero(signs if signs.any() and rng.random() < 0.5 else allowed)))

    def tokenizer(self) -> LLTokenizer:
        return LLTokenizer(TokenizerWrapper(self), n_vocab=self.size, slices=[])


def bits(mask: bytes, size: int) -> Mask:
    """size bits, one a token."""
    return np.unpackbits(np.frombuffer(mask, np.uint8), bitorder="little")[:size].astype(bool)
