"""The adapters stage: the built base with each task's adapter beside it, and the router that chooses.

The router is fitted on the tasks' training and validation prompts. It reads the states of the base alone, so
the base's own chat template renders the prompts, without a task's system message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tinsmith
from tinsmith.evaluate.baselines import stratified
from tinsmith.evaluate.metrics import SEED
from tinsmith.formats.tin import SOURCE, Tin
from tinsmith.pipeline import beside, routing
from tinsmith.pipeline.prepared import Learned, Prepared
from tinsmith.pipeline.stage import Made, Reporter
from tinsmith.system import files
from tinsmith.train.adapters import router_tin

if TYPE_CHECKING:
    from tinsmith.train.adapters.router import Fitted

FOLDER = "adapted"  # of a run: the tins, before they are measured


@dataclass(frozen=True)
class Inputs:
    """tins: the built base by the preset of its weights; digests: of all built files, by name."""

    data: Prepared
    tasks: Mapping[str, Learned]
    tins: Mapping[str, Path]
    digests: Mapping[str, str]

    @property
    def examples(self) -> int:
        """Of each task's splits, what the router is fitted on at most."""
        assert self.data.recipe.router  # of a recipe with tasks
        return self.data.recipe.router.examples


@dataclass(frozen=True)
class Adapted:
    """By the preset of the files' weights. tins: their names, in FOLDER; routers: the figures of a Fitted."""

    tins: dict[str, str]
    routers: dict[str, dict[str, Any]]


def digests(inputs: Inputs) -> dict[str, Any]:
    prepared, recipe = inputs.data, inputs.data.recipe
    return {
        "built": dict(inputs.digests),
        "adapters": {name: dict(one.digests) for name, one in inputs.tasks.items()},
        "data": {name: dict(one.data.digests) for name, one in inputs.tasks.items()},
        "off_topic": prepared.digests[routing.COPIES["off_topic"]],
        "router": [inputs.examples, recipe.train.seed, SEED],
    }


def make(inputs: Inputs, folder: Path, reporter: Reporter) -> Made[Adapted]:
    outputs, routers = [], {}
    for weights, source in inputs.tins.items():
        outputs.append(folder / FOLDER / source.name)
        files.make_folder(outputs[-1].parent)
        beside.add(inputs.tasks, source, outputs[-1])
        found = fitted(inputs, outputs[-1], reporter)
        router_tin.put(outputs[-1], found.router, outputs[-1])
        routers[weights] = {key: value for key, value in vars(found).items() if key != "router"}
    return Made(outputs, Adapted({weights: path.name for weights, path in inputs.tins.items()}, routers))


def fitted(inputs: Inputs, tin: Path, reporter: Reporter) -> Fitted:
    """By the states of the file's own base."""
    from tinsmith.train.adapters import router

    data = inputs.data
    own, copy = task_prompts(inputs), data.files[routing.COPIES["off_topic"]]
    off = routing.prompts(data.recipe, "off_topic", copy)
    labels = [name for name, texts in own.items() for _ in texts]
    with reporter.step("router", len(labels) + len(off)):
        model = tinsmith.load(tin, threads=data.recipe.eval.threads or None)
        tasks = _states(model, [text for texts in own.values() for text in texts], reporter, 0)
        seed, source = data.recipe.train.seed, bytes(Tin(tin).entry(SOURCE))
        refused = _states(model, off, reporter, len(labels))
        return router.fit(tasks, labels, refused, seed=seed, source=source)


def task_prompts(inputs: Inputs) -> dict[str, list[str]]:
    """By task, so many inputs of the training examples, and of the validation examples, as the recipe says."""
    chosen: dict[str, list[str]] = {}
    for name, one in inputs.tasks.items():
        for split in ("train", "validation"):
            rows = one.data.examples(split)
            picked = stratified(rows, inputs.examples)
            chosen.setdefault(name, []).extend(row.input for row in picked)
    return chosen


def _states(model: Any, texts: Sequence[str], reporter: Reporter, done: int) -> Any:
    """What the base of a file makes of prompts: [texts, dim], float32. done: prompts before these."""
    import numpy as np

    rows = []
    for text in texts:
        rows.append(np.asarray(model.states([text])[0]))
        reporter.progress(done + len(rows))
    return np.stack(rows)
