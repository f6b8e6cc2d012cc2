"""prefix: trained keys and values before every conversation of a base (Li and Liang, arXiv 2101.00190)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tinsmith.compiler.adapter import planned_prefix
from tinsmith.errors import InputError
from tinsmith.system.files import atomic_folder, write_text
from tinsmith.train import tensors
from tinsmith.train.adapters import peft_folder
from tinsmith.train.adapters.prefix_bin import CONFIG, WEIGHTS
from tinsmith.train.methods import ORIGINALS_ONCE, Method
from tinsmith.train.rules import default_prefix_rate
from tinsmith.train.steps.trainee import Trainee, placed

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from tinsmith.compiler.program import Listing
    from tinsmith.spec import Spec
    from tinsmith.train.job import Job
    from tinsmith.train.options import TrainOptions

FOLDER = "prefix"


class PrefixTrainee(Trainee):
    """A prefix in a folder of its own: tensors by layer and kind, and a config that describes them."""

    marker = CONFIG

    def __init__(self, job: Job) -> None:
        from tinsmith.train.footprint import memory
        from tinsmith.train.model import prefix

        matrices, device, measured = placed(job)
        self.first = first_tokens(job)
        built = prefix.build(job.spec, matrices, device, self.first)
        self.built, self.template, self.base_sha256 = built, job.spec.chat_template, job.base_sha256
        self.config = described(job, built)
        super().__init__(job, built, job.out_dir / FOLDER, default_prefix_rate)
        if job.options.mean_of == 1:
            planned = self.fit(memory.Demand(less="give a smaller base"))
            self.note = "; ".join(part for part in (self.note, measured, planned) if part)

    def keep(self) -> None:
        with atomic_folder(self.result, replaces=self.marker) as fresh:
            states = {name: value.detach() for name, value in self.network.parameters().items()}
            tensors.save(fresh / WEIGHTS, states)
            write_text(fresh / CONFIG, json.dumps(self.config, indent=2) + "\n")
            peft_folder.write_origin(fresh, self.template, self.base_sha256)

    def stored(self, folder: Path) -> dict[str, Tensor]:
        return tensors.load(folder / WEIGHTS)


def first_tokens(job: Job) -> tuple[int, ...]:
    """The first tokens of the training conversations, the prefix's initial text, one after the other and
    cyclically if too few."""
    length = job.options.prefix_length
    tokens: list[int] = []
    while len(tokens) < length:
        for sequence in job.tokenization()(job.examples):
            tokens += [*sequence.prompt, *sequence.answer]
            if len(tokens) >= length:
                break
    return tuple(tokens[:length])


def described(job: Job, built: Any) -> dict[str, Any]:
    """The config for a runtime: each layer's kind, window and state shapes."""
    config = built.model.config
    count = config.num_hidden_layers
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * count
    layers = []
    for number, kind in enumerate(kinds):
        layer = {"kind": kind}
        if kind == "sliding_attention":
            layer["window"] = config.sliding_window
        for name, value in built.prefix.items():
            if name.startswith(f"{number}."):
                layer[name.partition(".")[2]] = list(value.shape)
        layers.append(layer)
    if job.spec.hyper.context <= built.length:
        raise InputError(
            f"[train] prefix_length: {built.length} leave no room in the base's context of "
            f"{job.spec.hyper.context} tokens; give fewer"
        )
    return {
        "kind": "prefix",
        "length": built.length,
        "family": job.spec.family,
        "base": job.spec.general.get("name"),
        "base_tensors_sha256": job.base_digest(""),
        "keys": "rotated, as a cache holds them, for positions 0 to length - 1",
        "layers": layers,
    }


class Prefix(Method):
    def beside(self, spec: Spec, options: TrainOptions, program: Listing) -> tuple[int, int]:
        return planned_prefix(options.prefix_length, program), 0


method = Prefix(
    "prefix",
    PrefixTrainee,
    folder=FOLDER,
    what="a prefix",
    keys=("prefix_length", ORIGINALS_ONCE),
    merges=False,
    packs=False,
    takes_images=False,
)
