"""The merge stage: the float32 model, base and adapter in one, as a Hugging Face folder.

Its chat template is the one that it was trained under, the recipe's system message its default.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from tinsmith.formats.model_files import model_digest, model_files
from tinsmith.pipeline import data, training
from tinsmith.pipeline.data import Data
from tinsmith.pipeline.run import Made, Record, Run
from tinsmith.pipeline.training import Trained

FOLDER = "merged"  # in the run's


@dataclass(frozen=True)
class Needs:
    data: Record[Data]
    train: Record[Trained]


@dataclass(frozen=True)
class Merged:
    """sha256: of the folder's files together."""

    sha256: str


def inputs(run: Run, needs: Needs) -> dict[str, Any]:
    base = needs.data.facts.base
    return {"base": base.sha256, "trained": needs.train.digests, "template": base.template}


def make(run: Run, needs: Needs) -> Made[Merged]:
    from tinsmith import models
    from tinsmith.train import adapter
    from tinsmith.train import merge as merging
    from tinsmith.train.methods import full

    folder, trained = run.folder / FOLDER, run.folder / training.folder_name(run.recipe)
    if trained.name == full.FOLDER:
        whole = models.load(trained)
        general = {**whole.general, "name": run.recipe.name}
        models.save_hf(dataclasses.replace(whole, general=general), folder)
        return Made(model_files(folder), Merged(model_digest(folder)))
    spec = models.load(needs.data.facts.base.path)
    template = None if spec.chat_template is None else data.settled(run.recipe, spec.chat_template)
    adapter.check_template(trained, template)
    # An adapter of an earlier version does not say under which template it was trained.
    merged = merging.merge(dataclasses.replace(spec, chat_template=template), trained)
    for note in merged.notes[len(spec.notes) :]:
        run.display.line(f"merge: {note}")
    general = {**merged.general, "name": run.recipe.name}
    models.save_hf(dataclasses.replace(merged, general=general), folder)
    return Made(model_files(folder), Merged(model_digest(folder)))
