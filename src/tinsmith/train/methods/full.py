"""full: every weight of a small base or a new model is trained."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tinsmith import models
from tinsmith.chat.chat_template import DIGEST, digest
from tinsmith.errors import UnsupportedError
from tinsmith.models import family
from tinsmith.system.files import atomic_folder
from tinsmith.train.methods import ORIGINALS_ONCE, Method
from tinsmith.train.quantized import importance
from tinsmith.train.rules import default_full_rate, default_scratch_rate
from tinsmith.train.steps import checkpoint, together
from tinsmith.train.steps.trainee import BETAS, Trainee, placed
from tinsmith.train.tensors import from_folder

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor
    from torch.optim import Optimizer

    from tinsmith.spec import Spec
    from tinsmith.train.batches.sequences import TokenSequence
    from tinsmith.train.footprint.memory import Demand
    from tinsmith.train.job import Job
    from tinsmith.train.options import TrainOptions

FOLDER = "trained"


class ModelTrainee(Trainee):
    """A whole model, written as a Hugging Face folder. The loss is on the examples' answers and on all of the
    texts."""

    marker = "config.json"

    def __init__(self, job: Job) -> None:
        from tinsmith.train.model import network

        self.spec = job.spec
        if any(name.experts for name in family.by_name(job.spec.family).tensors(job.spec.hyper)):
            raise UnsupportedError(
                f'{job.spec.family}: method "full" does not train routed experts; take "lora"'
            )
        rule = default_scratch_rate if job.is_new else default_full_rate
        matrices, device, measured = placed(job)
        whole = network.whole(job.spec, matrices, device)
        super().__init__(job, whole, job.out_dir / FOLDER, rule)
        self.in_8_bits = self._chosen(job)
        if self.in_8_bits:
            self.note += "; the optimizer's moments in 8 bits"
        if job.options.mean_of == 1:  # averaging the trained weights needs less
            planned = self.fit(self._demand(job.options))
            self.note = "; ".join(part for part in (self.note, measured, planned) if part)

    def _demand(self, options: TrainOptions) -> Demand:
        from tinsmith.train.footprint.memory import Demand

        kept = (2 if self.in_8_bits else 8) + (4 if options.average else 0)
        on_host = self.network.device.type != "cuda"
        less = 'train an adapter ("lora"), or give a smaller base'
        copied = 4 + kept if on_host else 0
        return Demand(kept, copied, passes=lambda batch: len(self.shares(batch)), less=less)

    def _chosen(self, job: Job) -> bool:
        """Whether moments are kept in 8 bits. A resumed run keeps its first choice, whatever memory is free
        now."""
        begun = checkpoint.moments(job.out_dir / checkpoint.NAME, self.digest)
        chosen = in_8_bits(self.spec.parameters, self.network.device)
        return together.from_first("mean" in begun if begun else chosen)

    def sequences(self, job: Job) -> list[TokenSequence]:
        return [*super().sequences(job), *job.text_sequences()]

    def optimizer(self, options: TrainOptions) -> Optimizer:
        if not self.in_8_bits:
            return super().optimizer(options)
        from tinsmith.train.footprint.eight_bit import AdamW8

        return AdamW8(self.network.parameters().values(), self.rate, BETAS, options.weight_decay)

    def keep(self) -> None:
        with atomic_folder(self.result, replaces=self.marker) as fresh:
            models.save_hf(self.trained(), fresh)
            importance.save(fresh, self.importance)

    def stored(self, folder: Path) -> dict[str, Tensor]:
        from tinsmith.train.model import network

        spec = models.load(folder)
        stored = network.weights(spec)
        if spec.vision:
            from tinsmith.train.vision import model as vision_model

            stored |= vision_model.weights(spec.vision, f"model.{network.VISION}.")
        return {name: stored[name] for name in self.network.parameters()}

    def trained(self) -> Spec:
        """The model with the current weights."""
        stored = self.network.model.state_dict()
        tensors = dict(self.spec.tensors)
        for name in family.by_name(self.spec.family).tensors(self.spec.hyper):
            if name.hf:
                tensors[name.role] = from_folder(name, stored[name.hf].cpu().numpy())
        template = self.spec.chat_template
        general = {**self.spec.general, **({DIGEST: digest(template)} if template else {})}
        vision = self.network.vision.trained() if self.spec.vision else None
        return replace(self.spec, tensors=tensors, general=general, vision=vision)


def in_8_bits(parameters: int, device: torch.device) -> bool:
    """Whether float32 weights, gradients and moments take more than half of the device's memory. On the host,
    a checkpoint's copies count too: all but the gradients."""
    from tinsmith.train.footprint import room

    whole = room.of(device).total()
    return whole is not None and parameters * (16 if device.type == "cuda" else 16 + 12) > whole / 2


method = Method(
    "full",
    ModelTrainee,
    folder=FOLDER,
    what="every weight",
    keys=(ORIGINALS_ONCE,),
    reads=("text",),
    is_beside=False,
    packs=False,
)
