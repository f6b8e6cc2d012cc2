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
from torch.nn import functional

from tests.models import without_llama_cpp
from tests.models.tiny_models import cases
from tests.models.transformers_models import save_random
from tests.train.llama_adapter import llama_logits
from tests.train.tiny_training import PAIRS, TEMPLATE, tokenizer_of, train
from tinsmith import _core, models, quant
from tinsmith.data.readers import Example
from tinsmith.spec import Spec, Tensor
from tinsmith.train.adapters import gguf as adapter_gguf
from tinsmith.train.batches.sequences import TokenSequence, shared_prefix
from tinsmith.train.merge import merge
from tinsmith.train.model import network
from tinsmith.train.options import TrainOptions
from tinsmith.train.quantized.fake_quantization import FakeQuantization
from tinsmith.train.quantized.importance import recorded, seen, weights

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
    return random_adapter(request.param, tmp_path_factory.mktemp("base"), tmp_path_factory.mktemp("adapter"))


def random_adapter(case: str, base: Path, folder: Path, **changes: Any) -> Adapted:
    save_random(case, base, **changes)
    spec = models.load(base)
    spec = replace(spec, tokenizer=tokenizer_of(spec.hyper.vocab), chat_template=TEMPLATE)
    torch.manual_seed(1)
    built = network.build(spec, torch.float32, RANK, ALPHA)
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


@pytest.mark.proves("train")
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


@pytest.mark.proves("merge")
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


@pytest.mark.proves("adapter out")
def test_llama_cpp_applies_the_exported_adapter(adapted: Adapted, tmp_path: Path, record_property: Any) -> None:
    models.save_gguf(adapted.spec, tmp_path / "base.gguf")
    if adapted.spec.family in without_llama_cpp.FAMILIES:
        record_property("without", without_llama_cpp.REASON)
        assert without_llama_cpp.refuses(tmp_path / "base.gguf")
        return
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


def test_value_heads_are_put_in_order_for_llama_cpp(tmp_path: Path) -> None:
    """Three to a key head: going there and coming back are not the same, as they are for two."""
    adapted = random_adapter("qwen35", tmp_path / "base", tmp_path / "adapter", linear_num_value_heads=6)
    test_merged_is_base_and_adapter(adapted, tmp_path / "plain")
    test_llama_cpp_applies_the_exported_adapter(adapted, tmp_path, None)


def test_a_quantized_gguf_is_a_base(adapted: Adapted, tmp_path: Path) -> None:
    """The network of its values is the merged model that the same adapter makes of it."""
    models.save_gguf(in_blocks(adapted.spec), tmp_path / "base.gguf")
    spec = models.load(tmp_path / "base.gguf")
    assert "Q8_0" in {tensor.format for tensor in spec.tensors.values()}
    torch.manual_seed(1)
    built = network.build(spec, torch.float32, RANK, ALPHA)
    with torch.no_grad():
        for name, parameter in built.parameters().items():
            parameter.copy_(adapted.built.parameters()[name])
        sequences = sequences_of(spec.hyper.vocab)
        losses, _ = built.answer_losses(built.pack(sequences, 12))
        models.save_hf(merge(spec, adapted.folder), tmp_path / "merged")
        model = plain(tmp_path / "merged")
        wanted = [
            functional.cross_entropy(
                model(input_ids=torch.tensor([[*one.prompt, *one.answer]])).logits[0, len(one.prompt) - 1 : -1],
                torch.tensor(one.answer),
                reduction="none",
            )
            for one in sequences
        ]
    torch.testing.assert_close(losses, torch.cat(wanted), atol=2e-3, rtol=0)


def test_bfloat16_stays_near(adapted: Adapted) -> None:
    torch.manual_seed(1)
    narrow = network.build(adapted.spec, torch.bfloat16, RANK, ALPHA)
    sequences = sequences_of(adapted.spec.hyper.vocab)
    with torch.no_grad():
        for name, parameter in narrow.parameters().items():
            parameter.copy_(adapted.built.parameters()[name])
        wanted, _ = adapted.built.answer_losses(adapted.built.pack(sequences, 12))
    losses, _ = narrow.answer_losses(narrow.pack(sequences, 12))
    losses.mean().backward()
    assert all(parameter.grad is not None for parameter in narrow.parameters().values())
    assert float((losses - wanted).abs().mean()) < 0.3  # of about 6


def in_blocks(spec: Spec) -> Spec:
    """The matrices whose rows Q8_0 divides in that format."""

    def convert(tensor: Tensor) -> Tensor:
        if tensor.rows == 1 or tensor.inputs % 32:
            return tensor
        data = _core.quantize("Q8_0", tensor.data, tensor.rows, tensor.inputs)
        return Tensor("Q8_0", tensor.rows, tensor.inputs, data)

    return replace(spec, tensors={role: convert(tensor) for role, tensor in spec.tensors.items()})


@pytest.mark.parametrize("keep_packed", [False, True])
def test_rough_weights_are_those_of_the_built_file(adapted: Adapted, keep_packed: bool, tmp_path: Path) -> None:
    """With all that it quantizes: embedding, head and experts, whatever the adapter changes."""
    spec = in_blocks(adapted.spec) if keep_packed else adapted.spec
    built = adapted.built
    if keep_packed:
        built = network.build(spec, torch.float32, RANK, ALPHA, keep_packed=True)
        for name, parameter in built.parameters().items():
            parameter.data = adapted.built.parameters()[name].data
    sequences = sequences_of(spec.hyper.vocab)
    squares = seen(built, [built.pack(sequences, 0)])
    qat = FakeQuantization(spec, built, "Q4_0")
    qat.renew(squares)
    file = quant.apply(merge(spec, adapted.folder), "Q4_0", weights(squares))
    with torch.no_grad(), qat.applied():
        given, _ = built.answer_losses(built.pack(sequences, 0))
        exact = network.build(file, torch.float32, RANK, ALPHA)
        wanted, _ = exact.answer_losses(exact.pack(sequences, 0))
    plain, _ = built.answer_losses(built.pack(sequences, 0))
    torch.testing.assert_close(given, wanted, atol=2e-4, rtol=1e-4)
    assert not torch.allclose(plain, wanted, atol=1e-2)


def test_importance_is_of_tokens_not_of_padding(adapted: Adapted) -> None:
    built, sequences = adapted.built, sequences_of(adapted.spec.hyper.vocab)
    with torch.no_grad(), recorded(built) as together:
        built.answer_losses(built.pack(sequences, 0))
    alone: dict[str, Any] = {}
    for one in sequences:
        with torch.no_grad(), recorded(built) as means:
            built.answer_losses(built.pack([one], 0))
        for role, mean in means.items():
            alone[role] = alone.get(role, 0) + mean * len(one)
    count = sum(map(len, sequences))
    for role, total in alone.items():
        torch.testing.assert_close(together[role], total / count, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.proves("train")
def test_fifty_steps_lower_the_loss(adapted: Adapted, tmp_path: Path) -> None:
    examples = [Example(first + second, second) for first, second in PAIRS * 14]
    options = TrainOptions(
        epochs=2, rank=RANK, learning_rate=2e-2, batch_tokens=100, qat=None, threads=1, renew=1000
    )
    result = train("lora", adapted.spec, examples, examples[:4], options, tmp_path)
    assert result.steps >= 50
    losses = [point.loss for point in result.curve]
    assert np.mean(losses[-5:]) < 0.92 * losses[0]
