"""Receipts: what binds an answer to all that it follows from, the same on every machine and by every path.

A receipt is a few lines of text, and its digest is their SHA-256 (docs/receipts.md has the lines). Those before
the answer's own are the question: who has an answer to it has the answer.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from tinsmith import _core
from tinsmith.errors import FormatError, InputError, UnsupportedError
from tinsmith.runtime.choice import TokenChoice
from tinsmith.runtime.image_prompt import ImagePrompt
from tinsmith.runtime.many import generate_many

if TYPE_CHECKING:
    from tinsmith.runtime.generation import Completion, Sampling
    from tinsmith.runtime.loaded import Loaded
    from tinsmith.runtime.scheduler import Asked

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
    """What an answer follows from. lines: names and values, some names several times."""

    lines: Lines

    @cached_property
    def digest(self) -> str:
        return _digest(self.lines)


@dataclass(frozen=True)
class Receipt:
    """question: its digest is a key of answers. answer: the lines of what came of it."""

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
        """Of the answer's lines, the one that only its computation gives."""
        return dict(self.answer)["logits"]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the values by name, lists where a name may come several times, and the digest."""
        told: dict[str, Any] = {"adapter": [], "bias": [], "stop": []}
        for name, value in self.lines:
            if name in ("adapter", "bias", "stop", "image"):
                told.setdefault(name, []).append(value)
            else:
                told[name] = value
        return {**told, "digest": self.digest}

    @classmethod
    def of_dict(cls, told: Mapping[str, Any]) -> Receipt:
        """As as_dict wrote it. Raises FormatError for what is no receipt, or not of its own digest."""
        try:
            question = Question(tuple(_told(_QUESTION, told)))
            made = cls(question, tuple(_told(_ANSWER, told)))
        except (KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"not a receipt of this version ({VERSION}): {error!r}") from None
        if made.digest != told.get("digest"):
            raise FormatError("the receipt is not of its own digest; it was changed")
        return made


_QUESTION = (
    *("tinsmith-receipt", "file", "kv", "adapter", "template", "constraint", "temperature", "top_p", "min_p"),
    *("repetition_penalty", "presence_penalty", "frequency_penalty", "top_k", "bias", "seed", "max_tokens"),
    *("stop", "input", "image"),
)
_ANSWER = ("output", "finish", "logits")


def _told(names: Iterable[str], told: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name in names:
        if name == "image" and name not in told:  # a prompt of text
            continue
        for value in told[name] if isinstance(told[name], list) else [told[name]]:
            if not isinstance(value, str):
                raise TypeError(f"{name} is {value!r}")
            yield name, value


def question(model: Loaded, asked: Asked) -> Question:
    """What is asked of the model. Raises UnsupportedError where another runtime computes, whose bits nobody
    promises."""
    if model.engine is not None:
        raise UnsupportedError(f"{model.engine.runtime} keeps no bit contract, so its answers have no receipts")
    skill = model.skill_of(model.adapters.chosen(asked.applied))
    lines = [("tinsmith-receipt", str(VERSION)), ("file", model.digest), ("kv", _KV[model.kv_type])]
    for adapter, scale in asked.applied:
        lines.append(("adapter", f"{model.adapters.digest(adapter)} {_bits(scale)}"))
    lines.append(("template", skill.digest or _NONE))
    lines.append(("constraint", _sha256(asked.constraint.data) if asked.constraint else _NONE))
    lines += _sampling(asked.sampling)
    lines.append(("max_tokens", str(int(asked.max_tokens))))
    lines += [("stop", text.encode("utf-8", "surrogatepass").hex()) for text in sorted({*asked.stop} - {""})]
    lines.append(("input", _tokens(asked.tokens)))
    if isinstance(asked.tokens, ImagePrompt):
        lines += [
            ("image", f"{at} {image.count} {image.columns} {image.digest.hex()}")
            for at, image in asked.tokens.tiles
        ]
    return Question(tuple(lines))


def receipt(
    model: Loaded,
    asked: Asked | Question,
    completion: Completion,
    choices: Sequence[TokenChoice] | None = None,
) -> Receipt:
    """Of an answer. choices: what its tokens were chosen by; None: the completion's own. Raises InputError
    where they were not kept."""
    choices = completion.choices if choices is None else choices
    if [choice.token for choice in choices] != completion.token_ids:
        raise InputError(
            f"{len(choices)} choices for an answer of {len(completion.token_ids)} tokens; have it recorded"
        )
    chosen = [choice.logit for choice in choices if not choice.forced]
    logits = hashlib.sha256(struct.pack(f"<{len(chosen)}f", *chosen)).hexdigest()
    return of_logits(asked if isinstance(asked, Question) else question(model, asked), completion, logits)


def of_logits(asked: Question, completion: Completion, logits: str) -> Receipt:
    """Of an answer whose choices are no longer known. logits: the line that they gave."""
    answer = (("output", _tokens(completion.token_ids)), ("finish", completion.finish), ("logits", logits))
    return Receipt(asked, answer)


def recomputed(model: Loaded, asked: Sequence[Asked], concurrency: int = 8) -> list[tuple[Completion, Receipt]]:
    """The answers, computed here and now, and their receipts."""
    answers = generate_many(model, [replace(one, record=True) for one in asked], concurrency)
    return [(answer, receipt(model, one, answer)) for one, answer in zip(asked, answers, strict=True)]


def difference(
    theirs: Receipt | str,
    ours: Receipt,
    their_tokens: Sequence[int] | None = None,
    our_tokens: Sequence[int] | None = None,
) -> str | None:
    """Where two receipts of one question differ, in a line; None where they are equal. theirs: or a digest
    alone. tokens: of the answers, by which the first that differs is found."""
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
    """Of a float32, in 8 digits. Zero has one form."""
    return struct.pack(">f", value + 0.0).hex()


def _tokens(tokens: Sequence[int]) -> str:
    ids = tokens.ids if isinstance(tokens, ImagePrompt) else tokens
    return hashlib.sha256(struct.pack(f"<{len(ids)}i", *ids)).hexdigest()


@lru_cache(maxsize=64)
def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
