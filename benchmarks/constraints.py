"""What a mask costs a token and what a schema costs to compile, beside llguidance and xgrammar, in one run.

    python benchmarks/constraints.py bfcl_eval.whl --vocabulary smollm2=model.gguf --vocabulary qwen3=tokenizer.json
        [--schemas 80] [--walks 4] [--tokens 64] [--peers llguidance,xgrammar] [--seed 0]

The schemas are parameters of BFCL's functions (simple and multiple), as they stand there but for its own names of
types. A walk is a text that the schema allows, in the schema's order and without white space; it is made once by
tinsmith's masks over the first vocabulary, tokens drawn at random, and each engine is led along it with the tokens of
each vocabulary. Before each token the engine fills a mask of the whole vocabulary.

Each time is that of one call from Python, less the median of a call that does nothing but enter the same extension:
`tinsmith` state(), `llguidance` is_stopped(), `xgrammar` is_terminated(). All engines write into a buffer of their
caller's or their own that exists before; nothing is copied within the time. "cold" is each schema's first walk on an
engine just made; "warm" are the others. Prints one line of JSON: microseconds by vocabulary and engine.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

# BFCL's names of types are its own.
TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
SCHEMA_KEYS = (
    "type", "properties", "required", "items", "enum", "const", "anyOf", "minimum", "maximum", "minItems", "maxItems",
    "pattern", "format",
)  # fmt: skip
CATEGORIES = ("simple_python", "multiple")
COMPACT = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}


def bfcl_schemas(wheel: Path, count: int, seed: int) -> list[dict[str, Any]]:
    """Parameters of `count` functions, none twice, closed to further properties; those without any are left out."""
    found: dict[str, dict[str, Any]] = {}
    with zipfile.ZipFile(wheel) as archive:
        for category in CATEGORIES:
            for line in archive.read(f"bfcl_eval/data/BFCL_v4_{category}.json").decode().splitlines():
                for function in json.loads(line)["function"]:
                    schema = json_schema(function["parameters"])
                    if schema.get("properties"):
                        found[json.dumps(schema, sort_keys=True)] = schema
    return random.Random(seed).sample(list(found.values()), min(count, len(found)))


def json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """BFCL's schema as JSON Schema, every object closed."""
    tidy = {key: value for key, value in schema.items() if key in SCHEMA_KEYS}
    if isinstance(tidy.get("type"), str):
        tidy["type"] = TYPES.get(tidy["type"], tidy["type"])
    if "properties" in tidy:
        tidy["properties"] = {name: json_schema(value) for name, value in tidy["properties"].items()}
        tidy["additionalProperties"] = False
    if isinstance(tidy.get("items"), dict):
        tidy["items"] = json_schema(tidy["items"])
    return tidy


