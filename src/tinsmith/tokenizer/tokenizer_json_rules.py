"""Normalizer, pre-tokenizer and decoder of tokenizer.json.

They are recognized by their structure, and refused if tinsmith would give other ids.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.errors import UnsupportedError
from tinsmith.spec import Tokenizer
from tinsmith.tokenizer.pretokenizers import GGUF_NAMES, PATTERNS, PRETOKENIZERS, pretokenizer
from tinsmith.tokenizer.sentencepiece import SPACE

_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
_DIGITS = {"type": "Digits", "individual_digits": True}
_TO_SPACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
_PREPEND = {"type": "Prepend", "prepend": SPACE}
# Does nothing, since the normalized text has no space.
_NO_CUT = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
# Behaviours that keep each match of a pattern as a piece; the patterns match everything.
_KEEPS = (("Isolated", False), ("Removed", True))


@dataclass(frozen=True)
class Rules:
    """Fields of the Tokenizer, and the pre-tokenizer of a byte-level one."""

    split: str | None = None
    nfc: bool = False
    prefix: str = "none"
    split_spaces: bool = False


def flat(given: Any, key: str) -> list[dict[str, Any]]:
    """The steps of a Sequence, or the single step."""
    if given is None:
        return []
    if given.get("type") == "Sequence":
        return [step for part in given.get(key, []) for step in flat(part, key)]
    return [dict(given)]


def read(path: Path, whole: Mapping[str, Any], model: str) -> Rules:
    normalizer = flat(whole.get("normalizer"), "normalizers")
    if model == "bpe":
        nfc = normalizer == [{"type": "NFC"}]
        if normalizer and not nfc:
            raise _unsupported(path, "normalizer", whole["normalizer"], "NFC")
        return Rules(_split(path, whole.get("pre_tokenizer")), nfc)
    steps = flat(whole.get("pre_tokenizer"), "pretokenizers")
    if normalizer in ([_TO_SPACE], [_PREPEND, _TO_SPACE]) and steps in ([], [_NO_CUT]):
        return Rules(prefix="none" if len(normalizer) == 1 else "prepend")
    if normalizer:
        raise _unsupported(path, "normalizer", whole["normalizer"], "spaces to U+2581, and one before the text")
    if len(steps) != 1 or steps[0].get("type") != "Metaspace" or steps[0].get("replacement") != SPACE:
        raise _unsupported(path, "pre_tokenizer", whole.get("pre_tokenizer"), "Metaspace with U+2581")
    older = "always" if steps[0].get("add_prefix_space", True) else "never"
    scheme = steps[0].get("prepend_scheme", older)
    if scheme not in ("always", "first", "never"):
        raise _unsupported(
            path, "pre_tokenizer", whole["pre_tokenizer"], "prepend_scheme always, first and never"
        )
    return Rules(prefix="none" if scheme == "never" else scheme, split_spaces=bool(steps[0].get("split", True)))


def _unsupported(path: Path, key: str, given: Any, supported: str) -> UnsupportedError:
    return UnsupportedError(
        f"{path}: {key} {json.dumps(given, ensure_ascii=False)} is not supported; supported: {supported}"
    )


def _split(path: Path, given: Any) -> str:
    """The pre-tokenizer of a byte-level model, by its steps or its exact pattern."""
    # trim_offsets does not change ids.
    steps = [
        {key: value for key, value in step.items() if key != "trim_offsets"}
        for step in flat(given, "pretokenizers")
    ]
    for step in steps:
        if step.get("type") == "ByteLevel":
            step.setdefault("use_regex", True)
    if steps == [_BYTE_LEVEL]:
        return "gpt-2"
    if steps == [_DIGITS, _BYTE_LEVEL]:
        return "smollm"
    if len(steps) == 2 and steps[0].get("type") == "Split" and steps[1] == _BYTE_LEVEL | {"use_regex": False}:
        pattern = steps[0].get("pattern", {}).get("Regex")
        keeps = (steps[0].get("behavior"), steps[0].get("invert", False)) in _KEEPS
        if pattern in PATTERNS and keeps:
            return PATTERNS[pattern]
    raise _unsupported(path, "pre_tokenizer", given, f"those of {', '.join(PRETOKENIZERS)}")


def gguf_name(split: str, ignore_merges: bool, nfc: bool) -> str:
    """The name whose rules come nearest."""

    def distance(name: str) -> tuple[bool, bool]:
        known = GGUF_NAMES[name]
        return known.ignore_merges != ignore_merges, known.nfc != nfc

    return min((name for name, known in GGUF_NAMES.items() if known.split == split), key=distance)


def write(t: Tokenizer) -> dict[str, Any]:
    """The keys normalizer, pre_tokenizer and decoder."""
    if t.model == "bpe":
        steps = _written_steps(pretokenizer(t.pre).split)
        return {
            "normalizer": {"type": "NFC"} if t.nfc else None,
            "pre_tokenizer": steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": steps},
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        }
    decoders: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if t.prefix != "none":
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    table: dict[str, Any] = {"normalizer": None, "pre_tokenizer": None}
    if t.prefix == "prepend" and not t.split_spaces:
        table["normalizer"] = {"type": "Sequence", "normalizers": [_PREPEND, _TO_SPACE]}
    elif t.prefix == "none" and not t.split_spaces:
        table["normalizer"] = _TO_SPACE
    else:
        table["pre_tokenizer"] = {
            "type": "Metaspace",
            "replacement": SPACE,
            "prepend_scheme": "never" if t.prefix == "none" else t.prefix,
            "split": t.split_spaces,
        }
    return table | {"decoder": {"type": "Sequence", "decoders": decoders}}


def _written_steps(split: str) -> list[dict[str, Any]]:
    byte_level = _BYTE_LEVEL | {"trim_offsets": True}
    if split == "gpt-2":
        return [byte_level]
    if split == "smollm":
        return [_DIGITS, byte_level]
    pattern = next(pattern for pattern, name in PATTERNS.items() if name == split)
    cut = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return [cut, byte_level | {"use_regex": False}]
