"""What an answer is worth: valid, right function, exact, equivalent; and how sure a fraction of them is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinsmith import reading
from tinsmith.errors import InputError, UnsupportedError

METRICS = ("valid", "function", "exact", "equivalent")


@dataclass(frozen=True)
class Grade:
    """One answer against its example. function is None where the task has no label; label: the answer's own."""

    valid: bool
    function: bool | None
    exact: bool
    equivalent: bool
    label: str | None


def parse_json(text: str) -> Any:
    """Strict JSON (RFC 8259): ValueError on a repeated key, NaN, Infinity, or anything after the value."""
    try:
        return reading.json(text, "the answer", unique=True)
    except InputError as error:
        raise ValueError(str(error)) from None


def json_equal(a: Any, b: Any) -> bool:
    """Equality of JSON values: 40 equals 40.0, true does not equal 1, the order of keys does not count."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(json_equal(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(json_equal(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def label(task: str, output: str) -> str | None:
    """The function that a call names, or the class; None for an invalid output or a task without labels."""
    value = _parse(task, output)
    if value is None:
        return None
    if task == "call":
        return str(value["name"])
    return str(value) if task == "classify" else None


def grade(task: str, answer: str, output: str, accept: Sequence[str], labels: frozenset[str]) -> Grade:
    """Grades one answer.

    task: "call" (a JSON object of exactly "name", a string, and "arguments", an object), "extract" (a JSON
    object), "classify" (one of `labels`) or "chat" (a text). output: the right answer; accept: more right
    answers, which count as equivalent. White space around an answer does not count.
    """
    value = _parse(task, answer)
    valid = value is not None and (task != "classify" or value in labels)
    wanted = _parse(task, output)
    exact = value is not None and json_equal(value, wanted)
    equivalent = exact or (
        value is not None and any(json_equal(value, _parse(task, other)) for other in accept)
    )
    given = label(task, answer)
    right = given == label(task, output) if task in ("call", "classify") else None
    return Grade(valid, right, exact, equivalent, given)


def _parse(task: str, text: str) -> Any:
    """The value that is compared, or None when the text is none of its task's kind."""
    if task not in ("call", "extract", "classify", "chat"):
        raise UnsupportedError(f"{task}: no such task; the tasks are call, extract, classify, chat")
    text = text.strip()
    if task in ("classify", "chat"):
        return text or None
    try:
        value = parse_json(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    if task == "call" and not (
        value.keys() == {"name", "arguments"}
        and isinstance(value["name"], str)
        and isinstance(value["arguments"], dict)
    ):
        return None
    return value


def interval(hits: int, items: int, resamples: int, seed: int) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of a fraction (Efron 1979), from `resamples` draws.

    A resample of n yes-or-no items with replacement has Binomial(n, hits / n) hits, so the counts are drawn
    directly: the same distribution as resampling the items, at once.
    """
    import numpy as np

    if items == 0:
        return (0.0, 1.0)
    counts = np.random.default_rng(seed).binomial(items, hits / items, resamples)
    low, high = np.percentile(counts / items, [2.5, 97.5])
    return (float(low), float(high))


def summarize(
    grades: Sequence[Grade], parts: Sequence[str | None], resamples: int, seed: int
) -> dict[str, Any]:
    """Fractions over all items and by part, in report.json's words; a metric that the task lacks is None."""
    summary = _fractions(grades, resamples, seed)
    names = sorted({part for part in parts if part is not None})
    summary["parts"] = {
        name: _fractions([g for g, part in zip(grades, parts, strict=True) if part == name], resamples, seed)
        for name in names
    }
    return summary


def _fractions(grades: Sequence[Grade], resamples: int, seed: int) -> dict[str, Any]:
    result: dict[str, Any] = {"items": len(grades)}
    for metric in METRICS:
        values = [getattr(g, metric) for g in grades]
        known = bool(values) and None not in values
        hits = sum(values) if known else 0
        result[metric] = hits / len(values) if known else None
        result[f"{metric}_interval"] = list(interval(hits, len(values), resamples, seed)) if known else None
    return result
