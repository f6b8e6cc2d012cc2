from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.tiny_training import make_spec
from tinsmith.errors import FormatError, InputError, UnsupportedError
from tinsmith.spec import Spec, Tensor
from tinsmith.train.merge import merge
from tinsmith.train.model import network


def random_adapter(spec: Spec, folder: Path) -> network.Network:
    torch.manual_seed(1)
    built = network.build(spec, torch.float32, 4, 6.0)
    for parameter in built.parameters().values():
        torch.nn.init.normal_(parameter, std=0.2)
    built.model.save_pretrained(str(folder), save_embedding_layers=False)
    for module in built.model.modules():
        module.__dict__.pop("forward", None)
    built.model.base_model.model.config._attn_implementation = "eager"
    return built


def plain_model(spec: Spec) -> torch.nn.Module:
    model: torch.nn.Module = network.base_model(spec)
    model.config._attn_implementation = "eager"  # type: ignore[union-attr]
    return model


@pytest.mark.parametrize("tied", [True, False])
def test_merged_logits_are_those_of_base_and_adapter(tmp_path: Path, tied: bool) -> None:
    spec = make_spec(tied=tied)
    adapted = random_adapter(spec, tmp_path)
    merged = merge(spec, tmp_path)
    assert {tensor.format for tensor in merged.tensors.values()} == {"F32"}
    ids = torch.randint(0, spec.hyper.vocab, (2, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = adapted.model(input_ids=ids).logits
        given = plain_model(merged)(input_ids=ids).logits
        base = plain_model(spec)(input_ids=ids).logits
    torch.testing.assert_close(given, wanted, atol=2e-5 * float(wanted.abs().max()), rtol=0)
    assert (base - wanted).abs().max() > 0.1


def test_a_quantized_base_is_merged_as_its_float32_values(tmp_path: Path) -> None:
    core = pytest.importorskip("tinsmith._core")
    spec = make_spec()
    random_adapter(spec, tmp_path)
    tensors = dict(spec.tensors)
    for role in ("layers.0.q", "layers.1.down"):
        tensor = tensors[role]
        data = core.quantize("Q8_0", tensor.data, tensor.rows, tensor.inputs)
        tensors[role] = Tensor("Q8_0", tensor.rows, tensor.inputs, data)
    merged = merge(replace(spec, tensors=tensors), tmp_path)
    exact = merge(spec, tmp_path)
    for role, tensor in merged.tensors.items():
        difference = np.frombuffer(tensor.data, np.float32) - np.frombuffer(
            exact.tensors[role].data, np.float32
        )
        is_quantized = tensors[role].format == "Q8_0"
        assert (np.abs(difference).max() > 0) == is_quantized
        assert np.abs(difference).max() < 0.01


def test_refuses_what_is_not_an_adapter_of_the_base(tmp_path: Path) -> None:
    spec = make_spec()
    random_adapter(spec, tmp_path)
    with pytest.raises(InputError, match="holds no adapter_config"):
        merge(spec, tmp_path / "absent")
    with pytest.raises(InputError, match="the base that it was trained on"):
        merge(make_spec(ffn_dim=64), tmp_path)
    with pytest.raises(InputError, match="which the base lacks"):
        merge(make_spec(layers=1), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, "use_dora": True}))
    with pytest.raises(UnsupportedError, match="use_dora = True"):
        merge(spec, tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    with pytest.raises(FormatError, match="ends at byte"):
        merge(spec, tmp_path)
