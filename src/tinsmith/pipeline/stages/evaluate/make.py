"""The evaluate stage: how well the float model and every shipped file answer.

Of several tasks, it asks each adapter beside the base, by name and as the router chooses it. Beside them stand
each task's own tin, and one adapter trained on all tasks together, where the recipe asks for the comparison."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tinsmith
from tinsmith.evaluate import metrics, systems
from tinsmith.evaluate.answers import Item, read_answers
from tinsmith.evaluate.naming import NAMED, OWN, ROUTED, TOGETHER, TUNED, constrained, named, shipped
from tinsmith.evaluate.systems import Outcome
from tinsmith.pipeline import constraint, routing
from tinsmith.pipeline.measuring import FOLDER, Asking, Measured, answers_path, eval_digests, result, test_items
from tinsmith.pipeline.prepared import Model, Prepared
from tinsmith.pipeline.routing import NONE, OFF_TOPIC
from tinsmith.pipeline.stage import Made, Reporter
from tinsmith.tasks import Grade

# Models of one training answer nearly alike, so each one after the first checks the first one's answers as
# drafts: one pass over prompt and draft, and plain decoding from the first token that differs. Each token kept
# is the model's own greedy choice, so its answers are exactly those of plain decoding. A quantized file goes
# first: it decodes fastest.
FLOAT = (TUNED, "shipped_f32", "shipped_f16")


@dataclass(frozen=True)
class Inputs:
    """models: by system, the float model, then the built files; built, merged: digests of files, by name."""

    data: Prepared
    models: Mapping[str, Model]
    built: Mapping[str, str]
    merged: Mapping[str, str]


def digests(inputs: Inputs) -> dict[str, Any]:
    prepared, recipe = inputs.data, inputs.data.recipe
    return {
        "built": dict(inputs.built),
        "merged": dict(inputs.merged),
        "data": prepared.split_digest("test"),
        "task": recipe.data.task,
        "schema": constraint.source_digest(recipe),
        "system": recipe.data.system,
        "eval": eval_digests(recipe),
        **({"validation": prepared.split_digest("validation")} if recipe.eval.max_error is not None else {}),
    }


def make(inputs: Inputs, folder: Path, reporter: Reporter) -> Made[Measured]:
    """A file with a constraint answers twice: unconstrained, and constrained (`<name>_constrained`) without
    drafts, which shows what the constraint saves."""
    asking = Asking(inputs.data, folder / FOLDER, reporter)
    results = dict(_of_models(asking, inputs.models))
    order = [system for name in inputs.models for system in (name, constrained(name))]
    ordered = {system: results[system] for system in order if system in results}
    return Made([answers_path(asking.folder, name) for name in ordered], Measured(ordered))


def _of_models(asking: Asking, models: Mapping[str, Model]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each system's entry, quantized files first, since the first one's answers are the others' drafts."""
    messages = [asking.data.conversation(example) for example in test_items(asking.data)]
    plain = [Item(asked) for asked in messages]
    drafts: list[list[int] | None] | None = None
    for name in sorted(models, key=lambda name: name in FLOAT):
        prompted = plain
        if drafts is not None:
            prompted = [Item(asked, draft) for asked, draft in zip(messages, drafts, strict=True)]
        outcome, entry = asking.measured(name, models[name], prompted)
        drafts = drafts or [answer.tokens for answer in outcome.answers]
        size = {} if name == TUNED else {"bytes": models[name].path.stat().st_size}
        yield name, {**entry, **size}
        if asking.data.constraint is not None and name != TUNED:
            _, entry = asking.measured(constrained(name), models[name], plain, constrained=True)
            yield constrained(name), {**entry, **size}


WRONG = Grade(False, False, False, False, None)


@dataclass(frozen=True)
class Joint:
    """The adapter of all tasks together. answers: the folder of what it answered."""

    data: Prepared
    answers: Path


@dataclass(frozen=True)
class TasksInputs:
    """tins: by the preset of their weights; digests: of their files, by name; answers: the folders of the
    tasks' answers; own: by task and system, entries of its own tin; joint: None where the recipe asks for no
    comparison; compared: digests of the evaluations that are compared with."""

    data: Prepared
    tasks: Mapping[str, Prepared]
    tins: Mapping[str, Model]
    answers: Mapping[str, Path]
    own: Mapping[str, Mapping[str, dict[str, Any]]]
    joint: Joint | None
    compared: Mapping[str, str]
    digests: Mapping[str, str]


@dataclass(frozen=True)
class MeasuredTasks:
    """tasks: by task, each system's entry in report.json, by its name; router: by the preset of the file's
    weights, how often it chose right."""

    tasks: dict[str, dict[str, dict[str, Any]]]
    router: dict[str, dict[str, Any]]


def digests_of_tasks(inputs: TasksInputs) -> dict[str, Any]:
    return {
        "adapted": dict(inputs.digests),
        "data": dict(inputs.data.digests),
        "tasks": {name: dataclasses.asdict(one.recipe.data) for name, one in inputs.tasks.items()},
        "compared": dict(inputs.compared),
        "eval": eval_digests(inputs.data.recipe),
    }


def make_of_tasks(inputs: TasksInputs, folder: Path, reporter: Reporter) -> Made[MeasuredTasks]:
    entries: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in inputs.tasks}
    chosen: dict[str, dict[str, Any]] = {}
    for weights, model in inputs.tins.items():
        decisions = decide(inputs, model[0], reporter)
        chosen[weights] = figures(decisions)
        for name, data in inputs.tasks.items():
            asking = Asking(data, inputs.answers[name], reporter)
            entries[name] |= _of_adapter(asking, name, weights, model, decisions[name])
            entries[name] |= _own(inputs.own.get(name, {}), weights)
            if inputs.joint:
                entries[name][named(TOGETHER, weights)] = _together(data, name, inputs.joint, weights)
    outputs = [
        answers_path(inputs.answers[name], system)
        for name, found in entries.items()
        for system in found
        if system.startswith(NAMED)
    ]
    return Made(outputs, MeasuredTasks(entries, chosen))


def _of_adapter(
    asking: Asking, name: str, weights: str, model: Model, decisions: Sequence[str | None]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Unconstrained, constrained if the task is, and as routed: a prompt routed elsewhere counts as wrong."""
    data, system, items = asking.data, named(NAMED, weights), test_items(asking.data)
    prompted = [Item(data.conversation(example)) for example in items]
    outcome, entry = asking.measured(system, model, prompted, adapter=name)
    yield system, entry
    if data.constraint is not None:
        outcome, entry = asking.measured(constrained(system), model, prompted, adapter=name, constrained=True)
        yield constrained(system), entry
    grades = systems.grades(data.task, outcome, items, data.labels())
    routed = [grade if chose == name else WRONG for grade, chose in zip(grades, decisions, strict=True)]
    yield named(ROUTED, weights), result(data, outcome, items, routed)


def _own(known: Mapping[str, dict[str, Any]], weights: str) -> Iterator[tuple[str, dict[str, Any]]]:
    system, called = shipped(weights), named(OWN, weights)
    for of, name in ((system, called), (constrained(system), constrained(called))):
        if of in known:
            yield name, known[of]


def _together(data: Prepared, name: str, joint: Joint, weights: str) -> dict[str, Any]:
    """The joint adapter's answers to one task's test items, graded by the task."""
    answers = read_answers(answers_path(joint.answers, shipped(weights)))
    rows = joint.data.examples("test")
    own = [(answer, row) for answer, row in zip(answers, rows, strict=True) if row.part == name]
    return result(data, Outcome([answer for answer, _ in own], None), [row for _, row in own])


def figures(decisions: Mapping[str, Sequence[str | None]]) -> dict[str, Any]:
    """Of report.json: how often the right task was chosen, and how often none for what is off topic."""

    def share(hits: int, count: int) -> dict[str, Any]:
        return {"prompts": count, "right": hits / count, "interval": list(metrics.interval(hits, count))}

    right = {
        name: sum(one == (None if name == OFF_TOPIC else name) for one in chosen)
        for name, chosen in decisions.items()
    }
    own = [name for name in decisions if name != OFF_TOPIC]
    pairs = ((name, one or NONE) for name, chosen in decisions.items() for one in chosen)
    return {
        **share(sum(right[name] for name in own), sum(len(decisions[name]) for name in own)),
        "tasks": {name: share(right[name], len(decisions[name])) for name in own},
        "off_topic": share(right[OFF_TOPIC], len(decisions[OFF_TOPIC])) if OFF_TOPIC in decisions else None,
        "confusion": metrics.confusion(pairs, "chosen"),
    }


def decide(inputs: TasksInputs, tin: Path, reporter: Reporter) -> dict[str, list[str | None]]:
    """By task, which one the router chooses for each test prompt; and for prompts off topic."""
    recipe = inputs.data.recipe
    model = tinsmith.load(tin, threads=recipe.eval.threads or None)
    asked = {name: [example.input for example in test_items(one)] for name, one in inputs.tasks.items()}
    if "test" in routing.stated(recipe):
        asked[OFF_TOPIC] = routing.prompts(recipe, "test", inputs.data.files[routing.COPIES["test"]])
    decisions: dict[str, list[str | None]] = {name: [] for name in asked}
    with reporter.step("route", sum(map(len, asked.values()))):
        done = 0
        for name, texts in asked.items():
            for text in texts:
                decisions[name].append(model.route(text).task)
                done += 1
                reporter.progress(done)
    return decisions
