"""The stages that measure: the baselines before training, then the float model and every shipped file.

All systems answer the same test items in the same order, greedily. A system's entry in report.json is made
here: its grades by metrics, its costs by systems.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.evaluate import metrics, systems
from tinsmith.evaluate.answers import Answer, AnswerFile, Item, Job
from tinsmith.evaluate.baselines import Prompts, Retriever, stratified
from tinsmith.evaluate.systems import Outcome
from tinsmith.pipeline import data as dataset
from tinsmith.pipeline.run import Made, Run

if TYPE_CHECKING:
    from tinsmith.data.readers import Example

# Models of one training answer nearly alike, so each one after the first checks the first one's answers as
# drafts: one pass over prompt and draft, and plain decoding from the first token that differs. Each token kept
# is the model's own greedy choice, so its answers are exactly those of plain decoding. A quantized file goes
# first: it decodes fastest.
FLOAT = ("tuned", "shipped_f32", "shipped_f16")


def test_items(run: Run) -> list[Example]:
    """The test examples that are evaluated: all, or `[eval] limit` of them, the parts evenly."""
    examples = dataset.examples(run, "test")
    chosen = stratified(examples, run.recipe.eval.limit, run.recipe.eval.seed)
    return [examples[i] for i in chosen]


def baseline_items(run: Run, name: str) -> list[Example]:
    """What a baseline answers: `[eval] baseline_limit` of the test items, but all where it costs nothing."""
    items = test_items(run)
    if name == "nearest":
        return items
    chosen = stratified(items, run.recipe.eval.baseline_limit, run.recipe.eval.seed)
    return [items[i] for i in chosen]


def labels(run: Run) -> frozenset[str]:
    """The labels of the training examples: functions of calls, or classes; empty for other tasks."""
    found = {metrics.label(run.recipe.data.task, e.output) for e in dataset.examples(run, "train")}
    return frozenset(label for label in found if label is not None)


def baselines(run: Run) -> Made:
    recipe = run.recipe
    if not recipe.eval.baselines:
        return Made([], {"systems": {}})
    train = dataset.examples(run, "train")
    base = run.facts("data")["base"]
    tools = dataset.read_tools(recipe)
    results: dict[str, Any] = {}
    outputs: list[Path] = []
    prompts = Prompts(recipe.data.task, recipe.data.system, train, tools, recipe.eval.shots, recipe.eval.seed)
    for name in recipe.eval.baselines:
        items = baseline_items(run, name)
        if name == "nearest":
            outcome = _copy_nearest(run, Retriever(train), items)
        else:
            ask: Callable[[str], list[dict[str, str]]] = getattr(prompts, name)
            prompted = [Item(ask(e.input)) for e in items]
            data = recipe.data
            outcome = _ask(
                run, name, Path(base["path"]), base["sha256"], prompted, thinking=data.thinking, date=data.date
            )
        results[name] = _result(run, outcome, items)
        if name != "nearest":
            results[name]["bytes"] = base["bytes"]
        outputs.append(_answers(run, name))
    return Made(outputs, {"systems": results})


def evaluate(run: Run) -> Made:
    """Quantized files first, since the first one's answers are the others' drafts.

    A file that carries a constraint answers twice: free, and under the constraint (`<name>_constrained`), each
    answer from its beginning: what the constraint saves is to be seen.
    """
    files = {f"shipped_{name.lower()}": run.folder / file for name, file in run.facts("build")["tins"].items()}
    digests = {name: run.digests("build")[path.name] for name, path in files.items()}
    models = {"tuned": run.folder / "merged", **files}
    digests["tuned"] = run.facts("merge")["sha256"]
    items = test_items(run)
    messages = [dataset.conversation(run, e) for e in items]
    results: dict[str, Any] = {}
    drafts: list[list[int] | None] = [None] * len(items)
    for name in sorted(models, key=lambda name: name in FLOAT):
        prompted = [Item(m, draft) for m, draft in zip(messages, drafts, strict=True)]
        outcome = _ask(run, name, models[name], digests[name], prompted)
        if drafts[0] is None:
            drafts = [answer.tokens for answer in outcome.answers]
        results[name] = _result(run, outcome, items)
        if name in files and run.facts("data").get("constraint"):
            plain = [Item(m) for m in messages]
            outcome = _ask(run, constrained(name), models[name], digests[name], plain, constrained=True)
            results[constrained(name)] = _result(run, outcome, items)
    for name, size in ((name, path.stat().st_size) for name, path in files.items()):
        for system in (name, constrained(name)):
            if system in results:
                results[system]["bytes"] = size
    ordered = {
        system: results[system] for name in models for system in (name, constrained(name)) if system in results
    }
    return Made([_answers(run, name) for name in ordered], {"systems": ordered})


def constrained(system: str) -> str:
    """The name of a system under the constraint that its file carries."""
    return f"{system}_constrained"


def _ask(run: Run, name: str, model: Path, digest: str, items: Sequence[Item], **options: Any) -> Outcome:
    """options: further fields of the job."""
    settings = run.recipe.eval
    job = Job(str(model), digest, settings.threads, settings.max_tokens, list(items), **options)
    with run.display.bar(name, len(items)) as bar:
        return systems.ask(name, job, run.folder / "eval", bar.update)


def _copy_nearest(run: Run, retriever: Retriever, items: Sequence[Example]) -> Outcome:
    answers = []
    for i, example in enumerate(items):
        start = time.perf_counter()
        text = retriever.nearest(example.input, 1)[0].output
        seconds = time.perf_counter() - start
        answers.append(Answer(i, text, [], 0, seconds, "stop"))
    path = _answers(run, "nearest")
    path.unlink(missing_ok=True)
    file = AnswerFile(path, run.digests("data")["data/train.jsonl"])
    for answer in answers:
        file.add(answer)
    file.close()
    return Outcome(answers, None)


def _result(run: Run, outcome: Outcome, items: Sequence[Example]) -> dict[str, Any]:
    recipe = run.recipe
    grades = systems.grades(recipe.data.task, outcome, items, labels(run))
    parts = [e.part for e in items]
    summary = metrics.summarize(grades, parts, recipe.eval.bootstrap, recipe.eval.seed)
    return summary | systems.costs(outcome)


def _answers(run: Run, name: str) -> Path:
    return run.folder / "eval" / f"{name}.jsonl"
