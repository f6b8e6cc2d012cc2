"""Hybrid models in one packed row, against a padded row each, which transformers computes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.train.hybrids import HYBRIDS, sequences_of, spec_of
from tinsmith.train.batches.packing import pack, pad
from tinsmith.train.layers import mixing
from tinsmith.train.model import network


def built_of(case: str, folder: Path, dtype: torch.dtype = torch.float32) -> network.Network:
    spec = spec_of(case, folder)
    torch.manual_seed(1)
    built = network.build(spec, dtype, 4, 6.0)
    for parameter in built.parameters().values():
        torch.nn.init.normal_(parameter, std=0.15)
    return built


@pytest.mark.parametrize("case", HYBRIDS)
@pytest.mark.parametrize("shared", [0, 2, 12, 70])  # none, less than a convolution's taps, and past a chunk
def test_losses_and_gradients_are_those_of_padded_rows(case: str, shared: int, tmp_path: Path) -> None:
    built, sequences = built_of(case, tmp_path), sequences_of(shared)
    assert built.packs
    results = []
    for packing in (pack(sequences, shared), pad(sequences)):
        losses, best = built.answer_losses(packing)
        losses.mean().backward()
        gradients = {name: value.grad for name, value in built.parameters().items()}
        results.append((losses.detach(), best, gradients))
        built.model.zero_grad()
    (losses, best, gradients), (wanted, likeliest, expected) = results
    torch.testing.assert_close(losses, wanted, atol=6e-4, rtol=0)
    assert torch.equal(best, likeliest)
    # Float error: transformers' own gradients in padded rows and of one sequence at a time differ by 1e-3, too.
    for name, gradient in expected.items():
        atol = 5e-3 * float(gradient.abs().max())
        torch.testing.assert_close(gradients[name], gradient, atol=atol, rtol=0, msg=name)


@pytest.mark.parametrize("case", HYBRIDS)
def test_a_sequence_does_not_see_its_neighbours(case: str, tmp_path: Path) -> None:
    built, (first, *others) = built_of(case, tmp_path), sequences_of(12)
    with torch.no_grad():
        before, _ = built.answer_losses(pack([*others, first], 12))
        after, _ = built.answer_losses(pack([*others[::-1], first], 12))
        alone, _ = built.answer_losses(pack([first], 12))
    torch.testing.assert_close(before[-1:], alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(after[-1:], alone, atol=1e-5, rtol=0)


def test_the_delta_rule_is_the_recurrence() -> None:
    source = torch.Generator().manual_seed(3)

    def some(*sizes: int) -> torch.Tensor:
        return torch.randn(sizes, generator=source, dtype=torch.float64)

    heads, count, length, keys, values = 2, 3, 150, 8, 5
    query, key, value = (
        some(heads, count, length, keys),
        some(heads, count, length, keys),
        some(heads, count, length, values),
    )
    rates, steps, state = (
        -some(heads, count, length).abs(),
        some(heads, count, length).sigmoid(),
        some(heads, 1, keys, values),
    )
    out, last = mixing.delta_rule(query, key, value, rates, steps, state, True)
    key = key / (key.square().sum(-1, keepdim=True) + 1e-6).sqrt()
    query = query / (query.square().sum(-1, keepdim=True) + 1e-6).sqrt() * keys**-0.5
    state, rows = state.expand(-1, count, -1, -1), []
    for t in range(length):
        state = state * rates[:, :, t, None, None].exp()
        known = (key[:, :, t, None] @ state)[:, :, 0]
        state = state + key[:, :, t, :, None] * (steps[:, :, t, None] * (value[:, :, t] - known))[:, :, None]
        rows.append((query[:, :, t, None] @ state)[:, :, 0])
    torch.testing.assert_close(out, torch.stack(rows, 2), atol=1e-7, rtol=0)
    torch.testing.assert_close(last, state, atol=1e-7, rtol=0)


def test_the_selective_state_update_is_the_recurrence() -> None:
    source = torch.Generator().manual_seed(3)

    def some(*sizes: int) -> torch.Tensor:
        return torch.randn(sizes, generator=source, dtype=torch.float64)

    heads, count, length, states, width = 2, 3, 150, 8, 5
    value, before, after = (
        some(heads, count, length, width),
        some(1, count, length, states),
        some(1, count, length, states),
    )
    steps = some(heads, count, length).abs()
    rates, state = -0.5 * steps, some(heads, 1, states, width)
    out, last = mixing.state_update(value, before, after, rates, steps, state, True)
    state, rows = state.expand(-1, count, -1, -1), []
    for t in range(length):
        taken = before[:, :, t, :, None] * (steps[:, :, t, None] * value[:, :, t])[:, :, None]
        state = state * rates[:, :, t, None, None].exp() + taken
        rows.append((after[:, :, t, None] @ state)[:, :, 0])
    torch.testing.assert_close(out, torch.stack(rows, 2), atol=1e-6, rtol=0)
    torch.testing.assert_close(last, state, atol=1e-6, rtol=0)


def test_a_model_with_an_unknown_mixer_takes_no_packed_row() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    for types, packs in ((["full_attention"], True), (["full_attention", "linear_attention"], False)):
        model.config = SimpleNamespace(layer_types=types)
        assert mixing.install(model) == packs
