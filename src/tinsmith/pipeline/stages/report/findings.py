"""Findings in answers: changes by a constraint, confused labels, and the worst errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinsmith.data.readers import Example
from tinsmith.evaluate import metrics
from tinsmith.evaluate.answers import Answer
from tinsmith.pipeline.examples import IMAGES
from tinsmith.tasks import Grade, Task

WORST = 20
CHANGED = 20
SHOWN = 10  # made examples
INVALID = "(invalid)"


def changes(
    task: Task,
    known: frozenset[str],
    items: Sequence[Example],
    unconstrained: Sequence[Answer],
    bound: Sequence[Answer],
) -> dict[str, Any]:
    """How constrained answers differ from unconstrained ones: how many; how many are better and worse by exact,
    then equivalent, function and valid; and examples, worse ones first."""
    counts = {"changed": 0, "better": 0, "worse": 0}
    examples: list[dict[str, Any]] = []
    for example, before, after in zip(items, unconstrained, bound, strict=True):
        if before.text.strip() == after.text.strip():
            continue
        worth = [
            (grade.exact, grade.equivalent, bool(grade.function), grade.valid)
            for text in (before.text, after.text)
            for grade in [task.grade(text, example.output, example.accept, known)]
        ]
        kind = "better" if worth[1] > worth[0] else "worse" if worth[1] < worth[0] else "as good"
        counts["changed"] += 1
        if kind in counts:
            counts[kind] += 1
        examples.append(
            {
                "input": example.input,
                "expected": example.output,
                "unconstrained": before.text.strip(),
                "constrained": after.text.strip(),
                "part": example.part,
                "kind": kind,
            }
        )
    examples.sort(key=lambda row: ("worse", "better", "as good").index(row["kind"]))
    return {**counts, "examples": examples[:CHANGED]}


def confusion(task: Task, grades: Sequence[Grade], items: Sequence[Example]) -> list[dict[str, Any]]:
    """How often each wrong label was answered for each expected one, most frequent first."""
    pairs = (
        (task.label(example.output) or "", grade.label or INVALID)
        for grade, example in zip(grades, items, strict=True)
        if grade.function is False
    )
    return metrics.confusion(pairs, "answered")


def worst(
    task: Task, grades: Sequence[Grade], items: Sequence[Example], answers: Sequence[Answer]
) -> list[dict[str, Any]]:
    """Up to twenty wrong answers: invalid ones, then those with wrong labels, then the least similar."""

    def badness(i: int) -> tuple[bool, bool, float, int]:
        return (grades[i].valid, bool(grades[i].function), _overlap(answers[i].text, items[i].output), i)

    wrong = sorted((i for i, grade in enumerate(grades) if not grade.equivalent), key=badness)
    return [
        {
            "input": items[i].input,
            **_images(items[i]),
            "expected": items[i].output,
            "answered": answers[i].text.strip(),
            "part": items[i].part,
            "kind": _kind(task, grades[i]),
        }
        for i in wrong[:WORST]
    ]


def _images(example: Example) -> dict[str, list[str]]:
    """Of an example with images, the paths of the run's copies from its folder, where the page lies too."""
    names = [f"data/{IMAGES}/{Path(one.path).name}" for one in example.images if one.path]
    return {"images": names} if names else {}


def _kind(task: Task, grade: Grade) -> str:
    if not grade.valid:
        return "invalid"
    return f"wrong {task.words.label}" if grade.function is False else task.words.wrong


def _overlap(answer: str, output: str) -> float:
    """The share of words that two texts have in common, counted with repeats (Dice's coefficient)."""
    a, b = Counter(answer.split('"')), Counter(output.split('"'))
    return 2 * sum((a & b).values()) / max(1, sum(a.values()) + sum(b.values()))


def shown(rows: Sequence[Example], train: Sequence[Example]) -> list[dict[str, Any]]:
    """A few augmented examples, evenly drawn, each beside its original."""
    made = [row for row in rows if "substituted" in row.about]
    chosen = made[:: max(1, -(-len(made) // SHOWN))]
    return [
        {
            "line": row.about["from"],
            "from": {"input": one.input, "output": one.output},
            "made": {"input": row.input, "output": row.output},
            "sources": sorted({one["source"] for one in row.about["substituted"]}),
        }
        for row in chosen
        for one in [train[row.about["from"] - 1]]
    ]
