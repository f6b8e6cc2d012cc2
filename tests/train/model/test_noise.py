"""Smoothed labels and noise on embeddings: what they are by definition, in training alone, and after a kill."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import killed_and_resumed, train
from torch import Tensor
from torch.nn import functional
from transformers_models import save_random

from tinsmith import models
from tinsmith.data.readers import Example
from tinsmith.spec import Spec
from tinsmith.train.batches.packing import pack, pad
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.model import network, noise, prefix
from tinsmith.train.options import TrainOptions

OPTIONS = TrainOptions(epochs=2, rank=4, learning_rate=1e-2, batch_tokens=60, rough=None, renew=2, threads=1)
SEQUENCES = [TokenSequence((5, 6, 7), (8, 2)), TokenSequence(tuple(range(10, 50)), (9, 9, 2))]
ALPHA = 5.0


@contextmanager
def embedded(built: Any) -> Iterator[list[Tensor]]:
    """What the layers are given, pass by pass."""
    seen: list[Tensor] = []
    hook = built.trunk.layers[0].register_forward_pre_hook(
        lambda layer, given, named: seen.append(given[0] if given else named["hidden_states"]), with_kwargs=True
    )
    yield seen
    hook.remove()


@pytest.mark.parametrize("packing", [pack(SEQUENCES, 0), pad(SEQUENCES)], ids=["packed", "padded"])
@pytest.mark.parametrize("case", ["llama", "gemma3"])
def test_noise_is_even_within_its_width(case: str, packing: Any, tmp_path: Path) -> None:
    save_random(case, tmp_path)
    built = network.build(models.load(tmp_path), torch.float32, 4, 8.0, 0.0)
    noise.install(built, ALPHA)
    torch.manual_seed(0)
    with embedded(built) as passes:
        built.model.eval()
        built.answer_states(packing)
        built.model.train()
        for _ in range(200):
            built.answer_states(packing)
    plain, *noised = passes
    added = torch.stack(noised) - plain  # [passes, rows, width, dim]
    dim = plain.shape[-1]
    for number, sequence in enumerate(SEQUENCES, 1):
        width = ALPHA / math.sqrt(len(sequence) * dim)
        own = added.flatten(1, 2)[:, packing.parts == number]
        assert own.numel() == 200 * len(sequence) * dim
        assert own.abs().max() <= width * 1.001
        spread = width / math.sqrt(3)  # of what is even over -width to width
        assert own.std().item() == pytest.approx(spread, rel=0.02)
        assert abs(own.mean().item()) < 5 * spread / math.sqrt(own.numel())
    assert not torch.equal(noised[0], noised[1])


@pytest.mark.parametrize("method", ["lora", "full", "prefix"])
def test_validation_sees_neither(method: str, spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    """A rate of nearly nothing trains nearly nothing: what is validated is the base."""
    plain = replace(OPTIONS, learning_rate=1e-12, epochs=1, batch_tokens=10_000)
    other = replace(plain, noise=100.0, label_smoothing=0.5)
    one = train(method, spec, examples, examples, plain, tmp_path / "plain")
    two = train(method, spec, examples, examples, other, tmp_path / "other")
    assert one.validations[0].loss == pytest.approx(two.validations[0].loss, rel=1e-5)
    assert abs(one.curve[0][1] - two.curve[0][1]) > 0.01


@pytest.mark.parametrize("method", ["lora", "full", "prefix"])
def test_the_loss_of_a_step_is_smoothed_cross_entropy(
    method: str, spec: Spec, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "has_fast_bfloat16", lambda device: False)
    wanted: list[Tensor] = []
    kind = prefix.Prefixed if method == "prefix" else network.Network
    own = kind.answer_states

    def note(built: Any, packing: Any) -> Tensor:
        states: Tensor = own(built, packing)
        if torch.is_grad_enabled():
            logits = built.logits(states.detach())
            wanted.append(functional.cross_entropy(logits, packing.targets, label_smoothing=0.3).detach())
        return states

    monkeypatch.setattr(kind, "answer_states", note)
    options = replace(OPTIONS, label_smoothing=0.3, epochs=1)
    result = train(method, spec, examples, examples[:6], options, tmp_path)
    # Where a process holds much, what a step takes is measured before the first one.
    steps = wanted[-result.steps :]
    assert [loss for _, loss in result.curve] == pytest.approx([float(one) for one in steps], abs=0.02)


@pytest.mark.parametrize("method", ["lora", "full", "prefix"])
def test_a_killed_run_draws_the_same_noise(
    method: str, spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    options = replace(OPTIONS, noise=5.0, label_smoothing=0.1)
    killed_and_resumed(method, spec, examples, examples[:6], options, tmp_path)
