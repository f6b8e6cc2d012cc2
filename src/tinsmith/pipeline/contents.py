"""The contents of a run's tins beside the model, and whether they fit the recipe's targets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import __version__, models, targets
from tinsmith.formats.sbom import Bill, Source
from tinsmith.formats.tin import BILL, CONSTRAINT, DRAFT, RECIPE, SOURCE
from tinsmith.pipeline import prepared
from tinsmith.pipeline.prepared import Prepared
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.quant import shipping
from tinsmith.spec import Spec
from tinsmith.targets import Target
from tinsmith.train.batches.sequences import Encode, Tokenization

if TYPE_CHECKING:
    from tinsmith.plan.contents import Base

MEASURED = 4096  # bytes that metrics add to a bill of materials, at most
SOURCE_BYTES = 32


def check_target(data: Prepared, more: Mapping[str, int] | None = None, adapter_rank: int = 0) -> None:
    """Raises InputError where the recipe's files would not fit its targets. The base decides their size, so
    this is known before training. more: bytes of adapters and their parts, by entry; adapter_rank: the
    highest."""
    from tinsmith.plan import fit

    recipe = data.recipe
    spec = models.load(data.base.path, mtp=recipe.build.mtp)
    sizes = {BILL: len(bill(data).encode()) + MEASURED, RECIPE: recipe.path.stat().st_size}
    base = _planned(data, spec, {**sizes, **(more or {})}, adapter_rank)
    fit.check(base, recipe.build.formats, context_of(recipe, spec), devices(recipe))


def room(data: Prepared, spec: Spec) -> int | None:
    """Bytes that the matrices of AUTO may take in the recipe's targets."""
    from tinsmith.plan import fit

    return fit.room(_planned(data, spec, {}), context_of(data.recipe, spec), devices(data.recipe))


def _planned(data: Prepared, spec: Spec, more: dict[str, int], adapter_rank: int = 0) -> Base:
    """The base with all entries of its tin. more: bytes of further entries."""
    from tinsmith.plan.contents import Base

    sizes = {name: len(content) for name, content in entries(data).items()}
    spec = dataclasses.replace(spec, source="0" * 64)  # of what is merged, which is not known yet
    sizes = {**sizes, SOURCE: SOURCE_BYTES, **more}
    return Base(spec, data.recipe.name, context_of(data.recipe, spec), sizes, adapter_rank)


def devices(recipe: Recipe) -> list[Target]:
    return [targets.find(name, recipe.path.parent) for name in recipe.build.target]


def target_digests(recipe: Recipe) -> dict[str, Any]:
    """The decisive fields of the recipe's targets for run.json: [build] has only their names."""
    decisive = ("cpu", "memory", "firmware", "defaults")
    found = [
        {key: table for key, table in dataclasses.asdict(one).items() if key in decisive}
        for one in devices(recipe)
    ]
    return {"devices": found} if found else {}


def context_of(recipe: Recipe, spec: Spec) -> int:
    """The tokens of a session: the recipe's, or else the least of its targets' defaults."""
    from tinsmith.plan import fit

    return fit.context_for(spec, devices(recipe), recipe.build.context)


def check_asked(data: Prepared, spec: Spec, encode: Encode) -> None:
    """Raises DataError for a test example whose prompt fills a session of the built files. spec: with the chat
    template of its prompt."""
    stated, context = data.recipe.data, context_of(data.recipe, spec) or spec.hyper.context
    asking = Tokenization(spec, encode, stated.task, stated.system, context, "context")
    asking.check_asked(data.examples("test"), context)


def entries(data: Prepared) -> dict[str, bytes]:
    """The licences that base and data came with, the compiled constraint, and the draft table."""
    found = shipping.licenses(Path(data.base.path))
    if data.recipe.data.licenses:
        found["LICENSES/data.txt"] = data.files[prepared.LICENSES].read_bytes()
    if data.constraint:
        found[CONSTRAINT] = data.constraint_bytes()
    if prepared.DRAFT in data.files:
        found[DRAFT] = data.files[prepared.DRAFT].read_bytes()
    return found


def manifest(data: Prepared, merged: str) -> dict[str, Any]:
    """A tin's manifest without its weight format. merged: SHA-256 of the float model."""
    base, recipe = data.base, data.recipe
    named = {"name": base.name, "sha256": base.sha256, "license": base.license}
    return {
        "name": recipe.name,
        **({"base": named} if recipe.base else {}),
        "data": data.model_data,
        "merged": merged,
        "recipe": recipe.model_digest,
        "tinsmith": __version__,
        **({"constraint": data.constraint} if data.constraint else {}),
    }


def bill(data: Prepared) -> Bill:
    """The bill of materials without the fields that differ from file to file."""
    name, base = data.recipe.name, data.base
    source = Source(base.name, base.sha256, license=base.license) if base.name is not None else None
    return Bill(
        name,
        __version__,
        base=source,
        data=tuple(Source(f"{name}-{split}", digest) for split, digest in data.model_data.items()),
        license=base.license,
    )
