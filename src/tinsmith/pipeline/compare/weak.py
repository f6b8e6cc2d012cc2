"""Groups of items with more errors than their share, and items that one system alone gets wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tinsmith.data.readers import Example
from tinsmith.evaluate.verdict import Worst
from tinsmith.pipeline.compare.asking import Answered
from tinsmith.tasks import Task

LEAST_ITEMS, LEAST_ERRORS = 3, 2
SHOWN = 5  # groups, and for each system items that it alone gets wrong


def worst(task: Task, items: Sequence[Example], answered: Answered, train: Sequence[Example]) -> list[Worst]:
    """The groups with the most errors beyond what as many items have on the whole, most first."""
    counts: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for place, example in enumerate(items):
        for name, wrong in _groups(task, example, answered, place):
            counts[name] += 1
            errors[name] += wrong
    rate = answered.right.count(False) / max(1, len(items))
    learned = Counter(name for example in train for name in _names(task, example))
    found = [
        (errors[name] - rate * counts[name], Worst(name, counts[name], errors[name], learned.get(name)))
        for name in counts
        if counts[name] >= LEAST_ITEMS and errors[name] >= LEAST_ERRORS
    ]
    found.sort(key=lambda pair: (-pair[0], pair[1].name))
    return [group for excess, group in found if excess > 0][:SHOWN]


def _groups(task: Task, example: Example, answered: Answered, place: int) -> Iterator[tuple[str, bool]]:
    """What a test example is one of, and whether the answer is wrong there."""
    grade = answered.grades[place]
    if example.part is not None:
        yield f"part {example.part}", not grade.exact
    if (label := task.label(example.output)) is not None:
        yield f"{task.words.label} {label}", not grade.exact
    if not grade.valid or grade.function is False or not task.has_values:
        return
    given = _values(task, answered.outcome.answers[place].text)
    for path, values in _values(task, example.output).items():
        yield path, given.get(path) != values


def _names(task: Task, example: Example) -> Iterator[str]:
    """Those groups of a training example that say what it teaches."""
    if (label := task.label(example.output)) is not None:
        yield f"{task.words.label} {label}"
    yield from _values(task, example.output) if task.has_values else ()


def _values(task: Task, output: str) -> dict[str, list[Any]]:
    """The values of an output by what they are of: `argument HassLightSet.brightness`."""
    found: dict[str, list[Any]] = defaultdict(list)
    for leaf in task.values(output):
        found[f"argument {'.'.join(leaf.path)}"].append(leaf.value)
    return found


def alone(items: Sequence[Example], answered: Mapping[str, Answered]) -> dict[str, dict[str, Any]]:
    """By system: how many items it alone gets wrong, how many it alone gets right, and some of each."""
    found: dict[str, dict[str, Any]] = {}
    for name, one in answered.items():
        found[name] = {}
        others = [other.right for key, other in answered.items() if key != name]
        for kind, value in (("wrong", False), ("right", True)):
            differs = [all(other[place] is not value for other in others) for place in range(len(items))]
            places = [n for n, own in enumerate(one.right) if own is value and differs[n] and others]
            shown = [_item(items, one, place) for place in places[:SHOWN]]
            found[name] |= {kind: len(places), f"{kind}_items": shown}
    return found


def _item(items: Sequence[Example], one: Answered, place: int) -> dict[str, Any]:
    example = items[place]
    return {
        "input": example.input,
        "expected": example.output,
        "answered": one.outcome.answers[place].text.strip(),
        "part": example.part,
    }
