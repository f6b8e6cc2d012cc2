"""The build stage: a GGUF and an unsealed tin in each format of the recipe.

They are made from the merged float model, or from the base itself where adapters go beside it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tinsmith
from tinsmith import hub, models
from tinsmith.format_names import AUTO
from tinsmith.formats.tin import SOURCE
from tinsmith.pipeline import contents, formats
from tinsmith.pipeline.prepared import ANSWER, DRAFT, LICENSES, Model, Prepared, load_base
from tinsmith.pipeline.stage import Made, Reporter
from tinsmith.quant import shipping
from tinsmith.spec import Spec
from tinsmith.train.quantized import importance

UNSEALED = "unsealed"  # the tins' folder, in the run's: the seal stage writes those that ship, beside the GGUFs

Pairs = dict[str, tuple[Path, Path]]  # a GGUF and a tin by format


@dataclass(frozen=True)
class Origin:
    """What the files of some formats are built from: a float model, and the folder of what was trained."""

    model: Model
    trained: Path
    formats: list[str]


@dataclass(frozen=True)
class Inputs:
    """merged: the float model that was trained first; origins: of all formats; digests: of the merged files and
    the importance that quantization weighs by."""

    data: Prepared
    merged: Model
    origins: Sequence[Origin]
    digests: Mapping[str, Any]


@dataclass(frozen=True)
class BaseInputs:
    """learned: the data of each task, whose adapters go beside the base."""

    data: Prepared
    learned: Sequence[Prepared]


@dataclass(frozen=True)
class Built:
    """ggufs, tins: file names by preset, the tins' in UNSEALED; front: AUTO's options, by size."""

    ggufs: dict[str, str]
    tins: dict[str, str]
    front: list[dict[str, Any]] | None = None


def _decisive(data: Prepared) -> dict[str, Any]:
    recipe = data.recipe
    return {
        "build": dataclasses.asdict(recipe.build),
        **contents.target_digests(recipe),
        "name": recipe.name,
        "licenses": data.digests.get(LICENSES),
        "draft": data.digests.get(DRAFT),
        "recipe": recipe.model_digest,
    }


def digests(inputs: Inputs) -> dict[str, Any]:
    data, base_license = inputs.data, hub.license_text(Path(inputs.data.base.path))
    return {
        **inputs.digests,
        **_decisive(data),
        **formats.auto_digests(data),
        "base_license": hashlib.sha256(base_license).hexdigest() if base_license else None,
        "constraint": data.digests.get(ANSWER),
    }


def digests_of_base(inputs: BaseInputs) -> dict[str, Any]:
    data, answer = inputs.data, inputs.data.digests.get(ANSWER)
    constraint = {"constraint": answer} if answer else {}
    return {"base": data.base.sha256, "template": data.base.template, **_decisive(data), **constraint}


def make(inputs: Inputs, folder: Path, reporter: Reporter) -> Made[Built]:
    built: Pairs = {}
    outputs: list[Path] = []
    front = None
    check_context(inputs.data)
    for origin in inputs.origins:
        pairs, written, searched = files_of(inputs, origin, folder, reporter)
        built |= pairs
        outputs += written
        front = front or searched
    return Made(outputs, _facts({name: built[name] for name in inputs.data.recipe.build.formats}, front))


def make_of_base(inputs: BaseInputs, folder: Path, reporter: Reporter) -> Made[Built]:
    """The base as it is."""
    data, recipe = inputs.data, inputs.data.recipe
    for one in inputs.learned:
        check_context(one)
    spec = load_base(recipe, data.base.path, mtp=recipe.build.mtp)
    origin = spec.source or data.base.sha256  # as the adapters' training says it
    spec = shipping.prepared(spec, recipe.name, contents.context_of(recipe, spec))
    weights = [shipping.Weights(name) for name in recipe.build.formats]
    built = _build(data, spec, origin, weights, folder, reporter)
    return Made(shipping.all_files(spec, built), _facts(built))


def check_context(data: Prepared) -> None:
    """Raises DataError as contents.check_asked: the context may have changed since training."""
    tokenizer = tinsmith.load(data.base.path)
    spec = load_base(data.recipe, data.base.path)
    contents.check_asked(data, spec, partial(tokenizer.tokenize, special=True))


def files_of(
    inputs: Inputs, origin: Origin, folder: Path, reporter: Reporter
) -> tuple[Pairs, list[Path], list[dict[str, Any]] | None]:
    """The files by format; these and the vision models; and what AUTO could choose from, if it is a format."""
    data, recipe = inputs.data, inputs.data.recipe
    spec = models.load(origin.model.path, mtp=recipe.build.mtp)
    spec = dataclasses.replace(spec, source=origin.model.sha256)
    spec = shipping.prepared(spec, recipe.name, contents.context_of(recipe, spec))
    weighed = importance.load(origin.trained)
    weights = {name: shipping.Weights(name, importance=weighed) for name in origin.formats}
    front = None
    if AUTO in weights:
        # A least accuracy is of the answers of the model that was trained first.
        measured = folder / formats.FOLDER
        chosen = formats.choose(data, spec, measured, reporter, inputs.merged)
        chosen = formats.seeing(data, spec, chosen, measured, reporter)
        weights[AUTO] = chosen.weights()
        front = chosen.front
    built = _build(data, spec, origin.model.sha256, list(weights.values()), folder, reporter)
    return built, shipping.all_files(spec, built), front


def _build(
    data: Prepared,
    spec: Spec,
    origin: str,
    weights: Sequence[shipping.Weights],
    folder: Path,
    reporter: Reporter,
) -> Pairs:
    extra = shipping.Extra(
        {**contents.entries(data), SOURCE: bytes.fromhex(origin)},
        contents.manifest(data, origin),
        contents.bill(data),
    )
    return shipping.build_files(spec, folder, weights, reporter.display, extra, tins=folder / UNSEALED)


def _facts(built: Pairs, front: list[dict[str, Any]] | None = None) -> Built:
    return Built(
        ggufs={name: gguf.name for name, (gguf, _) in built.items()},
        tins={name: tin.name for name, (_, tin) in built.items()},
        front=front,
    )
