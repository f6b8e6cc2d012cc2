"""The losses on preferences beside TRL's, by value, on random batches of a tiny model with a random adapter."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.train.tiny_training import encode, make_spec
from tinsmith import models
from tinsmith.data.preferences import Preference
from tinsmith.spec import Spec
from tinsmith.train import methods
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.job import Job
from tinsmith.train.methods._preferences import Judged
from tinsmith.train.options import TrainOptions

# Before TRL is imported: nothing is asked of the network, nothing is told to it.
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
pytest.importorskip("trl")

BATCHES = 100
BETA = 0.3
OPTIONS = TrainOptions(rank=4, alpha=8.0, beta=BETA, qat=None, threads=1)


@pytest.fixture(scope="module")
def sharp() -> Spec:
    """A model that prefers: of small embeddings every token is about as likely."""
    return make_spec()


def trainee_of(method: str, spec: Spec, folder: Path, rows: Sequence[Preference], every: list[Judged]) -> Any:
    """With the reference of all sequences of `every`, and then a random adapter."""
    job = Job(spec, (), (), OPTIONS, folder, encode, preferences=rows)
    trainee: Any = methods.by_name(method).trainee(job)
    trainee.unread = [[one] for row in every for one in (*row.answers, row.other) if one]
    trainee.shared = 0
    trainee.prepare(lambda event: None)
    torch.manual_seed(7)
    for parameter in trainee.network.parameters().values():
        torch.nn.init.normal_(parameter, std=0.1)
    return trainee


def trl_model(spec: Spec, trainee: Any, folder: Path, temperature: float = 1.0) -> Any:
    """transformers' own model with peft's own adapter, and the head that TRL puts on it."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    models.save_hf(spec, folder / "base")
    trainee.network.model.save_pretrained(str(folder / "adapter"), save_embedding_layers=False)
    base = AutoModelForCausalLM.from_pretrained(
        folder / "base", dtype=torch.float32, attn_implementation="eager"
    )
    add_fused_lm_head(base, temperature, outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
    return PeftModel.from_pretrained(base, folder / "adapter").eval()


def trainer_of(kind: Any, model: Any, **more: Any) -> Any:
    """What a loss of TRL's reads of its trainer, which needs a data set and a tokenizer to be made."""
    accelerator = SimpleNamespace(
        is_main_process=True,
        autocast=nullcontext,
        reduce=lambda x, *_, **__: x,
        device=torch.device("cpu"),
        gather_for_metrics=lambda x: x,
        gather=lambda x: x,
        unwrap_model=lambda x, **_: x,
    )
    trainer = kind.__new__(kind)
    args = SimpleNamespace(gradient_checkpointing=False, gradient_checkpointing_kwargs=None)
    fixed = {"accelerator": accelerator, "model": model, "ref_model": None, "beta": BETA, "args": args}
    fixed |= {"aux_loss_enabled": False, "precompute_ref_logps": False, "_total_train_tokens": 0, "_tp_size": 1}
    fixed |= {"_metrics": {"train": defaultdict(list), "eval": defaultdict(list)}}
    trainer.__dict__.update(fixed | more)
    return trainer


def some(source: random.Random, least: int, most: int) -> tuple[int, ...]:
    return tuple(source.randrange(3, 259) for _ in range(source.randint(least, most)))


def pair_batches(prompts: tuple[int, int]) -> list[list[Judged]]:
    source = random.Random(3)

    def pair() -> Judged:
        prompt = some(source, *prompts)
        return Judged((TokenSequence(prompt, some(source, 1, 9)), TokenSequence(prompt, some(source, 1, 9))))

    return [[pair() for _ in range(source.randint(1, 5))] for _ in range(BATCHES)]


def padded(sequences: Sequence[TokenSequence]) -> dict[str, torch.Tensor]:
    ids = [torch.tensor([*one.prompt, *one.answer]) for one in sequences]
    masks = [torch.tensor([0] * len(one.prompt) + [1] * len(one.answer)) for one in sequences]
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "input_ids": pad(ids, batch_first=True),
        "attention_mask": pad([torch.ones_like(one) for one in ids], batch_first=True),
        "completion_mask": pad(masks, batch_first=True),
    }


def compare(trainee: Any, batches: list[list[Judged]], theirs: Any) -> None:
    with torch.no_grad():
        for batch in batches:
            given, wanted = trainee.loss(batch), theirs(batch)
            torch.testing.assert_close(given, wanted, atol=2e-5, rtol=2e-5)
        losses = [float(trainee.loss(batch)) for batch in batches]
    assert max(losses) - min(losses) > 0.1


@pytest.mark.slow
def test_dpo_is_trls(sharp: Spec, tmp_path: Path) -> None:
    from trl import DPOTrainer

    batches = pair_batches((1, 12))
    rows = [Preference("a", ("b", "c")), Preference("d", ("e", "f"))]
    trainee = trainee_of("dpo", sharp, tmp_path, rows, [row for batch in batches for row in batch])
    model = trl_model(sharp, trainee, tmp_path)
    kinds = {"loss_types": ["sigmoid"], "loss_weights": [1.0], "f_divergence_type": "reverse_kl"}
    trainer = trainer_of(DPOTrainer, model, ld_alpha=None, use_weighting=False, label_smoothing=0.0, **kinds)

    def theirs(batch: list[Judged]) -> Any:
        return trainer._compute_loss(model, padded([row.answers[n] for n in (0, 1) for row in batch]), False)

    compare(trainee, batches, theirs)


@pytest.mark.slow
def test_kto_is_trls(sharp: Spec, tmp_path: Path) -> None:
    from trl import KTOTrainer

    source = random.Random(4)

    def batch() -> list[Judged]:
        rows = [(some(source, 1, 12), some(source, 1, 9)) for _ in range(source.randint(2, 6))]
        others = [answer for _, answer in rows[-1:] + rows[:-1]]
        return [
            Judged((TokenSequence(prompt, answer),), source.random() < 0.5, TokenSequence(prompt, other))
            for (prompt, answer), other in zip(rows, others, strict=True)
        ]

    batches = [batch() for _ in range(BATCHES)]
    rows = [Preference(text, (f"b{good}",), good) for text in "xyz" for good in (True, False)]
    rows += [Preference("x", (f"c{n}",), False) for n in range(2)]
    trainee = trainee_of("kto", sharp, tmp_path, rows, [row for batch in batches for row in batch])
    model = trl_model(sharp, trainee, tmp_path)
    weights = {"desirable_weight": 5 / 3, "undesirable_weight": 1.0}  # five bad outputs and three good ones
    trainer = trainer_of(KTOTrainer, model, loss_type="kto", calculate_KL=True, **weights)

    def theirs(batch: list[Judged]) -> Any:
        others = padded([row.other for row in batch if row.other])
        inputs = padded([row.answers[0] for row in batch]) | {f"KL_{key}": x for key, x in others.items()}
        inputs["label"] = torch.tensor([row.good for row in batch])
        return trainer._compute_loss(model, inputs, False)

    compare(trainee, batches, theirs)


def test_orpo_is_trls(sharp: Spec, tmp_path: Path) -> None:
    """With prompts of one token: TRL's cross entropy is of the prompt's other tokens too."""
    from trl.experimental.orpo import ORPOTrainer

    batches = pair_batches((1, 1))
    rows = [Preference("a", ("b", "c")), Preference("d", ("e", "f"))]
    trainee = trainee_of("orpo", sharp, tmp_path, rows, [])
    model = trl_model(sharp, trainee, tmp_path)
    trainer = trainer_of(ORPOTrainer, model, is_encoder_decoder=False, padding_value=0)

    def theirs(batch: list[Judged]) -> Any:
        inputs = {}
        for place, name in enumerate(("chosen", "rejected")):
            held = padded([row.answers[place] for row in batch])
            labels = held["input_ids"].masked_fill(held.pop("completion_mask") == 0, -100)
            inputs |= {f"{name}_{key}": value for key, value in held.items()} | {f"{name}_labels": labels}
        return trainer.get_batch_loss_metrics(model, inputs)[0]

    compare(trainee, batches, theirs)
