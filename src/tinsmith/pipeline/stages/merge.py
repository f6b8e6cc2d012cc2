"""The merge stage: the float32 model, base and adapter in one, as a Hugging Face folder; and a second one where
low-precision files have an adapter of their own.

Its chat template is the template of training, with the recipe's system message as its default."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith import models
from tinsmith.formats.model_files import model_digest, model_files, remove_model
from tinsmith.pipeline.prepared import Prepared, load_base
from tinsmith.pipeline.stage import Made, Reporter
from tinsmith.spec import Spec
from tinsmith.train.adapters import peft_folder

FOLDER, QAT = "merged", "merged-qat"  # in the run's


@dataclass(frozen=True)
class Inputs:
    """trained: the folder of an adapter or a whole model; qat: of the adapter for low-precision files; digests:
    of the files in both."""

    data: Prepared
    trained: Path
    qat: Path | None
    digests: Mapping[str, str]


@dataclass(frozen=True)
class Merged:
    """sha256: of the folder's files together; qat_sha256: of the second one's."""

    sha256: str
    qat_sha256: str | None = None


def digests(inputs: Inputs) -> dict[str, Any]:
    base = inputs.data.base
    given = {"base": base.sha256, "trained": dict(inputs.digests), "template": base.template}
    return given | ({"mtp": True} if inputs.data.recipe.build.mtp else {})


def make(inputs: Inputs, folder: Path, reporter: Reporter) -> Made[Merged]:
    from tinsmith.train.methods import full

    recipe, out = inputs.data.recipe, folder / FOLDER
    base, mtp = inputs.data.base.path, recipe.build.mtp
    if inputs.trained.name == full.FOLDER:
        whole = models.load(inputs.trained)
        if mtp:  # that layer is the base's: training changes the others
            spec = models.load(base, mtp=True)
            whole = dataclasses.replace(whole, hyper=spec.hyper, tensors=spec.tensors | whole.tensors)
        return Made(*_saved(whole, recipe.name, out))
    spec = load_base(recipe, base, mtp=mtp)
    outputs, merged = merge(inputs.data, spec, inputs.trained, out, reporter)
    if inputs.qat is None:
        return Made(outputs, merged)
    more, qat = merge(inputs.data, spec, inputs.qat, folder / QAT, reporter)
    return Made([*outputs, *more], Merged(merged.sha256, qat.sha256))


def merge(
    data: Prepared, base: Spec, trained: Path, out: Path, reporter: Reporter
) -> tuple[list[Path], Merged]:
    """The base, with the chat template of training, and an adapter."""
    from tinsmith.train import merge

    peft_folder.check_template(trained, base.chat_template)
    # An adapter that another program trained does not say under which template.
    spec = merge.merge(base, trained)
    for note in spec.notes[len(base.notes) :]:
        reporter.note(f"merge: {note}")
    return _saved(spec, data.recipe.name, out)


def _saved(spec: Spec, name: str, out: Path) -> tuple[list[Path], Merged]:
    remove_model(out)
    models.save_hf(dataclasses.replace(spec, general={**spec.general, "name": name}), out)
    return model_files(out), Merged(model_digest(out))
