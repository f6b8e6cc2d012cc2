"""Tiny models of random weights, hybrids among them, and sequences that try what these carry along a row."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from tests.models.tiny_models import cases
from tests.models.transformers_models import save_random
from tests.train.tiny_training import TEMPLATE, tokenizer_of
from tinsmith import models
from tinsmith.spec import Spec
from tinsmith.train.batches.sequences import TokenSequence

HYBRIDS = [case for case in cases() if case.startswith(("qwen35", "lfm2", "granitehybrid", "falcon_h1"))]


def spec_of(case: str, folder: Path) -> Spec:
    save_random(case, folder)
    spec = models.load(folder)
    return replace(spec, tokenizer=tokenizer_of(spec.hyper.vocab), chat_template=TEMPLATE)


def sequences_of(shared: int) -> list[TokenSequence]:
    """From one token after the shared prefix to more than two chunks of the delta rule."""
    source = random.Random(shared)

    def some(count: int) -> tuple[int, ...]:
        return tuple(source.randrange(3, 259) for _ in range(count))

    prefix = some(shared)
    return [TokenSequence(prefix + some(p), some(a)) for p, a in [(1, 1), (5, 3), (100, 60), (9, 2), (2, 64)]]
