"""The build stage: a GGUF and an unsealed tin in each format of the recipe, from the merged float model."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith import hub
from tinsmith.format_names import AUTO
from tinsmith.formats.tin import SOURCE
from tinsmith.pipeline import auto, contents, data, merge, roughest, training
from tinsmith.pipeline.data import Data
from tinsmith.pipeline.merge import Merged
from tinsmith.pipeline.run import Made, Record, Run
from tinsmith.pipeline.training import Trained
from tinsmith.quant import shipping
from tinsmith.train.quantized import qat_adapter
from tinsmith.train.quantized.importance import NAME as IMPORTANCE

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


@dataclass(frozen=True)
class Origin:
    """What the files of some formats are built from: the folder of the float model, the SHA-256 of its files
    together, and the folder of what was trained."""

    merged: Path
    sha256: str
    trained: Path
    formats: list[str]


def unsealed(run: Run, built: Record[Built]) -> dict[str, Path]:
    """The tins by the preset of their weights."""
    return {weights: run.folder / UNSEALED / name for weights, name in built.facts.tins.items()}


def digests(built: Record[Built]) -> dict[str, str]:
    """SHA-256 of the built files, by file name."""
    return {Path(name).name: digest for name, digest in built.digests.items()}


def inputs(run: Run, needs: Needs) -> dict[str, Any]:
    base_license = hub.license_text(Path(needs.data.facts.base.path))
    trained = training.folder_name(run.recipe)
    qat = needs.train.digests.get(f"{qat_adapter.FOLDER}/{trained}/{IMPORTANCE}")
    return {
        "merged": needs.merge.digests,
        "importance": needs.train.digests[f"{trained}/{IMPORTANCE}"],
        **({"qat_importance": qat} if qat else {}),
        "build": run.recipe.build.stated,
        **contents.target_inputs(run),
        **auto.inputs(run, needs.data),
        "name": run.recipe.name,
        "licenses": needs.data.digests.get(data.LICENSES),
        "base_license": hashlib.sha256(base_license).hexdigest() if base_license else None,
        "constraint": needs.data.digests.get(data.ANSWER),
        "draft": needs.data.digests.get(data.DRAFT),
        "recipe": run.recipe.model_digest,
        "tins": UNSEALED,  # older versions wrote the tins where the sealed ones stand now
    }


def make(run: Run, needs: Needs) -> Made[Built]:
    built: dict[str, tuple[Path, Path]] = {}
    outputs: list[Path] = []
    front = None
    training.check_built(run, needs.data)
    for origin in origins(run, needs):
        pairs, written, searched = files_of(run, needs, origin)
        built |= pairs
        outputs += written
        front = front or searched
    ordered = {name: built[name] for name in run.recipe.build.formats}
    facts = Built(
        ggufs={name: gguf.name for name, (gguf, _) in ordered.items()},
        tins={name: tin.name for name, (_, tin) in ordered.items()},
        front=front,
    )
    return Made(outputs, facts)


def origins(run: Run, needs: Needs) -> list[Origin]:
    """One, or where low-precision files have an adapter of their own, two."""
    formats, merged = run.recipe.build.formats, needs.merge.facts
    qat = [name for name in formats if merged.qat_sha256 and roughest.needs_qat(run.recipe, name)]
    others = [name for name in formats if name not in qat]
    found = [
        Origin(run.folder / merge.FOLDER, merged.sha256, run.folder / training.folder_name(run.recipe), others)
    ]
    if merged.qat_sha256:
        found.append(Origin(run.folder / merge.QAT, merged.qat_sha256, training.qat_folder(run), qat))
    return [origin for origin in found if origin.formats]


def files_of(
    run: Run, needs: Needs, origin: Origin
) -> tuple[dict[str, tuple[Path, Path]], list[Path], list[dict[str, Any]] | None]:
    """A GGUF and a tin by format; these and the vision halves; and what AUTO could choose from, if it is among
    these."""
    from tinsmith import models
    from tinsmith.train.quantized import importance

    spec = models.load(origin.merged, mtp=run.recipe.build.mtp)
    spec = dataclasses.replace(spec, source=origin.sha256)
    spec = shipping.prepared(spec, run.recipe.name, contents.context_of(run, spec))
    weighed = importance.load(origin.trained)
    weights = {name: shipping.Weights(name, importance=weighed) for name in origin.formats}
    front = None
    if AUTO in weights:
        # A least accuracy is of the answers of the model that was trained first.
        merged = auto.FloatModel(run.folder / merge.FOLDER, needs.merge.facts.sha256)
        folder = run.folder / auto.FOLDER
        chosen = auto.seeing(run, spec, auto.choose(run, needs.data, spec, folder, merged), folder)
        weights[AUTO] = chosen.weights(weighed)
        front = chosen.front
    extra = shipping.Extra(
        {**contents.entries(run, needs.data), SOURCE: bytes.fromhex(origin.sha256)},
        contents.manifest(run, needs.data, origin.sha256),
        contents.bill(run, needs.data),
    )
    tins = run.folder / UNSEALED
    built = shipping.build_files(spec, run.folder, weights.values(), run.display, extra, tins=tins)
    return built, shipping.all_files(spec, built), front
