"""The evaluate stage of several tasks: each adapter beside the base, by name and as the router chooses it.

Beside them stand each task's own tin, merged and quantized, and one adapter trained on all tasks together,
where the recipe asks for the comparison.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tinsmith import tasks
from tinsmith.evaluate import systems
from tinsmith.evaluate.answers import Item, read_answers
from tinsmith.evaluate.systems import Outcome
from tinsmith.pipeline import engine as stages
from tinsmith.pipeline import measuring as measure
from tinsmith.pipeline import recipe as recipes
from tinsmith.pipeline.measuring import BASELINE_KEYS, constrained, shipped, test_items
from tinsmith.pipeline.run import Made, Record, Run
from tinsmith.pipeline.stages import adapters, router
from tinsmith.pipeline.stages import data_tasks as data
from tinsmith.pipeline.stages.adapters import Skilled
from tinsmith.pipeline.stages.data import make as alone
from tinsmith.pipeline.stages.data.make import Data
from tinsmith.pipeline.stages.verify import Verified
from tinsmith.tasks import Grade
from tinsmith.train import methods

NAMED, ROUTED, OWN, TOGETHER = "adapter", "routed", "own", "joint"  # a system is one of these and a format
WRONG = Grade(False, False, False, False, None)


@dataclass(frozen=True)
class Needs:
    data: Record[Data]
    verify: Record[Verified]
    adapters: Record[Skilled]


@dataclass(frozen=True)
class Measured:
    """tasks: by task, each system's entry in report.json, by its name; router: by the preset of the file's
    weights, how often it chose right."""

    tasks: dict[str, dict[str, dict[str, Any]]]
    router: dict[str, dict[str, Any]]


def named(kind: str, weights: str) -> str:
    return shipped(weights).replace(shipped(""), f"{kind}_")


def compared(run: Run) -> dict[str, Run]:
    """The runs whose files are compared with, by task and TOGETHER; none where the recipe asks for
    none. What is never merged has no tin of its own."""
    if not run.recipe.router or not run.recipe.router.compare:
        return {}
    own = {name: one for name, one in data.runs(run).items() if methods.by_name(one.recipe.train.method).merges}
    return {**own, TOGETHER: joint(run)}


def joint(run: Run) -> Run:
    return Run(recipes.joint(run.recipe, run.folder), run.folder / data.JOINT, run.display)


def inputs(run: Run, needs: Needs) -> dict[str, Any]:
    settings = dataclasses.asdict(run.recipe.eval)
    return {
        "skilled": needs.adapters.digests,
        "data": needs.data.digests,
        "tasks": {name: dataclasses.asdict(one.recipe.data) for name, one in data.runs(run).items()},
        "compared": {name: one.done(stages.EVALUATE).inputs_sha256 for name, one in compared(run).items()},
        "eval": {key: value for key, value in settings.items() if key not in BASELINE_KEYS},
    }


def make(run: Run, needs: Needs) -> Made[Measured]:
    runs, others = data.runs(run), compared(run)
    entries: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in runs}
    chosen: dict[str, dict[str, Any]] = {}
    for weights, tin in adapters.tins(run, needs.adapters).items():
        digest = needs.adapters.digests[f"{adapters.FOLDER}/{tin.name}"]
        decisions = router.decide(run, tin)
        chosen[weights] = router.figures(run, decisions)
        for name, one in runs.items():
            found = dict(_of_adapter(one, name, weights, (tin, digest), decisions[name]))
            if others:
                found |= dict(_own(one, weights)) if name in others else {}
                found[named(TOGETHER, weights)] = _together(one, name, others[TOGETHER], weights)
            entries[name] |= found
    outputs = [
        measure.answers_path(runs[name], system)
        for name, found in entries.items()
        for system in found
        if system.startswith(NAMED)
    ]
    return Made(outputs, Measured(entries, chosen))


def _of_adapter(
    one: Run, name: str, weights: str, model: tuple[Any, str], decisions: Sequence[str | None]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Free, under its constraint if it has one, and as routed: what is sent elsewhere is wrong."""
    system, items = named(NAMED, weights), test_items(one)
    prompted = [Item(alone.conversation(one, example)) for example in items]
    outcome, entry = measure.measured(one, system, model, prompted, adapter=name)
    yield system, entry
    if data.made(one).facts.constraint is not None:
        outcome, entry = measure.measured(
            one, constrained(system), model, prompted, adapter=name, constrained=True
        )
        yield constrained(system), entry
    grades = systems.grades(tasks.by_name(one.recipe.data.task), outcome, items, alone.labels(one))
    routed = [grade if chose == name else WRONG for grade, chose in zip(grades, decisions, strict=True)]
    yield named(ROUTED, weights), measure.result(one, outcome, items, routed)


def _own(one: Run, weights: str) -> Iterator[tuple[str, dict[str, Any]]]:
    known = one.done(stages.EVALUATE).facts.systems
    system, called = shipped(weights), named(OWN, weights)
    for of, name in ((system, called), (constrained(system), constrained(called))):
        if of in known:
            yield name, known[of]


def _together(one: Run, name: str, every: Run, weights: str) -> dict[str, Any]:
    """The joint adapter's answers to one task's test items, which are worth what the task says."""
    answers = read_answers(measure.answers_path(every, shipped(weights)))
    rows = alone.examples(every, "test")
    own = [(answer, row) for answer, row in zip(answers, rows, strict=True) if row.part == name]
    return measure.result(one, Outcome([answer for answer, _ in own], None), [row for _, row in own])
