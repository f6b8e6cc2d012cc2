"""lora: low-rank factors beside the linear layers of a frozen base (Hu et al., arXiv 2106.09685)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

from tinsmith.errors import InputError
from tinsmith.system.files import atomic_folder, write_text
from tinsmith.train import tensors
from tinsmith.train.adapters import peft_folder
from tinsmith.train.beginning import start
from tinsmith.train.methods import ORIGINALS_ONCE, Method
from tinsmith.train.model import vision_adapter
from tinsmith.train.options import LANGUAGE
from tinsmith.train.quantized import importance
from tinsmith.train.rules import default_learning_rate
from tinsmith.train.steps import together
from tinsmith.train.steps.trainee import Trainee, placed
from tinsmith.train.tensors import below

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from tinsmith.train.footprint.memory import Demand
    from tinsmith.train.job import Job
    from tinsmith.train.model.network import Network
    from tinsmith.train.options import TrainOptions
    from tinsmith.train.quantized.fake_quantization import FakeQuantization

FOLDER = "adapter"
# Where the network's vision model lies within peft's wrapper.
VISION = "vision"
VISION_PREFIX = f"base_model.model.model.{VISION}."
FEEDBACK_TURNS = 2  # checkpoints between two quantizations with error feedback
FIRST_BATCHES = 8  # of training data, which weigh inputs before the first validation
KEYS = ("rank", "alpha", "targets", "qat")  # of every method that trains an adapter


def _choose(network: Network, options: TrainOptions) -> None:
    """Adds factors to the vision model's parts that the options name, and freezes parts that they don't.
    Raises InputError if the base has no vision model."""
    if tuple(options.parts) != (LANGUAGE,) and not network.has_vision:
        raise InputError(
            "[train] parts: the base has no vision model; leave it out, or use a vision-language model"
        )
    if network.has_vision:
        vision_adapter.install(network.vision, options.parts, options.rank, options.alpha)
    if LANGUAGE not in options.parts:
        for module in network.linears.values():
            module.lora_A.requires_grad_(False)
            module.lora_B.requires_grad_(False)


class AdapterTrainee(Trainee):
    """An adapter of the base, written in peft's format with the chat template that it was trained under.

    The mean of several adapters is exactly one adapter: their factors side by side, at a multiple of the rank
    that divides alpha. learns: False to measure only, without memory for steps."""

    marker = peft_folder.CONFIG
    default_rate = staticmethod(default_learning_rate)

    def __init__(self, job: Job, *, learns: bool = True) -> None:
        from tinsmith.train.footprint import memory
        from tinsmith.train.model import network
        from tinsmith.train.quantized.fake_quantization import FakeQuantization

        spec, options = job.spec, job.options
        matrices, device, measured = placed(job, learns=learns)
        keep_packed, why = memory.keeps_packed(spec, options.weights, device)
        count = options.mean_of
        self.mean_of = count * (start.runs_in(job.start, options) if job.start else 1)
        wide = options.widened(self.mean_of)
        adapted = network.build(spec, matrices, wide.rank, wide.alpha, options.targets, device, keep_packed)
        _choose(adapted, wide)
        if job.start:
            start.load(adapted, spec, job.start, count)
        self.template, self.base_sha256 = spec.chat_template, job.base_sha256
        self.qat = FakeQuantization(spec, adapted, options.qat, job.feedback) if options.qat else None
        self.only_qat = options.only_qat
        # Error feedback takes several times as long as a search that weighs inputs one by one.
        self.steps_qat = options.renew * (FEEDBACK_TURNS if job.feedback else 1)
        super().__init__(job, adapted, job.out_dir / FOLDER, self.default_rate)
        if count > 1 or not learns:
            return  # validation needs less memory than training took
        planned = self.fit(self.demand(), keep_packed, self.qat.size if self.qat else 0)
        told = ""
        if options.qat:
            name = options.qat if isinstance(options.qat, str) else options.qat.name
            which = "every step" if self.only_qat else "every other step"
            told = f"{which} under the errors of {name}, made anew every {self.steps_qat} steps"
        self.note = "; ".join(part for part in (self.note, measured, told, why, planned) if part)

    def demand(self) -> Demand:
        """Memory that the steps need beyond the weights; allocates their permanent buffers."""
        from tinsmith.train.footprint import memory

        return memory.Demand()

    def state(self) -> dict[str, Tensor]:
        if self.qat is None:
            return {}
        latest = {f"latest:{role}": squares for role, squares in self.importance.items()}
        return {**latest, **{f"qat:{name}": value for name, value in self.qat.used.items()}}

    def restore(self, stored: dict[str, Tensor]) -> None:
        if self.qat is not None:
            self.importance = below("latest:", stored)
            self.qat.used = below("qat:", stored)

    def renew(self, step: int) -> None:
        if self.qat is None:
            return
        if step % self.steps_qat:
            if not self.qat.is_made:  # the run was resumed here
                self.qat.make()
            return
        if not self.importance and not self.qat.encode.feedback:
            first = self.epochs[0][:FIRST_BATCHES]
            packings = (self.network.pack(self.rows(batch), self.shared) for batch in first)
            self.importance = importance.seen(self.network, packings)
        self._make_qat(self.qat)

    def _make_qat(self, qat: FakeQuantization) -> None:
        """In every process, though only the first validates."""
        self.importance = together.from_first(self.importance)
        qat.renew(self.importance)

    def around(self, step: int) -> AbstractContextManager[None]:
        if self.qat is None or not (self.only_qat or step % 2):
            return nullcontext()
        return self.qat.applied()

    def before_validation(self) -> None:
        if self.qat and self.only_qat:
            self._make_qat(self.qat)

    def validate(self) -> tuple[float, float]:
        with self.qat.applied() if self.qat and self.only_qat else nullcontext():
            return super().validate()

    def keep(self) -> None:
        from safetensors import SafetensorError

        with atomic_folder(self.result, replaces=self.marker) as fresh:
            try:
                state = self.network.model.state_dict()
                language = {name: value for name, value in state.items() if f".{VISION}." not in name}
                self.network.model.save_pretrained(str(fresh), state_dict=language, save_embedding_layers=False)
                vision_adapter.save(self.network, fresh)
            except (OSError, SafetensorError) as error:  # a full disk, by either of its writers
                raise InputError(
                    f"{self.result}: cannot write: {error}; free some space and run it again"
                ) from error
            _sort(fresh / peft_folder.CONFIG)
            importance.save(fresh, self.importance)
            peft_folder.write_origin(fresh, self.template, self.base_sha256)
            if self.mean_of > 1:
                write_text(fresh / peft_folder.MEAN, json.dumps({"of": self.mean_of}) + "\n")

    def stored(self, folder: Path) -> dict[str, Tensor]:
        stored = tensors.load(folder / peft_folder.WEIGHTS)
        language = {f"{name.removesuffix('.weight')}.default.weight": value for name, value in stored.items()}
        return language | vision_adapter.stored(folder, VISION_PREFIX)

    def take_mean(self, folders: Sequence[Path]) -> None:
        import torch

        every = [self.stored(folder) for folder in folders]
        with torch.no_grad():
            for name, parameter in self.network.parameters().items():
                parameter.copy_(torch.cat([one[name] for one in every], 0 if ".lora_A." in name else 1))


def _sort(config: Path) -> None:
    """peft writes sets in any order; equal adapters get equal bytes."""
    given = json.loads(config.read_text(encoding="utf-8"))
    changed = {key: sorted(value) if key == "target_modules" else value for key, value in given.items()}
    write_text(config, json.dumps(changed, indent=2) + "\n")


@dataclass(frozen=True)
class AdapterMethod(Method):
    """Trains an adapter."""

    _: KW_ONLY
    folder: str = FOLDER
    what: str = "an adapter"
    starts: bool = True


method = AdapterMethod("lora", AdapterTrainee, keys=(*KEYS, "parts", ORIGINALS_ONCE), replays=True)
