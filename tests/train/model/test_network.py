"""The packed, prefix-sharing network against transformers and peft used plainly."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch.nn import functional

from tests.train.tiny_training import encode, make_spec
from tinsmith.data.readers import Example
from tinsmith.errors import InputError
from tinsmith.train.batches.packing import HEIGHT, pack, pad
from tinsmith.train.batches.sequences import Tokenization, TokenSequence, shared_prefix
from tinsmith.train.model import network


def sequences_of(system: str) -> list[TokenSequence]:
    texts = [("a", "1"), ("bcd efg", "23456"), ("", "7"), ("hij", "89"), ("klmnop", "0")]
    examples = [Example(first, second) for first, second in texts]
    return Tokenization(make_spec(), encode, "call", system, 512)(examples)


def plain_losses(built: network.Network, sequences: Sequence[TokenSequence]) -> torch.Tensor:
    """One sequence at a time, by transformers' own attention and peft's own modules."""
    built.model.base_model.model.config._attn_implementation = "eager"
    for module in built.model.modules():
        module.__dict__.pop("forward", None)
    losses = []
    for sequence in sequences:
        ids = torch.tensor([[*sequence.prompt, *sequence.answer]])
        logits = built.model(input_ids=ids).logits[0, len(sequence.prompt) - 1 : -1]
        losses.append(functional.cross_entropy(logits.float(), torch.tensor(sequence.answer), reduction="none"))
    return torch.cat(losses)


def randomized(dtype: torch.dtype, tied: bool = True) -> network.Network:
    torch.manual_seed(1)
    built = network.build(make_spec(tied=tied), dtype, 4, 8.0)
    for parameter in built.parameters().values():
        torch.nn.init.normal_(parameter, std=0.1)
    return built


@pytest.mark.parametrize("system", ["", "home"])
@pytest.mark.parametrize("tied", [True, False])
def test_losses_and_gradients_are_those_of_plain_peft(system: str, tied: bool) -> None:
    sequences = sequences_of(system)
    packed, plain = randomized(torch.float32, tied), randomized(torch.float32, tied)
    losses, best = packed.answer_losses(packed.pack(sequences, len(shared_prefix(sequences))))
    wanted = plain_losses(plain, sequences)
    torch.testing.assert_close(losses, wanted, atol=2e-5, rtol=1e-5)
    assert best.shape == losses.shape
    losses.mean().backward()
    wanted.mean().backward()
    for name, parameter in packed.parameters().items():
        torch.testing.assert_close(parameter.grad, plain.parameters()[name].grad, atol=1e-6, rtol=1e-3)


def test_bfloat16_stays_near() -> None:
    sequences = sequences_of("home")
    narrow = randomized(torch.bfloat16)
    losses, _ = narrow.answer_losses(narrow.pack(sequences, 4))
    wanted = plain_losses(randomized(torch.float32), sequences)
    # bfloat16 keeps 8 bits; a few layers of such roundings move a loss of about 6 by at most some hundredths.
    torch.testing.assert_close(losses, wanted, atol=0.15, rtol=0)


def test_labels_are_the_answers_and_their_end() -> None:
    sequences = sequences_of("home")
    packing = pack(sequences, 4)
    assert packing.targets.tolist() == [token for sequence in sequences for token in sequence.answer]
    held = 4 + sum(len(sequence) - 4 for sequence in sequences)
    assert packing.tokens.shape == (1, held + packing.filler)
    assert packing.filler == -held % HEIGHT
    assert len(packing.without_padding(packing.tokens[..., None])) == held
    before_first = packing.tokens[0, packing.labelled[packing.owner == 1]][0]
    assert before_first == sequences[1].prompt[-1]


def test_only_the_adapter_is_trained() -> None:
    built = network.build(make_spec(), torch.float32, 4, 8.0)
    names = list(built.parameters())
    assert len(names) == 2 * 7 * 2
    assert all("lora_" in name for name in names)
    assert all(parameter.dtype == torch.float32 for parameter in built.parameters().values())


def test_targets_are_chosen_by_name_and_the_rest_stays_frozen() -> None:
    built = network.build(make_spec(), torch.float32, 4, 8.0, ("q_proj", "v_proj"))
    assert set(built.linears) == {f"layers.{i}.{part}" for i in (0, 1) for part in "qv"}
    for targets in (("v_proj",), ("gate_proj", "up_proj")):
        narrow = network.build(make_spec(), torch.bfloat16, 4, 8.0, targets)
        losses, _ = narrow.answer_losses(narrow.pack(sequences_of(""), 0))
        losses.mean().backward()
        assert all(parameter.grad is not None for parameter in narrow.parameters().values())
    with pytest.raises(
        InputError, match=r"llama has no linear layer 'x_proj'; it has down_proj, gate_proj, k_"
    ):
        network.build(make_spec(), torch.float32, 4, 8.0, ("q_proj", "x_proj"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_padded_rows_are_as_good_as_a_packed_one(dtype: torch.dtype) -> None:
    sequences = sequences_of("home")
    packed = randomized(dtype)
    wanted, best = packed.answer_losses(pack(sequences, 4))
    given, same = packed.answer_losses(pad(sequences))
    torch.testing.assert_close(given, wanted, atol=2e-5 if dtype == torch.float32 else 0.1, rtol=0)
    if dtype == torch.float32:
        assert torch.equal(same, best)
