"""The stages that measure: the baselines before training, then the float model and every shipped file.

All systems answer the same test items in the same order, greedily. A system's entry in report.json is made
here: its grades by metrics, its costs by systems.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import tasks
from tinsmith.evaluate import metrics, surety, systems
from tinsmith.evaluate.answers import Answer, AnswerFile, Item, Job
from tinsmith.evaluate.baselines import Linear, Messages, Prompts, Retriever, stratified, with_turns
from tinsmith.evaluate.systems import Outcome
from tinsmith.pipeline import build, constraint, data, merge
from tinsmith.pipeline.build import Built
from tinsmith.pipeline.data import Data
from tinsmith.pipeline.merge import Merged
from tinsmith.pipeline.run import Made, Record, Run
from tinsmith.pipeline.verify import Verified
from tinsmith.system import files

if TYPE_CHECKING:
    from tinsmith.data.readers import Example
    from tinsmith.tasks import Grade

FOLDER = "eval"  # of a run: the answers
TUNED = "tuned"  # the float model
# Models of one training answer nearly alike, so each one after the first checks the first one's answers as
# drafts: one pass over prompt and draft, and plain decoding from the first token that differs. Each token kept
# is the model's own greedy choice, so its answers are exactly those of plain decoding. A quantized file goes
# first: it decodes fastest.
FLOAT = (TUNED, "shipped_f32", "shipped_f16")
# Baselines that run no model; so they cost nothing, and answer every item.
FREE = ("nearest", "tfidf")
# Keys of [eval] that have to do with baselines alone.
BASELINE_KEYS = ("baselines", "baseline_limit", "shots")


@dataclass(frozen=True)
class BaselineNeeds:
    data: Record[Data]


@dataclass(frozen=True)
class Needs:
    data: Record[Data]
    merge: Record[Merged]
    build: Record[Built]
    verify: Record[Verified]  # nothing is measured that was not verified


@dataclass(frozen=True)
class Measured:
    """systems: each one's entry in report.json, by its name."""

    systems: dict[str, dict[str, Any]]


def shipped(weights: str) -> str:
    """The name of the system that is a shipped file."""
    return f"shipped_{weights.lower()}"


def constrained(system: str) -> str:
    """The name of a system under the constraint that its file carries."""
    return f"{system}_constrained"


def answers_path(run: Run, system: str) -> Path:
    return run.folder / FOLDER / f"{system}.jsonl"


def test_items(run: Run) -> list[Example]:
    """The test examples that are evaluated: all, or `[eval] limit` of them, the parts evenly."""
    examples = data.examples(run, "test")
    chosen = stratified(examples, run.recipe.eval.limit, run.recipe.eval.seed)
    return [examples[i] for i in chosen]


def baseline_items(run: Run, name: str) -> list[Example]:
    """What a baseline answers: `[eval] baseline_limit` of the test items, but all where it costs nothing."""
    items = test_items(run)
    if name in FREE:
        return items
    chosen = stratified(items, run.recipe.eval.baseline_limit, run.recipe.eval.seed)
    return [items[i] for i in chosen]


def baseline_inputs(run: Run, needs: BaselineNeeds) -> dict[str, Any]:
    stated, digests = run.recipe.data, needs.data.digests
    return {
        "base": needs.data.facts.base.sha256,
        "data": [digests.get(data.split_name(split)) for split in ("train", "test")],
        "tools": files.sha256_file(run.recipe.resolve(stated.tools)) if stated.tools else None,
        "task": stated.task,
        "schema": constraint.source_digest(run.recipe),
        "system": stated.system,
        "thinking": stated.thinking,
        "date": stated.date,
        "eval": dataclasses.asdict(run.recipe.eval),
    }


def make_baselines(run: Run, needs: BaselineNeeds) -> Made[Measured]:
    recipe, base = run.recipe, needs.data.facts.base
    if not recipe.eval.baselines:
        return Made([], Measured({}))
    train, prompts = data.examples(run, "train"), _prompts(run)
    results: dict[str, dict[str, Any]] = {}
    for name in recipe.eval.baselines:
        items = baseline_items(run, name)
        if name in FREE:
            outcome = _answered(run, name, train, items, needs.data.digests[data.split_name("train")])
            results[name] = result(run, outcome, items)
            continue
        ask: Callable[[str], Messages] = getattr(prompts, name)
        prompted = [Item(with_turns(ask(example.input), example)) for example in items]
        outcome = _ask(
            run,
            name,
            (Path(base.path), base.sha256),
            prompted,
            items,
            thinking=recipe.data.thinking,
            date=recipe.data.date,
        )
        results[name] = {**result(run, outcome, items), "bytes": base.bytes}
    return Made([answers_path(run, name) for name in results], Measured(results))


def _prompts(run: Run) -> Prompts:
    recipe = run.recipe
    tools = data.read_tools(recipe)
    task, train = tasks.by_name(recipe.data.task), data.examples(run, "train")
    return Prompts(task, recipe.data.system, train, tools, recipe.eval.shots, recipe.eval.seed)


def inputs(run: Run, needs: Needs) -> dict[str, Any]:
    settings = dataclasses.asdict(run.recipe.eval)
    return {
        "built": build.digests(needs.build),
        "merged": needs.merge.digests,
        "data": needs.data.digests[data.split_name("test")],
        "task": run.recipe.data.task,
        "schema": constraint.source_digest(run.recipe),
        "system": run.recipe.data.system,
        "eval": {key: value for key, value in settings.items() if key not in BASELINE_KEYS},
        **(
            {"validation": needs.data.digests[data.split_name("validation")]}
            if run.recipe.eval.max_error is not None
            else {}
        ),
    }


def make(run: Run, needs: Needs) -> Made[Measured]:
    """A file that carries a constraint answers twice: free, and under the constraint (`<name>_constrained`),
    each answer from its beginning: what the constraint saves is to be seen."""
    models = measured_models(run, needs)
    bound = needs.data.facts.constraint is not None
    results = dict(_of_models(run, models, bound))
    for weights, path in build.unsealed(run, needs.build).items():
        for system in (shipped(weights), constrained(shipped(weights))):
            if system in results:
                results[system]["bytes"] = path.stat().st_size
    ordered = {
        system: results[system] for name in models for system in (name, constrained(name)) if system in results
    }
    return Made([answers_path(run, name) for name in ordered], Measured(ordered))


def measured_models(run: Run, needs: Needs) -> dict[str, tuple[Path, str]]:
    """By system, each model and its digest: the float model, then the built files."""
    digests = build.digests(needs.build)
    built = build.unsealed(run, needs.build)
    return {
        TUNED: (run.folder / merge.FOLDER, needs.merge.facts.sha256),
        **{shipped(weights): (path, digests[path.name]) for weights, path in built.items()},
    }


def _of_models(
    run: Run, models: Mapping[str, tuple[Path, str]], bound: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each system's entry, quantized files first, since the first one's answers are the others' drafts. bound:
    the files carry a constraint."""
    items = test_items(run)
    messages = [data.conversation(run, example) for example in items]
    plain = [Item(asked) for asked in messages]
    drafts: list[list[int] | None] | None = None
    for name in sorted(models, key=lambda name: name in FLOAT):
        prompted = plain
        if drafts is not None:
            prompted = [Item(asked, draft) for asked, draft in zip(messages, drafts, strict=True)]
        outcome, entry = measured(run, name, models[name], prompted)
        drafts = drafts or [answer.tokens for answer in outcome.answers]
        yield name, entry
        if bound and name != TUNED:
            _, entry = measured(run, constrained(name), models[name], plain, constrained=True)
            yield constrained(name), entry


def measured(
    run: Run, name: str, model: tuple[Path, str], prompted: Sequence[Item], **options: Any
) -> tuple[Outcome, dict[str, Any]]:
    """A system's answers to the test items, and its entry in report.json. model: its path and digest; options:
    further fields of the job."""
    items, sure = test_items(run), run.recipe.eval.max_error is not None and name != TUNED
    outcome = _ask(run, name, model, prompted, items, confidence=sure, **options)
    entry = result(run, outcome, items)
    return outcome, {**entry, "sure": _sure(run, name, model, outcome, items, **options)} if sure else entry


def _sure(
    run: Run, name: str, model: tuple[Path, str], outcome: Outcome, items: Sequence[Example], **options: Any
) -> dict[str, Any]:
    """The threshold for `[eval] error` that the validation set gives, and what it does there and on the test
    set. outcome, items: the test's."""
    held = data.examples(run, "validation")
    asked = [Item(data.conversation(run, example)) for example in held]
    before = _ask(run, f"{name}_validation", model, asked, confidence=True, **options)
    task, known = tasks.by_name(run.recipe.data.task), data.labels(run)
    seen = {}
    for split, answered, examples in (("validation", before, held), ("test", outcome, items)):
        logs = [answer.log_probability for answer in answered.answers]
        right = [grade.exact for grade in systems.grades(task, answered, examples, known)]
        seen[split] = [log if log is not None else -math.inf for log in logs], right
    error = run.recipe.eval.max_error
    assert error is not None
    least = surety.threshold(*seen["validation"], error)
    points = {split: surety.at(*pairs, least) for split, pairs in seen.items()}
    return {
        "error": error,
        "threshold": least,
        **{
            split: {"items": len(seen[split][1]), **dataclasses.asdict(point)}
            for split, point in points.items()
        },
        "curve": [dataclasses.asdict(point) for point in surety.curve(*seen["test"])],
    }


def _ask(
    run: Run,
    name: str,
    model: tuple[Path, str],
    items: Sequence[Item],
    weighed: Sequence[Example] = (),
    **options: Any,
) -> Outcome:
    """model: its path and digest; weighed: the examples that the items ask for, where the task's measures are
    wanted; options: further fields of the job."""
    settings, (path, digest) = run.recipe.eval, model
    task = tasks.by_name(run.recipe.data.task)
    if weighed and task.weighs == "expected":
        pairs = zip(items, weighed, strict=True)
        items = [dataclasses.replace(item, expected=example.output) for item, example in pairs]
    if weighed and task.weighs == "options":
        train = data.examples(run, "train") or data.examples(run, "validation")
        options["options"] = task.options(example.output for example in train)
    job = Job(str(path), digest, settings.threads, settings.max_tokens, list(items), **options)
    with run.display.bar(name, len(items)) as bar:
        return systems.ask(name, job, run.folder / FOLDER, bar.update)


def _answered(run: Run, name: str, train: Sequence[Example], items: Sequence[Example], digest: str) -> Outcome:
    """The answers of a baseline that runs no model. digest: of the training examples that they follow from."""
    answer = _free(run, name, train)
    answers = []
    for i, example in enumerate(items):
        start = time.perf_counter()
        text, options = answer(example.input)
        seconds = time.perf_counter() - start
        answers.append(Answer(i, text, [], 0, seconds, "stop", options=options))
    path = answers_path(run, name)
    files.remove(path)
    file = AnswerFile(path, digest)
    for one in answers:
        file.add(one)
    file.close()
    return Outcome(answers, None)


def _free(
    run: Run, name: str, train: Sequence[Example]
) -> Callable[[str], tuple[str, dict[str, float] | None]]:
    if name == "tfidf":
        return Linear(tasks.by_name(run.recipe.data.task), train).answer
    retriever = Retriever(train)
    return lambda sentence: (retriever.nearest(sentence, 1)[0].output, None)


def result(
    run: Run, outcome: Outcome, items: Sequence[Example], grades: Sequence[Grade] | None = None
) -> dict[str, Any]:
    """A system's entry in report.json. grades: other ones than those of the answers."""
    recipe = run.recipe
    task, known = tasks.by_name(recipe.data.task), data.labels(run)
    if grades is None:
        grades = systems.grades(task, outcome, items, known)
    parts = [example.part for example in items]
    return {
        **metrics.summarize(grades, parts, recipe.eval.bootstrap, recipe.eval.seed),
        **systems.costs(outcome),
        "task": task.measures(outcome.answers, items, known, constraint.read_schema(recipe)),
    }
