"""What a run's tins hold beside the model, and whether that and the model fit the recipe's targets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import __version__, targets
from tinsmith.formats.sbom import Bill, Source
from tinsmith.formats.tin import BILL, CONSTRAINT, DRAFT, RECIPE, SOURCE
from tinsmith.pipeline import data
from tinsmith.pipeline.data import Data
from tinsmith.pipeline.run import Record, Run
from tinsmith.quant import shipping

if TYPE_CHECKING:
    from tinsmith.plan.contents import Base
    from tinsmith.spec import Spec
    from tinsmith.targets import Target

MEASURED = 4096  # bytes that metrics add to a bill of materials, at most
SOURCE_BYTES = 32


def check_target(
    run: Run, made: Record[Data], more: Mapping[str, int] | None = None, adapter_rank: int = 0
) -> None:
    """Raises InputError where what the recipe builds would not fit its targets: before anything is trained,
    since the base says how large all of it will be. more: bytes of adapters and what goes with them, by entry;
    adapter_rank: the highest of them."""
    from tinsmith import models
    from tinsmith.plan import fit

    spec = models.load(made.facts.base.path, mtp=run.recipe.build.mtp)
    sizes = {BILL: len(bill(run, made).encode()) + MEASURED, RECIPE: run.recipe.path.stat().st_size}
    base = _planned(run, made, spec, {**sizes, **(more or {})}, adapter_rank)
    fit.check(base, run.recipe.build.formats, context_of(run, spec), devices(run))


def room(run: Run, made: Record[Data], spec: Spec) -> int | None:
    """Bytes that the matrices of AUTO may take in the recipe's targets."""
    from tinsmith.plan import fit

    return fit.room(_planned(run, made, spec, {}), context_of(run, spec), devices(run))


def _planned(run: Run, made: Record[Data], spec: Spec, more: dict[str, int], adapter_rank: int = 0) -> Base:
    """The base with what is added to it. more: bytes of further entries."""
    from tinsmith.plan.contents import Base

    sizes = {name: len(content) for name, content in entries(run, made).items()}
    spec = dataclasses.replace(spec, source="0" * 64)  # of what is merged, which is not known yet
    sizes = {**sizes, SOURCE: SOURCE_BYTES, **more}
    return Base(spec, run.recipe.name, context_of(run, spec), sizes, adapter_rank)


def devices(run: Run) -> list[Target]:
    return [targets.find(name, run.recipe.path.parent) for name in run.recipe.build.target]


def target_inputs(run: Run) -> dict[str, Any]:
    """What decides in the recipe's targets, as run.json keeps it: [build] has only their names."""
    decisive = ("cpu", "memory", "firmware", "defaults")
    found = [
        {key: table for key, table in dataclasses.asdict(one).items() if key in decisive}
        for one in devices(run)
    ]
    return {"devices": found} if found else {}


def context_of(run: Run, spec: Spec) -> int:
    """The tokens of a session: the recipe's, or else the least of its targets' defaults."""
    from tinsmith.plan import fit

    return fit.context_for(spec, devices(run), run.recipe.build.context)


def entries(run: Run, made: Record[Data]) -> dict[str, bytes]:
    """The licences that base and data came with, the compiled constraint, and the draft table."""
    held = shipping.licenses(Path(made.facts.base.path))
    if run.recipe.data.licenses:
        held["LICENSES/data.txt"] = (run.folder / data.LICENSES).read_bytes()
    if made.facts.constraint:
        held[CONSTRAINT] = (run.folder / data.ANSWER).read_bytes()
    if data.DRAFT in made.digests:
        held[DRAFT] = (run.folder / data.DRAFT).read_bytes()
    return held


def manifest(run: Run, made: Record[Data], merged: str) -> dict[str, Any]:
    """What a tin says of its origin; the weight format is added to each. merged: SHA-256 of the float model."""
    base, constraint = made.facts.base, made.facts.constraint
    named = {"name": base.name, "sha256": base.sha256, "license": base.license}
    return {
        "name": run.recipe.name,
        **({"base": named} if run.recipe.base else {}),
        "data": data.model_data(made),
        "merged": merged,
        "recipe": run.recipe.model_digest,
        "tinsmith": __version__,
        **({"constraint": constraint} if constraint else {}),
    }


def bill(run: Run, made: Record[Data]) -> Bill:
    """The bill of materials, but for what differs from file to file."""
    name, base = run.recipe.name, made.facts.base
    source = Source(base.name, base.sha256, license=base.license) if base.name is not None else None
    return Bill(
        name,
        __version__,
        base=source,
        data=tuple(Source(f"{name}-{split}", digest) for split, digest in data.model_data(made).items()),
        license=base.license,
    )
