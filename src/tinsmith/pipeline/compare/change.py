"""Measures systems after right answers change: retrieval finds the changed examples, the tuned model was
trained on the old ones.

The recipe names the changes, or values of closed sets that inputs do not state are swapped, in training and
test examples alike. Values that an input states stay, since copying them takes no knowledge."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tinsmith
from tinsmith.data.leaves import Leaf, replaced
from tinsmith.data.readers import Example
from tinsmith.errors import DataError
from tinsmith.evaluate import paired
from tinsmith.evaluate.baselines import stratified
from tinsmith.evaluate.systems import Outcome
from tinsmith.evaluate.verdict import Changed
from tinsmith.pipeline.compare import asking
from tinsmith.pipeline.compare.asking import Answered, Shown, Table
from tinsmith.pipeline.examples import read_examples
from tinsmith.pipeline.recipe.tables import CHANGED_AUTO, CHANGED_NONE
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.prepare.allowed import Checker
from tinsmith.tasks import Task

SHOWN = 5  # answers that were kept
OFTEN = 5  # training examples with each value of a closed set, on the average; dates and names come less often
LEAST = 10  # changed test examples that are worth asking about
SAID = 0.05  # of the examples with a value, those whose input may say it all the same
Place = tuple[str, ...]  # a leaf's path; empty for the whole output


@dataclass(frozen=True)
class Change:
    """before, after: test examples, of the same inputs in the same order; train: the training examples as they
    are now. note: how it came about."""

    before: list[Example]
    after: list[Example]
    train: list[Example]
    stated: bool
    note: str


def of_recipe(table: Table, test: Sequence[Example], items: int) -> Change | str:
    """What changes, or why nothing does. test: all test examples; items: that are asked about, at most."""
    recipe = table.data.recipe
    if recipe.compare.changed == CHANGED_NONE:
        return "the recipe asks for none"
    if recipe.compare.changed != CHANGED_AUTO:
        return stated(recipe, test, table.shown.train, items)
    return swapped(table.data.task, table.shown.train, table.items)


def stated(recipe: Recipe, test: Sequence[Example], train: Sequence[Example], items: int) -> Change:
    """Raises DataError for a changed example whose input no test example has, or whose output is no other."""
    path, learned = map(recipe.resolve, recipe.compare.changed)
    after = read_examples(path, recipe.data.task, split="test")
    known = {example.prompt: example for example in test}
    for example in after:
        old = known.get(example.prompt)
        if old is None:
            raise DataError(f"{example.where}: no test example has this input; what changes is an answer")
        if old.output == example.output:
            raise DataError(f"{example.where}: has the output that it had before; leave it out")
    now = {example.prompt: example for example in read_examples(learned, recipe.data.task)}
    if now.keys().isdisjoint(example.prompt for example in train):
        raise DataError(f"{learned}: no training example has one of its inputs; give those that changed")
    kept = [now.pop(example.prompt, example) for example in train]
    after = stratified(after, items)
    before = [known[example.prompt] for example in after]
    return Change(before, after, [*kept, *now.values()], True, f"as {path.name} states")


def swapped(task: Task, train: Sequence[Example], items: Sequence[Example]) -> Change | str:
    """Values in pairs, the most frequent with the next, where no input says them."""
    partners = _partners(task, train, items)
    after = [_swap(task, example, partners) for example in items]
    places = [place for place, example in enumerate(items) if example.output != after[place].output]
    if len(places) < LEAST:
        return (
            f"of {len(items)} test examples {len(places)} have a value of a closed set that the input does not "
            f"say; swapping them needs {LEAST}"
        )
    count = sum(map(len, partners.values())) // 2
    return Change(
        [items[place] for place in places],
        [after[place] for place in places],
        [_swap(task, example, partners) for example in train],
        False,
        f"made by swapping {count} pairs of values that inputs do not say",
    )


def _partners(
    task: Task, train: Sequence[Example], items: Sequence[Example]
) -> dict[Place, dict[str | int | float, str]]:
    counts: dict[Place, Counter[str]] = defaultdict(Counter)
    said: dict[Place, Counter[str]] = defaultdict(Counter)
    learned: dict[Place, Counter[str]] = defaultdict(Counter)
    for number, example in enumerate((*train, *items)):
        for place, value in _values(task, example.output):
            counts[place][value] += 1
            said[place][value] += _says(example, value)
            learned[place][value] += number < len(train)
    partners: dict[Place, dict[str | int | float, str]] = {}
    for place, found in counts.items():
        known = +learned[place]
        if known.total() < OFTEN * len(known):
            continue
        free = [one for one, count in found.most_common() if one in known and said[place][one] <= SAID * count]
        pairs = list(zip(free[::2], free[1::2], strict=False))
        if pairs:
            partners[place] = {one: other for pair in pairs for one, other in (pair, pair[::-1])}
    return partners


def _values(task: Task, output: str) -> list[tuple[Place, str]]:
    """The texts that an output is made of: those of its leaves, or the whole where it has none."""
    if not task.has_values:
        return [((), output)]
    return [(leaf.path, leaf.value) for leaf in task.values(output) if isinstance(leaf.value, str)]


def _says(example: Example, value: str) -> bool:
    return value.casefold() in example.prompt.casefold()


def _swap(task: Task, example: Example, partners: Mapping[Place, Mapping[str | int | float, str]]) -> Example:
    if not task.has_values:
        output = partners.get((), {}).get(example.output, example.output)
    else:
        values: dict[Leaf, str | int | float] = {
            leaf: other
            for leaf in task.values(example.output)
            if (other := partners.get(leaf.path, {}).get(leaf.value)) is not None
            and not _says(example, str(leaf.value))
        }
        output = replaced(example.output, values)
    return example if output == example.output else dataclasses.replace(example, output=output, accept=())


def measure(
    table: Table, change: Change | str, chosen: Mapping[str, Answered | None]
) -> tuple[Changed | None, dict[str, Any]]:
    """Answers after the change, and their entry in compare.json. chosen: the systems by role."""
    if isinstance(change, str) or any(chosen.get(role) is None for role in ("retrieval", "tuned", "both")):
        why = change if isinstance(change, str) else "no system retrieves"
        return None, {"items": 0, "why": why}
    change = _allowed(table, change)
    if len(change.after) < (1 if change.stated else LEAST):
        return None, {"items": len(change.after), "why": "the constraint forbids what would be right then"}
    shown = Shown(table.data, change.train)
    given = {role: _given(table, one, change, shown) for role, one in chosen.items() if one}
    tuned = given["tuned"]
    found = Changed(
        **{role: one.now for role, one in given.items()}, kept=_share(tuned.before), stated=change.stated
    )
    return found, {
        "items": len(change.after),
        "stated": change.stated,
        "note": change.note,
        "systems": {
            role: {"system": one.name, "right": _share(one.now), "as_before": _share(one.before)}
            for role, one in given.items()
        },
        "against_tuned": {
            role: dataclasses.asdict(paired.compare(one.now, tuned.now))
            for role, one in given.items()
            if one is not tuned
        },
        "kept": _kept(change, given),
    }


@dataclass(frozen=True)
class _Given:
    """A system's answers to the changed items; now, before: whether each is what is right now, or was."""

    name: str
    texts: list[str]
    now: list[bool]
    before: list[bool]


def _given(table: Table, one: Answered, change: Change, shown: Shown) -> _Given:
    outcome = _answers(table, one, change, shown)
    texts = [answer.text.strip() for answer in outcome.answers]
    now, before = (
        [grade.exact for grade in table.grades(outcome, rows)] for rows in (change.after, change.before)
    )
    return _Given(one.system.name, texts, now, before)


def _kept(change: Change, given: Mapping[str, _Given]) -> list[dict[str, Any]]:
    """Some of what the tuned model answers as before, and what the others answer there."""
    places = [place for place, kept in enumerate(given["tuned"].before) if kept]
    return [
        {
            "input": change.after[place].input,
            "before": change.before[place].output,
            "now": change.after[place].output,
            "answered": {role: one.texts[place] for role, one in given.items()},
        }
        for place in places[:SHOWN]
    ]


def _answers(table: Table, one: Answered, change: Change, shown: Shown) -> Outcome:
    system = one.system
    if system.kind == asking.COPIED:
        return asking.copies(shown, change.after)
    if not system.retrieves:
        # Nothing that it is told has changed, so its answers to these inputs have not.
        given = {
            example.prompt: answer for example, answer in zip(table.items, one.outcome.answers, strict=True)
        }
        if all(example.prompt in given for example in change.after):
            return Outcome([given[example.prompt] for example in change.after], None)
    return table.outcome(system, table.tins[system.name], change.after, shown, f"{system.name}-changed")


def _share(right: Sequence[bool]) -> float:
    return sum(right) / len(right)


def _allowed(table: Table, change: Change) -> Change:
    """Without what the constraint, which was compiled before the change, would not let anybody answer."""
    if not table.is_bound:
        return change
    checker = Checker(tinsmith.load(table.data.base.path), table.data.constraint_bytes())
    kept = [place for place, row in enumerate(change.after) if checker.departure(row.output) is None]
    return dataclasses.replace(
        change, before=[change.before[k] for k in kept], after=[change.after[k] for k in kept]
    )
