"""The loop that trains an adapter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from tinsmith.errors import InputError
from tinsmith.spec import Spec
from tinsmith.system.files import atomic_folder, write_text
from tinsmith.train import adapter, importance, network
from tinsmith.train.loop import Loop, run_digest
from tinsmith.train.options import Event, TrainOptions, default_learning_rate
from tinsmith.train.rough import Rough
from tinsmith.train.sequences import TokenSequence

ADAPTER = "adapter"  # the folder in out_dir


class LoraLoop(Loop):
    def __init__(
        self,
        spec: Spec,
        sequences: Sequence[TokenSequence],
        validation: Sequence[TokenSequence],
        options: TrainOptions,
        out_dir: Path,
        on_event: Callable[[Event], None],
    ) -> None:
        self.template = spec.chat_template
        matrices = torch.bfloat16 if network.has_fast_bfloat16() else torch.float32
        torch.manual_seed(options.seed)
        adapted = network.build(spec, matrices, options.rank, options.alpha, options.dropout, options.targets)
        self.rough = Rough(spec, adapted, options.rough) if options.rough else None
        super().__init__(
            adapted,
            sequences,
            validation,
            options,
            out_dir,
            out_dir / ADAPTER,
            on_event,
            options.rate(default_learning_rate(spec.parameters)),
            run_digest(spec, sequences, validation, options),
        )

    def renew(self) -> None:
        # Rough weights follow from a checkpoint alone, so that a resumed run makes the same ones.
        if self.rough:
            self.rough.renew()

    def around(self, step: int) -> AbstractContextManager[None]:
        return self.rough.applied() if self.rough and step % 2 == 1 else nullcontext()

    def keep(self) -> None:
        from safetensors import SafetensorError

        with atomic_folder(self.result, replaces=adapter.CONFIG) as fresh:
            try:
                self.network.model.save_pretrained(str(fresh), save_embedding_layers=False)
            except (OSError, SafetensorError) as error:  # a full disk, by either of its writers
                raise InputError(
                    f"{self.result}: cannot write: {error}; free some space and run it again"
                ) from error
            importance.save(fresh, self.importance)
            if self.template is not None:
                write_text(fresh / adapter.TEMPLATE, self.template)
