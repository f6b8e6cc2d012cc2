"""Receipts bind an answer to its inputs, with the same bits on every machine and through every interface.

A receipt is a few lines of text (docs/receipts.md), and its digest is their SHA-256. Its first lines are the
question: equal questions have equal answers.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from tinsmith import _core
from tinsmith.errors import InputError, UnsupportedError
from tinsmith.runtime.choice import TokenChoice
from tinsmith.runtime.generation import Completion, Sampling, TokenRequest
from tinsmith.runtime.image_prompt import ImagePrompt
from tinsmith.runtime.loaded import Loaded
from tinsmith.runtime.scheduler import generate_many

VERSION = 1
_FLOATS = ("temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")
_KV = {_core.KV_F16: "f16", _core.KV_Q8: "q8"}
_NONE = "-"

Lines = tuple[tuple[str, str], ...]


def _digest(lines: Lines) -> str:
    text = "".join(f"{name} {value}\n" for name, value in lines)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Question:
    """The inputs of an answer. lines: names and values; a name may occur several times."""

    lines: Lines

    @cached_property
    def digest(self) -> str:
        return _digest(self.lines)


@dataclass(frozen=True)
class Receipt:
    """question: its digest is a cache key. answer: the results' lines."""

    question: Question
    answer: Lines

    @property
    def lines(self) -> Lines:
        return self.question.lines + self.answer

    @cached_property
    def digest(self) -> str:
        return _digest(self.lines)

    @property
    def logits(self) -> str:
        """The line of the logits, which only a computation gives."""
        return dict(self.answer)["logits"]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the values by name (lists for names that may repeat), and the digest."""
        values: dict[str, Any] = {"adapter": [], "bias": [], "stop": []}
        for name, value in self.lines:
            if name in ("adapter", "bias", "stop", "image"):
                values.setdefault(name, []).append(value)
            else:
                values[name] = value
        return {**values, "digest": self.digest}


def question(model: Loaded, request: TokenRequest) -> Question:
    """The request's question. Raises UnsupportedError for another runtime, which promises no bits."""
    if model.engine is not None:
        raise UnsupportedError(f"{model.engine.runtime} keeps no bit contract, so its answers have no receipts")
    skill = model.skill_of(model.adapters.chosen(request.applied))
    lines = [("tinsmith-receipt", str(VERSION)), ("file", model.digest), ("kv", _KV[model.kv_type])]
    for adapter, scale in request.applied:
        lines.append(("adapter", f"{model.adapters.digest(adapter)} {_bits(scale)}"))
    lines.append(("template", skill.digest or _NONE))
    lines.append(("constraint", request.constraint.sha256 if request.constraint else _NONE))
    lines += _sampling(request.sampling)
    lines.append(("max_tokens", str(int(request.max_tokens))))
    lines += [("stop", text.encode("utf-8", "surrogatepass").hex()) for text in sorted({*request.stop} - {""})]
    lines.append(("input", _tokens(request.tokens)))
    if isinstance(request.tokens, ImagePrompt):
        lines += [
            ("image", f"{at} {tile.count} {tile.columns} {tile.digest.hex()}")
            for at, tile in request.tokens.tiles
        ]
    return Question(tuple(lines))


def receipt(
    model: Loaded,
    request: TokenRequest | Question,
    completion: Completion,
    choices: Sequence[TokenChoice] | None = None,
) -> Receipt:
    """An answer's receipt. choices: of its tokens; None: the completion's. Raises InputError without them."""
    choices = completion.choices if choices is None else choices
    if [choice.token for choice in choices] != completion.token_ids:
        raise InputError(
            f"{len(choices)} choices for an answer of {len(completion.token_ids)} tokens; give record=True"
        )
    chosen = [choice.logit for choice in choices if not choice.forced]
    logits = hashlib.sha256(struct.pack(f"<{len(chosen)}f", *chosen)).hexdigest()
    return of_logits(request if isinstance(request, Question) else question(model, request), completion, logits)


def of_logits(question: Question, completion: Completion, logits: str) -> Receipt:
    """The receipt of an answer without its choices. logits: their line."""
    answer = (("output", _tokens(completion.token_ids)), ("finish", completion.finish), ("logits", logits))
    return Receipt(question, answer)


def recomputed(
    model: Loaded, requests: Sequence[TokenRequest], concurrency: int = 8
) -> list[tuple[Completion, Receipt]]:
    """Computes the answers, and their receipts."""
    answers = generate_many(model, [replace(one, record=True) for one in requests], concurrency)
    return [(answer, receipt(model, one, answer)) for one, answer in zip(requests, answers, strict=True)]


def difference(
    theirs: Receipt | str,
    ours: Receipt,
    their_tokens: Sequence[int] | None = None,
    our_tokens: Sequence[int] | None = None,
) -> str | None:
    """The difference between two receipts of one question, in a line; None if they are equal. theirs: a
    receipt, or its digest. tokens: of the answers, to find the first different one."""
    if (theirs if isinstance(theirs, str) else theirs.digest) == ours.digest:
        return None
    if their_tokens is not None and our_tokens is not None and list(their_tokens) != list(our_tokens):
        pairs = zip(their_tokens, our_tokens, strict=False)
        at = next((k for k, (one, other) in enumerate(pairs) if one != other), None)
        if at is None:
            at = min(len(their_tokens), len(our_tokens))
        return f"token {at + 1}: {_named(their_tokens, at)} there, {_named(our_tokens, at)} here"
    if isinstance(theirs, str):
        return f"{theirs} there, {ours.digest} here"
    names = dict.fromkeys(name for name, _ in (*theirs.lines, *ours.lines))
    name = next(name for name in names if _of(theirs, name) != _of(ours, name))
    if name == "logits":
        return "the same tokens, by other logits"
    return f"{name}: {_of(theirs, name)} there, {_of(ours, name)} here"


def _named(tokens: Sequence[int], at: int) -> str:
    return str(tokens[at]) if at < len(tokens) else "the end"


def _of(receipt: Receipt, name: str) -> str:
    return ", ".join(value for key, value in receipt.lines if key == name) or _NONE


def _sampling(sampling: Sampling) -> Lines:
    floats = tuple((name, _bits(getattr(sampling, name))) for name in _FLOATS)
    biases = tuple(("bias", f"{token} {_bits(value)}") for token, value in (sampling.logit_bias or {}).items())
    return (*floats, ("top_k", str(sampling.top_k)), *biases, ("seed", str(sampling.seed)))


def _bits(value: float) -> str:
    """A float32 in 8 hexadecimal digits; -0 as 0."""
    return struct.pack(">f", value + 0.0).hex()


def _tokens(tokens: Sequence[int]) -> str:
    ids = tokens.ids if isinstance(tokens, ImagePrompt) else tokens
    return hashlib.sha256(struct.pack(f"<{len(ids)}i", *ids)).hexdigest()
