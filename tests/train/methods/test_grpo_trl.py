"""The losses on rollouts beside TRL's, by value, on random rollouts of a tiny model with a random adapter."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.methods.test_preferences_trl import padded, some, trainer_of, trl_model
from tests.train.tiny_training import encode, make_spec
from tinsmith.data.readers import Example
from tinsmith.train import methods
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.job import Job
from tinsmith.train.methods.grpo import CAP, Rollout, advantages
from tinsmith.train.options import TrainOptions

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
pytest.importorskip("trl")

BATCHES = 30


def rollouts(source: random.Random) -> list[Rollout]:
    """Of other lengths, whose ratios and corrections are within their bounds and beyond them."""
    made = []
    for _ in range(source.randint(2, 6)):
        sequence = TokenSequence(some(source, 1, 12), some(source, 1, 9))
        made.append(Rollout(sequence, source.gauss(0, 1), 0.0))
    return made


def known(trainee: Any, source: random.Random, made: list[Rollout]) -> list[Rollout]:
    """With log-probabilities near to those of the network."""
    with torch.no_grad():
        policy = trainee.policy(made)
    found = []
    for number, one in enumerate(made):
        own = float(policy.chosen[policy.owner == number].sum())
        found.append(Rollout(one.sequence, one.advantage, own + source.gauss(0, 0.7)))
    return found


def test_the_loss_is_trls(tmp_path: Path) -> None:
    from trl import GRPOTrainer

    spec = make_spec()
    options = TrainOptions(
        task="chat",
        rank=4,
        alpha=8.0,
        qat=None,
        threads=1,
    )
    rows = [Example("ab", "c"), Example("de", "f")]
    trainee: Any = methods.by_name("grpo").trainee(Job(spec, rows, rows, options, tmp_path, encode))
    trainee.shared = 0
    torch.manual_seed(7)
    for parameter in trainee.network.parameters().values():
        torch.nn.init.normal_(parameter, std=0.1)
    model = trl_model(spec, trainee, tmp_path)
    trainer = trainer_of(
        GRPOTrainer,
        model,
        loss_type="grpo",
        beta=0.0,
        temperature=1.0,
        epsilon_low=0.2,
        epsilon_high=0.2,
        importance_sampling_level="token",
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        use_vllm=True,
        vllm_importance_sampling_correction=True,
        max_completion_length=trainee.room,
        current_gradient_accumulation_steps=1,
        _entropy_bonus_enabled=False,
        use_liger_kernel=False,
        model_kwarg_keys=set(),
        use_transformers_paged=False,
    )
    trainer.args.__dict__.update(delta=None, use_bias_correction_kl=False, steps_per_generation=1)
    trainer.accelerator.num_processes = 1

    def theirs(batch: list[Rollout]) -> Any:
        prompts = [one.sequence.prompt for one in batch]
        width = max(map(len, prompts))
        left = [[0] * (width - len(one)) + list(one) for one in prompts]
        held = padded([TokenSequence((), one.sequence.answer) for one in batch])

        with torch.no_grad():
            policy = trainee.policy(batch)
        own = torch.zeros(len(batch)).index_add(0, policy.owner, policy.chosen)
        sums = own - torch.tensor([one.drawn for one in batch])
        inputs = {
            "prompt_ids": torch.tensor(left),
            "prompt_mask": torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in prompts]),
            "completion_ids": held["input_ids"],
            "completion_mask": held["attention_mask"],
            "advantages": torch.tensor([one.advantage for one in batch]),
            "importance_sampling_ratio": sums.exp().clamp(max=CAP)[:, None],
            "num_items_in_batch": held["attention_mask"].sum(),
        }
        return trainer._compute_loss(model, inputs)

    source, found = random.Random(5), []
    for _ in range(BATCHES):
        batch = known(trainee, source, rollouts(source))
        with torch.no_grad():
            given, wanted = trainee.loss(batch), theirs(batch)
        torch.testing.assert_close(given, wanted, atol=2e-5, rtol=2e-5)
        found.append(float(given))
    assert max(found) - min(found) > 0.05


def test_advantages_are_trls() -> None:
    """What TRL's `_generate_and_score_completions` makes of rewards, in its own words."""
    torch.manual_seed(1)
    rewards = torch.randint(0, 3, (6, 8)).float() / 2
    wanted = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    torch.testing.assert_close(torch.tensor(advantages(rewards.tolist())), wanted, atol=1e-5, rtol=1e-5)
