"""The adapters stage: the built base with each task's adapter beside it, and the router that chooses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.compiler.adapter import FORMATS
from tinsmith.formats.router import ENTRY, Router
from tinsmith.pipeline import contents
from tinsmith.pipeline import engine as stages
from tinsmith.pipeline.run import Made, Record, Run
from tinsmith.pipeline.stages import build, router
from tinsmith.pipeline.stages import data_tasks as data
from tinsmith.pipeline.stages.build import Built
from tinsmith.pipeline.stages.data import make as alone
from tinsmith.pipeline.stages.data.make import Data
from tinsmith.pipeline.stages.train import make as training
from tinsmith.quant import shipping
from tinsmith.quant.shipping import Extra
from tinsmith.runtime.adapters import entry, folder
from tinsmith.system import files
from tinsmith.train import methods
from tinsmith.train.adapters import tin as adapter_tin

FOLDER = "skilled"  # of a run: the tins, before they are measured


@dataclass(frozen=True)
class Needs:
    data: Record[Data]
    build: Record[Built]


@dataclass(frozen=True)
class Fit:
    """How a router did on prompts that it was judged by: `right` of the tasks', `rejected` of those off topic;
    held_out: how many there were of both."""

    method: str
    right: float
    rejected: float | None
    held_out: list[int]


@dataclass(frozen=True)
class Skilled:
    """By the preset of the files' weights. tins: their names, in FOLDER; routers: how each was fitted."""

    tins: dict[str, str]
    routers: dict[str, Fit]


def tins(run: Run, made: Record[Skilled]) -> dict[str, Path]:
    """By the preset of their weights."""
    return {weights: run.folder / FOLDER / name for weights, name in made.facts.tins.items()}


def inputs(run: Run, needs: Needs) -> dict[str, Any]:
    return {
        "built": build.digests(needs.build),
        "adapters": {name: one.done(stages.TRAIN).digests for name, one in data.runs(run).items()},
        "data": {name: data.made(one).digests for name, one in data.runs(run).items()},
        "off_topic": needs.data.digests[data.OFF_TOPIC["off_topic"]],
        "router": [router.examples(run), run.recipe.train.seed, run.recipe.eval.seed],
    }


def make(run: Run, needs: Needs) -> Made[Skilled]:
    from tinsmith.train.adapters import router_tin

    outputs, routers = [], {}
    for weights, source in build.unsealed(run, needs.build).items():
        outputs.append(run.folder / FOLDER / source.name)
        files.make_folder(outputs[-1].parent)
        add(run, source, outputs[-1])
        fitted = router.fitted(run, outputs[-1])
        router_tin.put(outputs[-1], fitted.router, outputs[-1])
        routers[weights] = Fit(fitted.method, fitted.right, fitted.rejected, list(fitted.held_out))
    return Made(outputs, Skilled(dict(needs.build.facts.tins), routers))


def add(run: Run, source: Path, out: Path, measured: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Writes a tin with the adapters of all tasks. measured: by task, further facts of its adapter."""
    for name, one in data.runs(run).items():
        folder = one.folder / training.folder_name(one.recipe)
        adapter_tin.add(source, name, folder, out, FORMATS[0], extra(one, (measured or {}).get(name, {})))
        source = out


def planned(run: Run) -> tuple[dict[str, int], int]:
    """Bytes of what the tasks add to the base's tin, by entry and at most, and the highest of their parts of a
    session's adapter_rank: before they are trained."""
    from tinsmith import models
    from tinsmith.compiler import build as compiler
    from tinsmith.compiler.program import read_program

    spec = models.load(run.done(stages.DATA).facts.base.path)
    program, template = read_program(compiler.program_of(spec)), spec.chat_template
    sizes, highest = {ENTRY: Router.bytes_of(list(run.recipe.tasks), spec.hyper.dim)}, 0
    for name, one in data.runs(run).items():
        made = data.made(one).facts
        train = training.options(one.recipe, made.counts["train"], made=made.augmentation is not None)
        method = methods.by_name(one.recipe.train.method)
        sizes[entry(name)], rank = method.beside(spec, train, program)
        brought = dict(extra(one, {}).entries)
        settled, own = (alone.settled(of.recipe, template) for of in (one, run)) if template else ("", "")
        if settled != own:
            brought |= compiler.template_entries(spec.tokenizer, settled, name)[0]
        sizes |= {f"{folder(name)}{at}": len(held) for at, held in brought.items()}
        highest = max(highest, rank)
    return sizes, highest


def extra(one: Run, measured: Mapping[str, Any]) -> Extra:
    """What a task's adapter brings beside its factors: its constraint, its data's licences, and where it is
    from."""
    made = data.made(one)
    of_base = shipping.licenses(Path(made.facts.base.path))
    entries = {name: held for name, held in contents.entries(one, made).items() if name not in of_base}
    facts = {"data": alone.model_data(made), "recipe": one.recipe.model_digest, **measured}
    if made.facts.constraint:
        facts["constraint"] = made.facts.constraint
    bill = dataclasses.replace(contents.bill(one, made), metrics=measured.get("metrics", {}))
    return Extra(entries, facts, bill)
