"""With weights of the sizes that trained models have, losses and gradients equal those of transformers and of
the runtime: for every family, tied and untied, and each way in which a base is trained."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.train import real_scales
from tests.train.methods.test_full import has_experts
from tests.train.model.test_family_training import in_blocks, sequences_of
from tinsmith import _core, models
from tinsmith.compiler import build_image
from tinsmith.models import family
from tinsmith.runtime import Model
from tinsmith.spec import Spec
from tinsmith.train.batches.packing import pad
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.layers import fused
from tinsmith.train.model import network, prefix
from tinsmith.train.model.devices import CPU

# What float32 rounds on the way through the tiny models: of the range of the logits, and of a gradient's
# largest value. transformers computes in float64, since its own float32 gradients are up to 0.03 away.
LOSS, GRADIENT = 2e-4, 1e-2
SHARED = 12  # tokens that the sequences begin with
ALL = real_scales.tied_or_not()
ONE_EACH = list({case: (case, tied) for case, tied in reversed(ALL)}.values())


@dataclass(frozen=True)
class Real:
    """model: transformers' own in float64, with the gradients of the mean of `losses`; spread: the range of its
    logits."""

    spec: Spec
    model: Any
    sequences: list[TokenSequence]
    losses: Tensor
    spread: float

    def assert_same(self, given: Tensor, wanted: Tensor) -> None:
        torch.testing.assert_close(given, wanted.float(), atol=LOSS * self.spread, rtol=0)


@pytest.fixture(scope="module")
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Real:
    (case, tied), folder = request.param, tmp_path_factory.mktemp("real")
    model = real_scales.save(case, folder, tie_word_embeddings=tied).double().requires_grad_(True)
    if has_experts(case):
        model.set_experts_implementation("eager")  # the default has no float64
    spec = models.load(folder)
    sequences = sequences_of(spec.hyper.vocab)
    losses = losses_of(model, sequences)
    losses.mean().backward()
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([sequences[1].prompt])).logits
    return Real(spec, model, sequences, losses.detach(), float(logits.max() - logits.min()))


def of(pairs: Sequence[tuple[str, bool]]) -> Any:
    names = [f"{case}-{'tied' if tied else 'untied'}" for case, tied in pairs]
    return pytest.mark.parametrize("real", pairs, ids=names, indirect=True)


def losses_of(model: Any, sequences: Sequence[TokenSequence], first: Sequence[int] = ()) -> Tensor:
    """Of each answer's tokens, by transformers itself, a sequence at a time, each behind the `first` tokens."""
    losses = []
    for one in sequences:
        ids = torch.tensor([[*first, *one.prompt, *one.answer]])
        logits = model(input_ids=ids).logits[0, len(first) + len(one.prompt) - 1 : -1]
        losses.append(functional.cross_entropy(logits, torch.tensor(one.answer), reduction="none"))
    return torch.cat(losses)


def adapted(spec: Spec, dtype: torch.dtype = torch.float32, keep_packed: bool = False) -> network.Network:
    """With a random adapter."""
    torch.manual_seed(1)
    built = network.build(spec, dtype, 4, 6.0, keep_packed=keep_packed)
    for parameter in built.parameters().values():
        nn.init.normal_(parameter, std=0.15)
    return built


@torch.no_grad()
def with_adapter(model: Any, spec: Spec, built: network.Network) -> dict[str, nn.Parameter]:
    """Adds to the weights of transformers' model what the adapter does; by role, those that it is of."""
    paths = {name.role: name.hf for name in family.by_name(spec.family).tensors(spec.hyper)}
    weights = {role: model.get_parameter(paths[role]) for role in built.linears}
    for role, module in built.linears.items():
        a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
        weights[role] += module.scaling["default"] * (b @ a)
    return weights


def near(given: Tensor | None, wanted: Tensor, name: str) -> None:
    assert given is not None, name
    torch.testing.assert_close(
        given, wanted.float(), atol=GRADIENT * float(wanted.detach().abs().max()), rtol=0, msg=name
    )


@of(ALL)
def test_adapter_losses_and_gradients_equal_transformers(real: Real) -> None:
    built, model = adapted(real.spec), copy.deepcopy(real.model)
    model.zero_grad()
    weights = with_adapter(model, real.spec, built)
    losses, _ = built.answer_losses(built.pack(real.sequences, SHARED))
    losses.mean().backward()
    wanted = losses_of(model, real.sequences)
    wanted.mean().backward()
    real.assert_same(losses, wanted)
    for role, module in built.linears.items():
        a, b, scale = (
            module.lora_A["default"].weight,
            module.lora_B["default"].weight,
            module.scaling["default"],
        )
        slope = weights[role].grad
        assert slope is not None
        near(a.grad, scale * b.double().T @ slope, role)
        near(b.grad, scale * slope @ a.double().T, role)


@of(ONE_EACH)
def test_losses_on_a_packed_base_equal_transformers(real: Real) -> None:
    """Of sequences in one row and of padded ones."""
    spec = in_blocks(real.spec)
    built, model = adapted(spec, keep_packed=True), network.base_model(spec, "eager")
    with_adapter(model, spec, built)
    with torch.no_grad():
        wanted = losses_of(model, real.sequences)
        for packing in (built.pack(real.sequences, SHARED), pad(real.sequences)):
            losses, _ = built.answer_losses(packing)
            real.assert_same(losses, wanted)


@of(ONE_EACH)
def test_losses_and_gradients_of_the_whole_model_equal_transformers(real: Real) -> None:
    built = network.whole(real.spec)
    losses, _ = built.answer_losses(built.pack(real.sequences, SHARED))
    real.assert_same(losses, real.losses)
    losses.mean().backward()
    for name, parameter in real.model.named_parameters():
        near(built.parameters()[name].grad, parameter.grad, name)


@of(ONE_EACH)
def test_losses_behind_a_prefix_equal_transformers(real: Real) -> None:
    first = [11 + 7 * n % 90 for n in range(10)]
    with torch.no_grad():
        built = prefix.build(real.spec, torch.float32, CPU, first)
        losses, _ = built.answer_losses(built.pack(real.sequences, 0))
        real.assert_same(losses, losses_of(real.model, real.sequences, first))


@of(ONE_EACH)
def test_bfloat16_rounds_as_much_as_that_of_transformers(real: Real) -> None:
    built = network.build(real.spec, torch.bfloat16, 4, 6.0)
    narrow = copy.deepcopy(real.model).to(torch.bfloat16)
    with torch.no_grad():
        given, _ = built.answer_losses(built.pack(real.sequences, SHARED))
        ours, theirs = ((one - real.losses).abs() for one in (given, losses_of(narrow, real.sequences).float()))
    # By their medians: what is rounded may make a router choose another expert.
    assert float(ours.median()) <= 2 * float(theirs.median()) + 0.02


@of(ALL)
def test_losses_equal_the_runtime(real: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a float32 file, of which it rounds keys and values to float16: so they are here."""
    attend = fused.attend

    def by_float16(query: Tensor, key: Tensor, value: Tensor, *more: Any) -> Tensor:
        return attend(query, key.half().float(), value.half().float(), *more)

    monkeypatch.setattr(fused, "attend", by_float16)
    built, image = network.build(real.spec, torch.float32, 4, 6.0), build_image(real.spec)
    runtime = Model(_core.Model(image), image, threads=1)
    wanted = []
    for one in real.sequences:
        logits = torch.from_numpy(np.array(runtime.logits([*one.prompt, *one.answer])))
        rows = logits[len(one.prompt) - 1 : -1]
        wanted.append(functional.cross_entropy(rows, torch.tensor(one.answer), reduction="none"))
    with torch.no_grad():
        losses, _ = built.answer_losses(built.pack(real.sequences, SHARED))
    real.assert_same(losses, torch.cat(wanted))
