"""Which of the files that ship training prepares for: the roughest preset's, and AUTO's.

What is right under a preset's errors is right under smaller ones; AUTO's are of another kind. Its formats are
chosen from the base then, since there is nothing else yet, and settled from the trained model when it is built."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tinsmith.format_names import AUTO, FORMATS
from tinsmith.formats.weights import weight_format
from tinsmith.pipeline import auto, contents
from tinsmith.pipeline.data import Data
from tinsmith.pipeline.recipe import Recipe
from tinsmith.pipeline.recipe_tables import NO_ROUGH
from tinsmith.pipeline.run import Record, Run
from tinsmith.quant import shipping
from tinsmith.quant.presets import PRESETS
from tinsmith.train import methods, together
from tinsmith.train.rough_adapter import Preparation

if TYPE_CHECKING:
    from tinsmith.spec import Spec

FOLDER = "base"  # in that of AUTO's search: what was measured of the base
ENOUGH_BITS = 8  # a weight, which need no preparation


def formats(recipe: Recipe) -> list[str]:
    """What is prepared for, the preset first; none where nothing is."""
    stated, built = recipe.train.rough, recipe.build.formats
    if stated != "auto":
        return [] if stated == NO_ROUGH else [stated]
    presets = [name for name in built if name != AUTO and is_rough(recipe, name)]
    roughest = sorted(presets, key=lambda name: (_nominal(name), -FORMATS.index(name)))[:1]
    return [*roughest, *([AUTO] if AUTO in built else [])]


def is_rough(recipe: Recipe, name: str) -> bool:
    """Whether a file in this format is one of those that training prepares for, if it does for any."""
    return name in (AUTO, recipe.train.rough) or _nominal(name) < ENOUGH_BITS


def serves(recipe: Recipe, prepared: str, name: str) -> bool:
    """Whether a file is made from the adapter that was prepared for `prepared`, if there is one."""
    alone = recipe.train.rough != "auto"
    return is_rough(recipe, name) and (alone or (name == AUTO) == (prepared == AUTO))


def _nominal(preset: str) -> float:
    """Bits of a weight of most matrices."""
    kind = weight_format(PRESETS[preset].matrices)
    return 8 * kind.bytes / kind.block


def inputs(run: Run, made: Record[Data]) -> Any:
    """What decides it, as run.json keeps it."""
    names = formats(run.recipe)
    if AUTO not in names:
        return names[0] if names else None
    build = dataclasses.asdict(run.recipe.build)
    each = {"each": True} if len(names) > 1 else {}  # older versions prepared for the rougher of the two alone
    return {"formats": names, **each, "build": build, **auto.inputs(run, made)}


def choose(run: Run, made: Record[Data], spec: Spec) -> list[Preparation]:
    """What training prepares for, AUTO last and with the error feedback that its blocks are made with.

    spec: the base, with the template that it is trained under."""
    from tinsmith.train.tensors import from_float32, to_float32

    recipe = run.recipe
    names = formats(recipe) if "rough" in methods.by_name(recipe.train.method).keys else []
    presets = [Preparation(name) for name in names if name != AUTO]
    if AUTO not in names:
        return presets
    # The merged model, as it is before training.
    floats = {role: from_float32(to_float32(tensor)) for role, tensor in spec.tensors.items()}
    exact = dataclasses.replace(spec, tensors=floats)
    exact = shipping.prepared(exact, recipe.name, contents.context_of(run, exact))
    chosen = None
    if together.number() == 0:  # the one that writes
        run.display.line("train: AUTO's formats, as the base has them; build settles them")
        chosen = auto.choose(run, made, exact, run.folder / auto.FOLDER / FOLDER)
    mix, bits = together.from_first((chosen.mix, chosen.bits) if chosen else None) or ("", 0.0)
    if bits >= ENOUGH_BITS:
        return presets
    feedback = chosen.feedback if chosen else auto.feedback(run, exact)
    return [*presets, Preparation(mix, feedback, auto.inputs(run, made)["calibration"] if feedback else "")]
