"""Which of the files that ship quantization-aware training prepares for: the lowest-precision one.

What is right under its errors is right under smaller ones. AUTO's formats are chosen from the base then, since
there is nothing else yet, and settled from the trained model when it is built."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tinsmith.format_names import AUTO, FORMATS
from tinsmith.formats.weights import weight_format
from tinsmith.pipeline import auto, contents
from tinsmith.pipeline.data import Data
from tinsmith.pipeline.recipe import Recipe
from tinsmith.pipeline.recipe_tables import NO_QAT
from tinsmith.pipeline.run import Record, Run
from tinsmith.quant import shipping
from tinsmith.quant.presets import PRESETS
from tinsmith.train import methods
from tinsmith.train.quantized.qat_adapter import Preparation
from tinsmith.train.steps import together

if TYPE_CHECKING:
    from tinsmith.spec import Spec

FOLDER = "base"  # in that of AUTO's search: what was measured of the base
ENOUGH_BITS = 8  # a weight, which need no preparation


def formats(recipe: Recipe) -> list[str]:
    """The preset and AUTO, of which the rougher is prepared for; none where nothing is."""
    stated, built = recipe.train.qat, recipe.build.formats
    if stated != "auto":
        return [] if stated == NO_QAT else [stated]
    presets = [name for name in built if name != AUTO and needs_qat(recipe, name)]
    lowest = sorted(presets, key=lambda name: (_nominal(name), -FORMATS.index(name)))[:1]
    return [*lowest, *([AUTO] if AUTO in built else [])]


def needs_qat(recipe: Recipe, name: str) -> bool:
    """Whether a file in this format is one of those that training prepares for, if it does for any."""
    return name in (AUTO, recipe.train.qat) or _nominal(name) < ENOUGH_BITS


def _nominal(preset: str) -> float:
    """Bits of a weight of most matrices."""
    kind = weight_format(PRESETS[preset].matrices)
    return 8 * kind.bytes / kind.block


def inputs(run: Run, made: Record[Data]) -> Any:
    """What decides it, as run.json keeps it."""
    names = formats(run.recipe)
    if AUTO not in names:
        return names[0] if names else None
    stated = {"formats": names, "build": run.recipe.build.stated}
    return {**stated, **contents.target_inputs(run), **auto.inputs(run, made)}


def choose(run: Run, made: Record[Data], spec: Spec) -> Preparation | None:
    """What training prepares for, AUTO with the error feedback that its blocks are made with; None for nothing.

    spec: the base, with the template that it is trained under."""
    from tinsmith.train.tensors import from_float32, to_float32

    recipe = run.recipe
    names = formats(recipe)
    reads = "qat" in methods.by_name(recipe.train.method).keys
    if not reads or AUTO not in names:
        return Preparation(names[0]) if names and reads else None
    # The merged model, as it is before training.
    floats = {role: from_float32(to_float32(tensor)) for role, tensor in spec.tensors.items()}
    exact = dataclasses.replace(spec, tensors=floats)
    exact = shipping.prepared(exact, recipe.name, contents.context_of(run, exact))
    chosen = None
    if together.number() == 0:  # the one that writes
        run.display.line("train: AUTO's formats, as the base has them; build settles them")
        chosen = auto.choose(run, made, exact, run.folder / auto.FOLDER / FOLDER)
    mix, bits = together.from_first((chosen.mix, chosen.bits) if chosen else None) or ("", 0.0)
    preset = next((name for name in names if name != AUTO and _bits(exact, name) < bits), None)
    if preset is not None:
        return Preparation(preset)
    if bits >= ENOUGH_BITS:
        return None
    feedback = chosen.feedback if chosen else auto.feedback(run, exact)
    return Preparation(mix, feedback, auto.inputs(run, made)["calibration"] if feedback else "")


def _bits(spec: Spec, preset: str) -> float:
    """Of a weight of the matrices, on average."""
    from tinsmith import quant

    total = weights = 0.0
    for role, name in quant.encoder(spec, preset).formats.items():
        kind, count = weight_format(name), spec.tensors[role].rows * spec.tensors[role].inputs
        if name != "F32":
            total, weights = total + 8 * count * kind.bytes / kind.block, weights + count
    return total / weights
