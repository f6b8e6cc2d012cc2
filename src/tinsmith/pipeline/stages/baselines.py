"""The baselines stage: how well the prompted base and retrieval answer without training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.data.readers import Example
from tinsmith.evaluate.answers import AnswerFile, Item
from tinsmith.evaluate.baselines import Linear, Messages, Prompts, Retriever
from tinsmith.evaluate.systems import Outcome
from tinsmith.pipeline import constraint
from tinsmith.pipeline.measuring import (
    FOLDER,
    FREE,
    Answering,
    Asking,
    Measured,
    answers_path,
    baseline_items,
    copying,
    result,
    timed,
)
from tinsmith.pipeline.prepared import Model, Prepared, read_tools, split_name
from tinsmith.pipeline.stage import Made, Reporter
from tinsmith.system import files


@dataclass(frozen=True)
class Inputs:
    data: Prepared


def digests(inputs: Inputs) -> dict[str, Any]:
    prepared, recipe = inputs.data, inputs.data.recipe
    stated = recipe.data
    return {
        "base": prepared.base.sha256,
        "data": [prepared.digests.get(split_name(split)) for split in ("train", "test")],
        "tools": files.sha256_file(recipe.resolve(stated.tools)) if stated.tools else None,
        "task": stated.task,
        "schema": constraint.source_digest(recipe),
        "system": stated.system,
        "thinking": stated.thinking,
        "date": stated.date,
        "eval": dataclasses.asdict(recipe.eval),
    }


def make(inputs: Inputs, folder: Path, reporter: Reporter) -> Made[Measured]:
    data, recipe = inputs.data, inputs.data.recipe
    if not recipe.eval.baselines:
        return Made([], Measured({}))
    train, asking = data.examples("train"), Asking(data, folder / FOLDER, reporter)
    prompts = Prompts(data.task, recipe.data.system, train, read_tools(recipe), recipe.eval.shots)
    results: dict[str, dict[str, Any]] = {}
    for name in recipe.eval.baselines:
        items = baseline_items(data, name)
        if name in FREE:
            path = answers_path(asking.folder, name)
            answer = Linear(data.task, train).answer if name == "tfidf" else copying(Retriever(train))
            outcome = answered(answer, items, path, data.split_digest("train"))
            results[name] = result(data, outcome, items)
            continue
        ask: Callable[[Example], Messages] = getattr(prompts, name)
        prompted = [Item(ask(example)) for example in items]
        base, more = Model(Path(data.base.path), data.base.sha256), recipe.data
        outcome = asking.ask(name, base, prompted, items, thinking=more.thinking, date=more.date)
        results[name] = {**result(data, outcome, items), "bytes": data.base.bytes}
    return Made([answers_path(asking.folder, name) for name in results], Measured(results))


def answered(answer: Answering, items: Sequence[Example], path: Path, digest: str) -> Outcome:
    """The answers of a baseline that runs no model. digest: of the training examples that they follow from."""
    answers = timed(answer, items)
    files.remove(path)
    with closing(AnswerFile(path, digest)) as file:
        for one in answers:
            file.add(one)
    return Outcome(answers, None)
