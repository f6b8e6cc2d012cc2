"""The loop that trains every weight of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from tinsmith import models
from tinsmith.chat.chat_template import DIGEST, digest
from tinsmith.models import family
from tinsmith.spec import Spec
from tinsmith.system.files import atomic_folder
from tinsmith.train import importance, network
from tinsmith.train.loop import Loop, run_digest
from tinsmith.train.options import Event, TrainOptions, default_scratch_rate
from tinsmith.train.sequences import TokenSequence
from tinsmith.train.tensors import from_folder

TRAINED = "trained"  # the folder in out_dir


class ScratchLoop(Loop):
    def __init__(
        self,
        spec: Spec,
        sequences: Sequence[TokenSequence],
        validation: Sequence[TokenSequence],
        options: TrainOptions,
        out_dir: Path,
        on_event: Callable[[Event], None],
    ) -> None:
        self.spec = spec
        torch.manual_seed(options.seed)
        super().__init__(
            network.whole(spec),
            sequences,
            validation,
            options,
            out_dir,
            out_dir / TRAINED,
            on_event,
            options.rate(default_scratch_rate(spec.parameters)),
            run_digest(spec, sequences, validation, options),
        )

    def keep(self) -> None:
        with atomic_folder(self.result, replaces="config.json") as fresh:
            models.save_hf(self.trained(), fresh)
            importance.save(fresh, self.importance)

    def trained(self) -> Spec:
        """The model with the weights that it has now."""
        stored = self.network.model.state_dict()
        tensors = dict(self.spec.tensors)
        for name in family.by_name(self.spec.family).tensors(self.spec.hyper):
            if name.hf:
                tensors[name.role] = from_folder(name, stored[name.hf].numpy())
        template = self.spec.chat_template
        general = {**self.spec.general, **({DIGEST: digest(template)} if template else {})}
        return replace(self.spec, tensors=tensors, general=general)
