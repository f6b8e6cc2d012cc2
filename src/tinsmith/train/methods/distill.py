"""distill: an adapter learns from a teacher's probabilities (Hinton et al., arXiv 1503.02531).

The teacher is a larger model, or the base itself with examples or a passage in its context (Snell et al., arXiv
2209.15189).
"""

from __future__ import annotations

import gc
import hashlib
import random
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from tinsmith import models
from tinsmith.data.readers import Example
from tinsmith.errors import InputError
from tinsmith.formats.model_files import model_digest
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.events import Event
from tinsmith.train.methods import ORIGINALS_ONCE
from tinsmith.train.methods.lora import KEYS, AdapterMethod, AdapterTrainee
from tinsmith.train.options import BASE_TEACHER
from tinsmith.train.steps import parts

if TYPE_CHECKING:
    from torch import Tensor

    from tinsmith.runtime.model import Model
    from tinsmith.spec import Tokenizer
    from tinsmith.train.batches.packing import Packing
    from tinsmith.train.footprint.memory import Demand
    from tinsmith.train.job import Job

TEACHER = "teacher"  # the folder, in the run's, of its probabilities
SHOTS = 5  # examples in the base's context
_SEQUENCES = 32  # of a part of these


class DistillTrainee(AdapterTrainee):
    """prompts: by sequence, the teacher's prompt in place of its own, for all sequences of the job, so that the
    teacher runs once for all of its runs; taught: by sequence, the teacher's most likely tokens at the answer's
    positions and their probabilities, [answer, top] each."""

    def plan(self, job: Job) -> None:
        assert job.teacher is not None
        options, self.path = job.options, job.teacher
        super().plan(job)
        self.options, self.kept, self.vocabulary = options, job.kept, len(job.spec.tokenizer.tokens)
        self.taught: dict[TokenSequence, tuple[Tensor, Tensor]] = {}
        longer = self.longer_prompts(job)
        self.prompts = {one: longer.get(one.prompt, one.prompt) for one in self.learned}
        asked = [(prompt, sequence.answer) for sequence, prompt in self.prompts.items()]
        asking = f"{model_digest(job.teacher)} {asked}"
        self.teacher_digest = hashlib.sha256(asking.encode()).hexdigest()
        self.digest += self.teacher_digest

    @staticmethod
    def longer_prompts(job: Job) -> dict[tuple[int, ...], tuple[int, ...]]:
        """For a base that is its own teacher: each prompt with the example's passage or, if no example has one,
        with some other training examples before it."""
        if job.options.teacher != BASE_TEACHER:
            return {}
        chance, tokenize = random.Random(f"{job.options.seed}/shots"), job.tokenization()
        every = [example for made in (job.examples, *job.variants) for example in made]
        if any(example.passage for example in every):
            return {tokenize.prompt(one): tokenize.prompt(one.with_passage) for one in every}
        shots = chance.sample(list(job.examples), min(len(job.examples), SHOTS + 1))

        def shown(example: Example) -> list[Example]:
            return [shot for shot in shots if shot.input != example.input][:SHOTS]

        return {tokenize.prompt(example): tokenize.prompt(example, shown(example)) for example in every}

    def prepare(self, tell: Callable[[Event], None]) -> None:
        import torch

        from tinsmith.train.distillation import TOP, answer_logits, likeliest

        every = list(self.prompts)
        chunks = [every[begin : begin + _SEQUENCES] for begin in range(0, len(every), _SEQUENCES)]

        def make(number: int) -> parts.Part:
            """The teacher's most likely tokens and their probabilities, for a part's answers in order."""
            best = [
                likeliest(answer_logits(self.teacher, self.prompts[one], one.answer), self.vocabulary, TOP)
                for one in chunks[number]
            ]
            tokens, probabilities = zip(*best, strict=True)
            return {"tokens": torch.cat(tokens), "probabilities": torch.cat(probabilities)}

        made = parts.kept(self.kept / TEACHER, self.teacher_digest, len(chunks), make, tell)
        for chunk, part in zip(chunks, made, strict=True):
            lengths = [len(sequence.answer) for sequence in chunk]
            tokens, probabilities = (
                part[name].split(lengths)  # type: ignore[no-untyped-call]
                for name in ("tokens", "probabilities")
            )
            self.taught |= zip(chunk, zip(tokens, probabilities, strict=True), strict=True)
        if vars(self).pop("teacher", None):  # shares its memory with the steps
            gc.collect()  # reference cycles keep the model

    @cached_property
    def teacher(self) -> Model:
        import tinsmith

        model = tinsmith.load(self.path)
        longest = max(len(prompt) + len(sequence.answer) for sequence, prompt in self.prompts.items())
        if longest > model.info.context:
            raise InputError(
                f"{self.path}: the teacher's context holds {model.info.context} tokens, and it is asked "
                f"{longest}; take shorter examples or another teacher"
            )
        return model

    def loss(self, batch: Sequence[TokenSequence]) -> Tensor:
        import torch

        tokens, probabilities = (torch.cat(part) for part in zip(*map(self.taught.get, batch), strict=True))
        return self.losses(self.network.pack(batch, self.shared), tokens, probabilities).mean()

    def losses(self, packing: Packing, tokens: Tensor, probabilities: Tensor) -> Tensor:
        """tokens, probabilities [labels, top]: the teacher's; [labels]."""
        from tinsmith.train import distillation

        device, states = self.network.device, self.network.answer_states(packing)
        taught = tokens.long().to(device), probabilities.to(device)
        return distillation.losses(self.network, states, packing.targets, *taught)

    def demand(self) -> Demand:
        import torch

        from tinsmith.train.distillation import TOP
        from tinsmith.train.footprint.memory import Demand

        def losses(packing: Packing) -> Tensor:
            """Uses a teacher that is sure of nothing, to measure memory; the real one runs once memory is
            planned."""
            kept = torch.zeros(len(packing.targets), TOP)
            return self.losses(packing, kept, kept)

        return Demand(losses=losses)


def check_vocabulary(where: str, teacher: Tokenizer, own: Tokenizer) -> None:
    """Raises InputError if the teacher's tokens differ from the base's. Unused ones do not count."""
    for place, (token, kind) in enumerate(zip(own.tokens, own.types, strict=True)):
        if kind == "unused" or teacher.tokens[place : place + 1] == [token]:
            continue
        its = repr(teacher.tokens[place]) if place < len(teacher.tokens) else "missing"
        raise InputError(
            f"{where}: the teacher has another vocabulary than the base: token {place} is {its}, the base's "
            f"{token!r}; take a teacher of the base's family"
        )


class Distill(AdapterMethod):
    def check(self, job: Job) -> None:
        super().check(job)
        if job.teacher is None:
            raise InputError('method "distill" learns from a teacher; give one')
        try:
            teacher = models.load(job.teacher)
        except InputError as error:
            raise InputError(f"[train] teacher: {error}") from None
        check_vocabulary(f"[train] teacher: {job.teacher}", teacher.tokenizer, job.spec.tokenizer)


method = Distill(
    "distill",
    DistillTrainee,
    keys=(*KEYS, "teacher", ORIGINALS_ONCE),
    needs=(("data", "train"), ("train", "teacher")),
    takes_images=False,  # the teacher gets tokens alone
)
