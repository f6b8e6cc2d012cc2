"""The build stage of several tasks: the base as it is, a GGUF and a tin in each format of the recipe."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from tinsmith.formats.tin import SOURCE
from tinsmith.pipeline import contents, data, training
from tinsmith.pipeline.build import UNSEALED, Built
from tinsmith.pipeline.data import Data
from tinsmith.pipeline.run import Made, Record, Run
from tinsmith.pipeline.skills import data as tasks
from tinsmith.quant import shipping


@dataclass(frozen=True)
class Needs:
    data: Record[Data]


def inputs(run: Run, needs: Needs) -> dict[str, Any]:
    base, answer = needs.data.facts.base, needs.data.digests.get(data.ANSWER)
    return {
        "base": base.sha256,
        "template": base.template,
        "build": run.recipe.build.stated,
        **contents.target_inputs(run),
        "name": run.recipe.name,
        "licenses": needs.data.digests.get(data.LICENSES),
        "recipe": run.recipe.model_digest,
        **({"constraint": answer} if answer else {}),
        "draft": needs.data.digests.get(data.DRAFT),
    }


def make(run: Run, needs: Needs) -> Made[Built]:
    from tinsmith import models

    base = needs.data.facts.base
    for one in tasks.runs(run).values():
        training.check_built(one, tasks.made(one))
    spec = models.load(base.path, mtp=run.recipe.build.mtp)
    origin = spec.source or base.sha256  # as the adapters' training says it
    if spec.chat_template is not None:
        spec = dataclasses.replace(spec, chat_template=data.settled(run.recipe, spec.chat_template))
    spec = shipping.prepared(spec, run.recipe.name, contents.context_of(run, spec))
    extra = shipping.Extra(
        {**contents.entries(run, needs.data), SOURCE: bytes.fromhex(origin)},
        contents.manifest(run, needs.data, origin),
        contents.bill(run, needs.data),
    )
    weights = [shipping.Weights(name) for name in run.recipe.build.formats]
    built = shipping.build_files(spec, run.folder, weights, run.display, extra, tins=run.folder / UNSEALED)
    facts = Built(
        ggufs={name: gguf.name for name, (gguf, _) in built.items()},
        tins={name: tin.name for name, (_, tin) in built.items()},
    )
    return Made(shipping.all_files(spec, built), facts)
