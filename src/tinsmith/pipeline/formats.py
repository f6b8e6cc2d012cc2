"""The formats of shipped files: AUTO's choice within the recipe's budgets, and the target of quantization-aware
training.

Training prepares for the lowest precision that ships, whose errors are the largest. It chooses AUTO's formats
from the base; the build chooses them again from the trained model. AUTO is measured on training examples, and
on answers to validation examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import quant
from tinsmith.chat.chat_template import render, special_tokens
from tinsmith.evaluate import systems
from tinsmith.evaluate.answers import Item
from tinsmith.format_names import AUTO, FORMATS
from tinsmith.formats.weights import weight_format
from tinsmith.pipeline import contents
from tinsmith.pipeline.measuring import Asking
from tinsmith.pipeline.prepared import Model, Prepared
from tinsmith.pipeline.recipe.tables import NO_QAT
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.pipeline.stage import Reporter
from tinsmith.quant import shipping
from tinsmith.quant.model import Feedback
from tinsmith.quant.presets import PRESETS
from tinsmith.spec import Spec
from tinsmith.system import files
from tinsmith.train import methods
from tinsmith.train.quantized.qat_adapter import Preparation
from tinsmith.train.steps import together
from tinsmith.train.tensors import from_float32, to_float32

if TYPE_CHECKING:
    from tinsmith.search.auto import Chosen, Point, Search

FOLDER = "search"  # of a run: what AUTO was measured on
BASE = "base"  # in FOLDER: what was measured of the base
VALIDATED = 200  # validation examples that a choice's accuracy is measured on
ENOUGH_BITS = 8  # a weight, which need no preparation


def prepared_for(recipe: Recipe) -> list[str]:
    """The preset and AUTO, of which training prepares for the one of lower precision; empty for neither."""
    stated, built = recipe.train.qat, recipe.build.formats
    if stated != "auto":
        return [] if stated == NO_QAT else [stated]
    presets = [name for name in built if name != AUTO and needs_qat(recipe, name)]
    lowest = sorted(presets, key=lambda name: (_nominal(name), -FORMATS.index(name)))[:1]
    return [*lowest, *([AUTO] if AUTO in built else [])]


def needs_qat(recipe: Recipe, name: str) -> bool:
    """Whether training prepares for this format if it prepares for any."""
    return name in (AUTO, recipe.train.qat) or _nominal(name) < ENOUGH_BITS


def _nominal(preset: str) -> float:
    """Bits of a weight of most matrices."""
    return weight_format(PRESETS[preset].matrices).bits


def prepare_digests(data: Prepared) -> Any:
    """The values that decide the preparation, for run.json."""
    names = prepared_for(data.recipe)
    if AUTO not in names:
        return names[0] if names else None
    stated = {"formats": names, "build": dataclasses.asdict(data.recipe.build)}
    return {**stated, **contents.target_digests(data.recipe), **auto_digests(data)}


def prepare(data: Prepared, spec: Spec, folder: Path, reporter: Reporter) -> Preparation | None:
    """The quantization that training prepares for, with AUTO's error feedback; None for none. spec: the base
    with the chat template of training."""
    recipe = data.recipe
    names = prepared_for(recipe)
    reads = "qat" in methods.by_name(recipe.train.method).keys
    if not reads or AUTO not in names:
        return Preparation(names[0]) if names and reads else None
    # The merged model, as it is before training.
    floats = {role: from_float32(to_float32(tensor)) for role, tensor in spec.tensors.items()}
    exact = dataclasses.replace(spec, tensors=floats)
    exact = shipping.prepared(exact, recipe.name, contents.context_of(recipe, exact))
    chosen = None
    if together.number() == 0:  # the one that writes
        reporter.note("train: AUTO's formats, as the base has them; build settles them")
        chosen = choose(data, exact, folder / FOLDER / BASE, reporter)
    mix, bits = together.from_first((chosen.mix, chosen.bits) if chosen else None) or ("", 0.0)
    preset = next((name for name in names if name != AUTO and _bits(exact, name) < bits), None)
    if preset is not None:
        return Preparation(preset)
    if bits >= ENOUGH_BITS:
        return None
    feedback = chosen.feedback if chosen else error_feedback(data, exact, reporter)
    return Preparation(mix, feedback, auto_digests(data)["calibration"])


def _bits(spec: Spec, preset: str) -> float:
    """Of a weight of the matrices, on average."""
    total = weights = 0.0
    for role, name in quant.encoder(spec, preset).formats.items():
        kind, count = weight_format(name), spec.tensors[role].rows * spec.tensors[role].inputs
        if name != "F32":
            total, weights = total + 8 * count * kind.bytes / kind.block, weights + count
    return total / weights


def auto_digests(data: Prepared) -> dict[str, Any]:
    """Digests of the data that AUTO is measured on, for run.json."""
    recipe = data.recipe
    if AUTO not in recipe.build.formats:
        return {}
    return {"calibration": data.split_digest("train"), "validation": data.split_digest("validation")}


def choose(data: Prepared, spec: Spec, folder: Path, reporter: Reporter, merged: Model | None = None) -> Chosen:
    """The formats of AUTO within the recipe's budgets.

    spec: as it is written; folder: of the measurements; merged: the model whose validation answers define the
    accuracy; None before training, when accuracy is the share of unchanged most likely tokens."""
    from tinsmith.search import auto
    from tinsmith.search.auto import Options, Search
    from tinsmith.search.budget import Budget

    stated, display = dataclasses.asdict(data.recipe.build), reporter.display
    names = [field.name for field in dataclasses.fields(Budget)]
    options = Options(gguf=stated["max_size"] is not None)
    search = Search(spec, calibration(data, spec), folder, display, options)
    accuracy = None
    if stated["min_accuracy"] is not None and merged is not None:
        accuracy = _accuracy(data, merged, spec, search, folder, reporter)
    if data.recipe.build.target:
        stated["memory"] = contents.room(data, spec)
        stated["bandwidth"] = auto.bandwidth(contents.devices(data.recipe))
    return auto.of_search(search, Budget(**{name: stated.get(name) for name in names}), display, accuracy)


def seeing(data: Prepared, spec: Spec, chosen: Chosen, folder: Path, reporter: Reporter) -> Chosen:
    """The choice with formats of the vision model, measured on training examples with images; itself where
    there is no vision model or no image."""
    examples = [one for one in data.examples("train") if one.images] if spec.vision else []
    if not examples:
        return chosen
    from tinsmith.search import vision

    stated = data.recipe.data
    shown = vision.read(spec, examples, stated.task, stated.system)
    return dataclasses.replace(chosen, mix=vision.choose(spec, chosen.mix, shown, folder, reporter.display))


def calibration(data: Prepared, spec: Spec) -> list[int]:
    """Tokens of the recipe's training examples as the model sees them."""
    from tinsmith.search import text

    assert spec.chat_template is not None
    special = special_tokens(spec.tokenizer)
    rendered = []
    for example in data.examples("train"):
        asked = data.conversation(example)
        whole = [*asked, {"role": "assistant", "content": example.output}]
        rendered.append(render(spec.chat_template, whole, generate=False, tokens=special))
    return text.tokens(spec, "".join(rendered))


def error_feedback(data: Prepared, spec: Spec, reporter: Reporter) -> Feedback:
    """The error feedback of AUTO's blocks, without a search."""
    from tinsmith.search import grams

    return grams.of_text(spec, calibration(data, spec), reporter.display)[1].feedback


def _accuracy(
    data: Prepared, merged: Model, spec: Spec, search: Search, folder: Path, reporter: Reporter
) -> Callable[[Point], float]:
    """The accuracy of a choice: its exact answers to validation examples, as a share of the float model's."""
    asking, examples = Asking(data, folder, reporter), data.examples("validation")[:VALIDATED]
    items, labels = [Item(data.conversation(example)) for example in examples], data.labels()

    def exact(name: str, model: Model) -> float:
        outcome = asking.ask(name, model, items)
        grades = systems.grades(data.task, outcome, examples, labels)
        return sum(grade.exact for grade in grades) / len(grades)

    whole = exact("float", merged)

    def accuracy(point: Point) -> float:
        path = folder / "candidate.gguf"
        weights = shipping.Weights("candidate", search.mix(point), feedback=search.grams.feedback)
        shipping.write_gguf(spec, path, weights, reporter.display)
        found = exact(f"candidate-{point.size}", Model(path, files.sha256_file(path)))
        path.unlink()
        return found / whole if whole else 1.0

    return accuracy
