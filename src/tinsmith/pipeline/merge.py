"""The merge stage: the float32 model, base and adapter in one, as a Hugging Face folder; and a second one where
low-precision files have an adapter of their own.

Its chat template is the one that it was trained under, the recipe's system message its default.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.formats.model_files import model_digest, model_files, remove_model
from tinsmith.pipeline import data, training
from tinsmith.pipeline.data import Data
from tinsmith.pipeline.run import Made, Record, Run
from tinsmith.pipeline.training import Trained

if TYPE_CHECKING:
    from tinsmith.spec import Spec

FOLDER, QAT = "merged", "merged-qat"  # in the run's


@dataclass(frozen=True)
class Needs:
    data: Record[Data]
    train: Record[Trained]


@dataclass(frozen=True)
class Merged:
    """sha256: of the folder's files together; qat_sha256: of the second one's."""

    sha256: str
    qat_sha256: str | None = None


def inputs(run: Run, needs: Needs) -> dict[str, Any]:
    base = needs.data.facts.base
    given = {"base": base.sha256, "trained": needs.train.digests, "template": base.template}
    return given | ({"mtp": True} if run.recipe.build.mtp else {})


def make(run: Run, needs: Needs) -> Made[Merged]:
    from tinsmith import models
    from tinsmith.train.methods import full

    folder, trained = run.folder / FOLDER, run.folder / training.folder_name(run.recipe)
    base, mtp = needs.data.facts.base.path, run.recipe.build.mtp
    if trained.name == full.FOLDER:
        whole = models.load(trained)
        if mtp:  # that layer is the base's: training changes the others
            spec = models.load(base, mtp=True)
            whole = dataclasses.replace(whole, hyper=spec.hyper, tensors=spec.tensors | whole.tensors)
        general = {**whole.general, "name": run.recipe.name}
        remove_model(folder)
        models.save_hf(dataclasses.replace(whole, general=general), folder)
        return Made(model_files(folder), Merged(model_digest(folder)))
    spec = models.load(base, mtp=mtp)
    outputs, digest = merged(run, spec, trained, folder)
    if needs.train.facts.qat is None:
        return Made(outputs, Merged(digest))
    more, qat_digest = merged(run, spec, training.qat_folder(run), run.folder / QAT)
    return Made([*outputs, *more], Merged(digest, qat_digest))


def merged(run: Run, base: Spec, trained: Path, folder: Path) -> tuple[list[Path], str]:
    """The files of the base with an adapter, and their digest."""
    from tinsmith import models
    from tinsmith.train import merge
    from tinsmith.train.adapters import peft_folder

    template = None if base.chat_template is None else data.settled(run.recipe, base.chat_template)
    peft_folder.check_template(trained, template)
    # An adapter of an earlier version does not say under which template it was trained.
    spec = merge.merge(dataclasses.replace(base, chat_template=template), trained)
    for note in spec.notes[len(base.notes) :]:
        run.display.line(f"merge: {note}")
    general = {**spec.general, "name": run.recipe.name}
    remove_model(folder)
    models.save_hf(dataclasses.replace(spec, general=general), folder)
    return model_files(folder), model_digest(folder)
