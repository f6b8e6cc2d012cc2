"""A tiny random llama with one token a byte, and a task that it can learn in seconds."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinsmith.constraint import Constraint
from tinsmith.constraint.makers import choices
from tinsmith.data.readers import Example
from tinsmith.models import family
from tinsmith.spec import Spec, Tokenizer
from tinsmith.tokenizer.packed import byte_alphabet
from tinsmith.train import run
from tinsmith.train.events import Event, Started, Step, TrainResult
from tinsmith.train.job import Job
from tinsmith.train.options import TrainOptions
from tinsmith.train.tensors import from_float32

# What a method that learns from rewards is given besides: answers that are right by chance.
REWARDED: dict[str, Any] = {"task": "chat", "prompts": 7, "rollouts": 4}
PAIRS = [(first, second) for first in "abcdefg" for second in "xyz"]
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role[0] + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>a\n' }}{% endif %}"
)
CONFIG = {
    "hidden_act": "silu",
    "hidden_size": 64,
    "intermediate_size": 96,
    "max_position_embeddings": 256,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "vocab_size": 259,
}


def encode(text: str) -> list[int]:
    ids: list[int] = []
    for piece in re.split("(" + "|".join(map(re.escape, SPECIAL)) + ")", text):
        ids += [SPECIAL.index(piece)] if piece in SPECIAL else [3 + byte for byte in piece.encode()]
    return ids


def make_spec(**changes: Any) -> Spec:
    kind = family.by_name("llama")
    hyper = replace(kind.hyper_from_hf(CONFIG), **changes)
    source = np.random.default_rng(3)
    tensors = {}
    for name in kind.tensors(hyper):
        noise = source.standard_normal((name.rows, name.inputs)) / np.sqrt(name.inputs)
        tensors[name.role] = from_float32(noise + 1 if name.rows == 1 else noise)
    return Spec("llama", hyper, tensors, tokenizer_of(hyper.vocab), TEMPLATE, {"name": "tiny"})


def train(
    method: str,
    spec: Spec,
    examples: Sequence[Example],
    validation: Sequence[Example],
    options: TrainOptions,
    folder: Path,
    *on_event: Callable[[Event], None],
    **more: Any,
) -> TrainResult:
    """more: of the job."""
    job = Job(spec, examples, validation, options, folder, **{"encode": encode, **more})
    return run.train(method, job, *on_event)


def digits() -> Constraint:
    """The answers that the task has."""
    return choices([f"{digit}" for digit in range(7)])


class Killed(BaseException):
    pass


def killed_and_resumed(
    method: str,
    spec: Spec,
    examples: Sequence[Example],
    validation: Sequence[Example],
    options: TrainOptions,
    folder: Path,
    **more: Any,
) -> TrainResult:
    """A run that is killed twice, at random steps, ends as one that is not: the same curve, and the same bytes
    in every file. Returns the latter's result."""
    whole = train(method, spec, examples, validation, options, folder / "whole", **more)
    chance = random.Random(f"{method} {options.seed}")
    stops = sorted(chance.sample(range(2, whole.steps + 1), 2))
    for stop in stops:

        def kill(event: Event, stop: int = stop) -> None:
            if isinstance(event, Step) and event.step == stop:
                raise Killed

        with pytest.raises(Killed):
            train(method, spec, examples, validation, options, folder / "killed", kill, **more)
    seen: list[Event] = []
    resumed = train(method, spec, examples, validation, options, folder / "killed", seen.append, **more)
    started = next(event for event in seen if isinstance(event, Started))
    assert started.step == (stops[-1] - 1) // options.renew * options.renew
    assert (resumed.curve, resumed.validations) == (whole.curve, whole.validations)
    names = sorted(path.name for path in whole.folder.iterdir())
    assert sorted(path.name for path in resumed.folder.iterdir()) == names
    for name in names:
        assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes(), name
    return whole


def tokenizer_of(vocab: int) -> Tokenizer:
    """encode's tokens, and further ones, which nothing uses, up to a vocabulary's size."""
    surplus = range(len(SPECIAL) + 256, vocab)
    return Tokenizer(
        tokens=[*SPECIAL, *byte_alphabet(), *(f"[PAD{token}]" for token in surplus)],
        types=["control"] * 3 + ["normal"] * 256 + ["unused"] * len(surplus),
        merges=[],
        pre="smollm",
        bos=1,
        eos=2,
        unk=0,
        pad=2,
        add_bos=False,
        end_tokens=(0, 2),
    )
