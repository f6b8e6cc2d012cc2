"""The build stage: a GGUF and an unsealed tin in each format of the recipe, from the merged float model."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith import hub
from tinsmith.format_names import AUTO
from tinsmith.pipeline import auto, contents, data, merge, training
from tinsmith.pipeline.data import Data
from tinsmith.pipeline.merge import Merged
from tinsmith.pipeline.run import Made, Record, Run
from tinsmith.pipeline.training import Trained
from tinsmith.quant import shipping

UNSEALED = "unsealed"  # the tins' folder, in the run's: the seal stage writes those that ship, beside the GGUFs


@dataclass(frozen=True)
class Needs:
    data: Record[Data]
    train: Record[Trained]
    merge: Record[Merged]


@dataclass(frozen=True)
class Built:
    """ggufs, tins: file names by the preset of their weights, the tins' in UNSEALED; front: what AUTO could
    choose from, by size."""

    ggufs: dict[str, str]
    tins: dict[str, str]
    front: list[dict[str, Any]] | None = None


def unsealed(run: Run, built: Record[Built]) -> dict[str, Path]:
    """The tins by the preset of their weights."""
    return {weights: run.folder / UNSEALED / name for weights, name in built.facts.tins.items()}


def digests(built: Record[Built]) -> dict[str, str]:
    """SHA-256 of the built files, by file name."""
    return {Path(name).name: digest for name, digest in built.digests.items()}


def inputs(run: Run, needs: Needs) -> dict[str, Any]:
    base_license = hub.license_text(Path(needs.data.facts.base.path))
    trained = training.folder_name(run.recipe)
    return {
        "merged": needs.merge.digests,
        "importance": needs.train.digests[f"{trained}/importance.safetensors"],
        "build": dataclasses.asdict(run.recipe.build),
        **auto.inputs(run, needs.data),
        "name": run.recipe.name,
        "licenses": needs.data.digests.get(data.LICENSES),
        "base_license": hashlib.sha256(base_license).hexdigest() if base_license else None,
        "constraint": needs.data.digests.get(data.ANSWER),
        "recipe": run.recipe.model_digest,
        "tins": UNSEALED,  # older versions wrote the tins where the sealed ones stand now
    }


def make(run: Run, needs: Needs) -> Made[Built]:
    from tinsmith import models
    from tinsmith.train import importance

    recipe = run.recipe
    spec = models.load(run.folder / merge.FOLDER)
    spec = shipping.prepared(spec, recipe.name, contents.context_of(run, spec))
    weighed = importance.load(run.folder / training.folder_name(recipe))
    weights = {name: shipping.Weights(name, importance=weighed) for name in recipe.build.formats}
    front = None
    if AUTO in weights:
        merged = auto.FloatModel(run.folder / merge.FOLDER, needs.merge.facts.sha256)
        chosen = auto.choose(run, needs.data, spec, run.folder / auto.FOLDER, merged)
        weights[AUTO] = chosen.weights(weighed)
        front = chosen.front
    extra = shipping.Extra(
        contents.entries(run, needs.data),
        contents.manifest(run, needs.data, needs.merge.facts.sha256),
        contents.bill(run, needs.data),
    )
    built = shipping.build_files(
        spec, run.folder, weights.values(), run.display, extra, tins=run.folder / UNSEALED
    )
    facts = Built(
        ggufs={name: gguf.name for name, (gguf, _) in built.items()},
        tins={name: tin.name for name, (_, tin) in built.items()},
        front=front,
    )
    return Made([path for pair in built.values() for path in pair], facts)
