from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import encode, make_spec

from tinsmith.data.readers import Example
from tinsmith.errors import FormatError, InputError
from tinsmith.train import importance, network
from tinsmith.train.packing import Packing, pack
from tinsmith.train.rough import Rough
from tinsmith.train.sequences import Tokenization
from tinsmith.train.tensors import from_float32, quantized_float32, to_float32

pytest.importorskip("tinsmith._core")


@pytest.fixture
def built() -> network.Network:
    torch.manual_seed(1)
    built = network.build(make_spec(), torch.float32, 4, 8.0, 0.0)
    for parameter in built.parameters().values():
        torch.nn.init.normal_(parameter, std=0.1)
    return built


def packing() -> Packing:
    examples = [Example("abc", "12"), Example("d", "3456")]
    return pack(Tokenization(make_spec(), encode, "call", "", 512)(examples), 0)


def test_rough_weights_and_adapter_add_up_to_the_quantized_model(built: network.Network) -> None:
    spec = make_spec()
    rough = Rough(spec, built, "Q4_0")
    rough.renew()
    assert set(rough.weights) == {
        f"layers.{i}.{part}" for i in (0, 1) for part in ["q", "k", "v", "o", "gate", "up", "down"]
    }
    for role, module in built.linears.items():
        update = (2.0 * module.lora_B["default"].weight @ module.lora_A["default"].weight).detach().numpy()
        merged = to_float32(spec.tensors[role]) + update
        wanted = quantized_float32(from_float32(merged), "Q4_0")
        np.testing.assert_allclose(rough.weights[role].numpy() + update, wanted, atol=1e-6)
        assert np.abs(wanted - merged).max() > 0.01


def test_rough_weights_are_in_place_only_within_the_block(built: network.Network) -> None:
    rough = Rough(make_spec(), built, "Q4_0")
    rough.renew()
    before, _ = built.answer_losses(packing())
    with pytest.raises(RuntimeError), rough.applied():
        within, _ = built.answer_losses(packing())
        assert not torch.equal(within, before)
        raise RuntimeError
    after, _ = built.answer_losses(packing())
    assert torch.equal(after, before)


def test_importance_is_the_mean_square_of_a_matrix_input(built: network.Network, tmp_path: Path) -> None:
    seen: list[torch.Tensor] = []
    batch = packing()
    held = batch.tokens.numel() - batch.filler
    hook = built.linears["layers.1.down"].register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0][0, :held])
    )
    with importance.recorded(built) as means:
        for _ in range(2):
            built.answer_losses(batch)
    hook.remove()
    assert batch.filler
    torch.testing.assert_close(means["layers.1.down"], torch.cat(seen).square().mean(0))
    assert set(means) == set(built.linears)
    built.answer_losses(packing())
    importance.save(tmp_path, means)
    loaded = importance.load(tmp_path)
    assert loaded["layers.1.down"] == means["layers.1.down"].numpy().tobytes()


def test_a_missing_or_damaged_importance_file_is_an_error(built: network.Network, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="train the adapter again"):
        importance.load(tmp_path)
    with importance.recorded(built) as means:
        built.answer_losses(packing())
    importance.save(tmp_path, means)
    file = tmp_path / importance.NAME
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(FormatError, match="damaged"):
        importance.load(tmp_path)
