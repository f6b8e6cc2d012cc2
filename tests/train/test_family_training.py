"""What training promises of every family: losses and gradients are those of transformers and peft used plainly,
merging is exact, the loss falls, and llama.cpp applies the exported adapter."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from llama_adapter import llama_logits
from tiny_models import cases
from tiny_training import PAIRS, TEMPLATE, encode, tokenizer_of
from torch.nn import functional
from transformers_models import save_random

from tinsmith import models
from tinsmith.data.readers import Example
from tinsmith.models.spec import Spec
from tinsmith.train import adapter_gguf, lora, network
from tinsmith.train.merge import merge
from tinsmith.train.sequences import TokenSequence, shared_prefix

RANK, ALPHA = 4, 6.0


@dataclass(frozen=True)
class Adapted:
    """base: the folder of a tiny model that transformers made; spec: read from there; built: with a random
    adapter, which `folder` holds as peft saves it."""

    base: Path
    spec: Spec
    built: network.Network
    folder: Path


@pytest.fixture(scope="module", params=cases())
def adapted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    base, folder = tmp_path_factory.mktemp("base"), tmp_path_factory.mktemp("adapter")
    save_random(request.param, base)
    spec = models.load(base)
    spec = replace(spec, tokenizer=tokenizer_of(spec.hyper.vocab), chat_template=TEMPLATE)
    torch.manual_seed(1)
    built = network.build(spec, torch.float32, RANK, ALPHA, 0.0)
    for parameter in built.parameters().values():
        torch.nn.init.normal_(parameter, std=0.15)
    built.model.save_pretrained(str(folder), save_embedding_layers=False)
    return Adapted(base, spec, built, folder)


def sequences_of(vocab: int) -> list[TokenSequence]:
    """A shared beginning of 12 tokens, then various lengths: past a small window and a short convolution."""
    source = random.Random(5)

    def some(count: int) -> tuple[int, ...]:
        return tuple(source.randrange(3, vocab) for _ in range(count))

    shared = some(12)
    sizes = [(5, 3), (30, 6), (1, 1), (9, 2), (14, 9)]
    return [TokenSequence(shared + some(prompt), some(answer)) for prompt, answer in sizes]


def plain(folder: Path, adapter: Path | None = None) -> Any:
    """transformers' own model of a folder, with peft's own adapter on it."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return base.eval() if adapter is None else PeftModel.from_pretrained(base, adapter, is_trainable=True)


def test_losses_and_gradients_are_those_of_plain_peft(adapted: Adapted) -> None:
    built, sequences = adapted.built, sequences_of(adapted.spec.hyper.vocab)
    losses, best = built.answer_losses(built.pack(sequences, len(shared_prefix(sequences))))
    losses.mean().backward()
    given = {name: value.grad for name, value in built.parameters().items()}
    built.model.zero_grad()
    model = plain(adapted.base, adapted.folder)
    wanted, likeliest = [], []
    for sequence in sequences:
        ids = torch.tensor([[*sequence.prompt, *sequence.answer]])
        logits = model(input_ids=ids).logits[0, len(sequence.prompt) - 1 : -1]
        wanted.append(functional.cross_entropy(logits, torch.tensor(sequence.answer), reduction="none"))
        likeliest.append(logits.argmax(-1))
    # Float error: of a delta rule transformers' own float32 gradients are 3e-4 from its float64 ones.
    torch.testing.assert_close(losses, torch.cat(wanted), atol=1e-4, rtol=0)
    assert torch.equal(best, torch.cat(likeliest))
    torch.cat(wanted).mean().backward()
    expected = {name: value.grad for name, value in model.named_parameters() if value.requires_grad}
    assert given.keys() == expected.keys()
    for name, gradient in expected.items():
        atol = 1e-3 * float(gradient.abs().max())
        torch.testing.assert_close(given[name], gradient, atol=atol, rtol=0, msg=name)


def test_merged_is_base_and_adapter(adapted: Adapted, tmp_path: Path) -> None:
    merged = merge(adapted.spec, adapted.folder)
    assert {tensor.format for tensor in merged.tensors.values()} == {"F32"}
    models.save_hf(merged, tmp_path)
    ids = torch.tensor([sequences_of(adapted.spec.hyper.vocab)[1].prompt])
    with torch.no_grad():
        wanted = plain(adapted.base, adapted.folder)(input_ids=ids).logits
        base = plain(adapted.base)(input_ids=ids).logits
        given = plain(tmp_path)(input_ids=ids).logits
    spread = float(wanted.max() - wanted.min())
    assert float((given - wanted).abs().max()) < 1e-4 * spread
    assert float((base - wanted).abs().max()) > 0.05 * spread


def test_llama_cpp_applies_the_exported_adapter(adapted: Adapted, tmp_path: Path) -> None:
    models.save_gguf(adapted.spec, tmp_path / "base.gguf")
    models.save_gguf(merge(adapted.spec, adapted.folder), tmp_path / "merged.gguf")
    assert adapter_gguf.write(adapted.folder, adapted.spec, tmp_path / "adapter.gguf") == ()
    tokens = list(sequences_of(adapted.spec.hyper.vocab)[1].prompt)
    wanted = llama_logits(tmp_path / "merged.gguf", tokens)
    given = llama_logits(tmp_path / "base.gguf", tokens, tmp_path / "adapter.gguf")
    base = llama_logits(tmp_path / "base.gguf", tokens)
    spread = np.ptp(wanted)
    # llama.cpp looks gelu up in a table of float16, whose steps the least difference may cross.
    assert np.abs(given - wanted).max() < 1e-3 * spread
    assert np.abs(base - wanted).max() > 0.05 * spread


@pytest.mark.slow
def test_fifty_steps_lower_the_loss(adapted: Adapted, tmp_path: Path) -> None:
    examples = [Example(first + second, second) for first, second in PAIRS * 14]
    options = lora.TrainOptions(
        epochs=2, rank=RANK, learning_rate=2e-2, batch_tokens=100, rough=None, threads=1, renew=1000
    )
    result = lora.train(adapted.spec, examples, examples[:4], options, tmp_path, encode)
    assert result.steps >= 50
    losses = [loss for _, loss in result.curve]
    assert np.mean(losses[-5:]) < 0.9 * losses[0]
