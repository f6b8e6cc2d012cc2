"""A base that stays in the blocks of its GGUF trains as its unpacked floats do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.models.tiny_models import cases, tiny_spec
from tests.models.tiny_recipes import SMALL, parity, write_home
from tests.train.model.test_family_training import sequences_of
from tests.train.tiny_training import PAIRS, make_spec, train
from tinsmith import _core, models
from tinsmith.data.readers import Example
from tinsmith.errors import InputError
from tinsmith.formats.weights import WEIGHT_FORMATS
from tinsmith.spec import Spec
from tinsmith.spec import Tensor as SpecTensor
from tinsmith.system import memory as machine
from tinsmith.train.batches.sequences import shared_prefix
from tinsmith.train.events import TrainResult
from tinsmith.train.footprint import memory
from tinsmith.train.footprint.memory import LEVELS, WORDS, Level, set_level
from tinsmith.train.layers import blocks, head
from tinsmith.train.layers.blocks import Blocks, Part, times_matrix, unpack_by_torch
from tinsmith.train.model import network, packed
from tinsmith.train.options import TrainOptions
from tinsmith.train.quantized.fake_quantization import FakeQuantization

FORMATS = list(WEIGHT_FORMATS)


def in_format(spec: Spec, name: str) -> Spec:
    """The matrices whose rows the format's blocks divide in it; the others float32."""

    def convert(tensor: SpecTensor) -> SpecTensor:
        if tensor.rows == 1 or tensor.inputs % max(32, WEIGHT_FORMATS[name].block):
            return tensor
        data = _core.quantize(name, tensor.data, tensor.rows, tensor.inputs)
        return SpecTensor(name, tensor.rows, tensor.inputs, data)

    return replace(spec, tensors={role: convert(tensor) for role, tensor in spec.tensors.items()})


def matrix(name: str, rows: int = 37, inputs: int = 768) -> tuple[Tensor, Tensor]:
    """Its blocks, and what dequantizing makes of them."""
    torch.manual_seed(4)
    floats = torch.randn(rows, inputs) * torch.randn(rows, 1).exp()
    data = _core.quantize(name, floats.numpy().tobytes(), rows, inputs)
    values = torch.frombuffer(bytearray(_core.dequantize(name, data, rows, inputs)), dtype=torch.float32)
    return blocks.from_buffer(name, data, rows, inputs), values.view(rows, inputs)


@pytest.mark.parametrize("name", FORMATS)
def test_both_ways_of_unpacking_give_the_values_of_dequantizing(name: str) -> None:
    data, values = matrix(name)
    order = torch.randperm(len(data), dtype=torch.int32)
    part = (3, 20, 256, 512)
    wanted = values[order.long()][3:23, 256:]
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        given = Blocks(name, data, 768, order).unpacked(dtype, Part(*part))
        assert torch.equal(given, wanted.to(dtype))
    assert torch.equal(unpack_by_torch(data[order[3:23].long()], name, 256, 512), wanted)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("piece", [1 << 22, 9 * 768])
def test_multiplying_and_its_gradients(name: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one piece and in several, rows and columns in another order than the data's."""
    monkeypatch.setattr(blocks, "_PIECE", piece)
    data, values = matrix(name)
    order, columns = torch.randperm(37), torch.randperm(768)
    weight = torch.empty_like(values)
    weight[:, columns] = values[order]
    packed = Blocks(name, data, 768, order.int(), columns)
    x, y = torch.randn(5, 768, requires_grad=True), torch.randn(5, 37, requires_grad=True)
    for given, wanted, leaf in (
        (times_matrix(x, packed), x @ weight.T, x),
        (times_matrix(y, packed, transposed=True), y @ weight, y),
    ):
        assert_near(given, wanted)
        back = torch.randn_like(given)
        gradients = [torch.autograd.grad(one, leaf, back)[0] for one in (given, wanted)]
        assert_near(*gradients)


def assert_near(given: Tensor, wanted: Tensor) -> None:
    """Sums of several hundred float32 products, in another order."""
    torch.testing.assert_close(given, wanted, atol=1e-5 * float(wanted.detach().abs().max()), rtol=0)


@pytest.mark.parametrize("name", FORMATS)
def test_looking_up_unpacks_the_rows(name: str) -> None:
    data, values = matrix(name)
    rows = torch.tensor([[3, 36, 3], [0, 9, 1]])
    assert torch.equal(Blocks(name, data, 768).lookup(rows), values[rows])


def both(spec: Spec, dtype: torch.dtype = torch.float32) -> list[network.Network]:
    """The network of the unpacked floats, and that of the blocks, with the same random adapter."""
    built = []
    for keep_packed in (False, True):
        torch.manual_seed(1)
        one = network.build(spec, dtype, 4, 6.0, keep_packed=keep_packed)
        torch.manual_seed(2)
        for parameter in one.parameters().values():
            torch.nn.init.normal_(parameter, std=0.15)
        built.append(one)
    return built


def gradients(built: network.Network, vocab: int) -> tuple[Tensor, Tensor, dict[str, Tensor], Tensor]:
    """Losses, likeliest tokens, the gradients of A and B, and that of what the first layer reads."""
    sequences = sequences_of(vocab)
    seen: list[Tensor] = []

    def watch(module: object, given: Sequence[Tensor]) -> None:
        given[0].requires_grad_()
        given[0].retain_grad()
        seen.append(given[0])

    layers: torch.nn.ModuleList = built.trunk.layers  # type: ignore[assignment]
    hook = layers[0].register_forward_pre_hook(watch)
    torch.manual_seed(3)
    losses, best = built.answer_losses(built.pack(sequences, len(shared_prefix(sequences))))
    hook.remove()
    losses.mean().backward()
    found = {name: value.grad for name, value in built.parameters().items() if value.grad is not None}
    assert found.keys() == built.parameters().keys()
    assert seen[0].grad is not None
    return losses.detach(), best, found, seen[0].grad


def assert_same(spec: Spec) -> None:
    plain, held = both(spec)
    assert isinstance(held.head, Blocks)
    assert any(isinstance(module, packed.Linear) for module in held.model.modules())
    assert not any(
        parameter.numel() > 4096 for parameter in held.model.parameters() if not parameter.requires_grad
    )
    wanted, likeliest, expected, entering = gradients(plain, spec.hyper.vocab)
    losses, best, found, entered = gradients(held, spec.hyper.vocab)
    torch.testing.assert_close(losses, wanted, atol=1e-4, rtol=0)
    assert torch.equal(best, likeliest)
    for name, gradient in [*expected.items(), ("input", entering)]:
        given = entered if name == "input" else found[name]
        torch.testing.assert_close(given, gradient, atol=1e-3 * float(gradient.abs().max()), rtol=0, msg=name)


@pytest.mark.parametrize("case", cases())
def test_gradients_are_those_through_the_unpacked_model(case: str) -> None:
    assert_same(in_format(tiny_spec(case), "Q4_1"))


@pytest.mark.parametrize("case", ["falcon_h1", "gemma3", "qwen35_moe"])
def test_buffers_are_those_of_the_unpacked_model(case: str) -> None:
    spec = in_format(tiny_spec(case), "Q4_1")
    plain, held = (dict(network.base_model(spec, keep_packed=keep).named_buffers()) for keep in (False, True))
    for name, wanted in plain.items():
        if not name.endswith("embed_scale"):  # of an embedding in blocks
            assert torch.equal(held[name], wanted), name


@pytest.mark.parametrize("name", FORMATS)
def test_gradients_in_every_format(name: str) -> None:
    assert_same(in_format(make_spec(dim=256, ffn_dim=512, head_dim=64), name))


def test_value_heads_in_another_order() -> None:
    """Three to a key head, whose columns and rows GGUF has elsewhere."""
    assert_same(in_format(tiny_spec("qwen35", linear_num_value_heads=6), "Q5_0"))


def test_a_head_of_its_own() -> None:
    assert_same(in_format(make_spec(tied=False), "Q8_0"))


def test_the_head_meets_labels_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "TILE", 50)
    assert_same(in_format(tiny_spec("gemma2"), "Q8_0"))  # whose logits are capped


def test_bfloat16_stays_near() -> None:
    plain, held = both(in_format(make_spec(), "Q4_0"), torch.bfloat16)
    (wanted, *_), (losses, *_) = (gradients(one, 259) for one in (plain, held))
    torch.testing.assert_close(losses, wanted, atol=0.1, rtol=0)


@pytest.mark.parametrize("case", ["llama", "qwen35"])
def test_rough_weights_stay_in_blocks_too(case: str) -> None:
    """They are those that floats would be: quantized with the adapter in them, less the adapter."""
    spec = in_format(tiny_spec(case), "Q8_0")
    plain, held = both(spec)
    for built in (plain, held):
        qat = FakeQuantization(spec, built, "Q4_0")
        qat.renew({})
        exact = gradients(built, spec.hyper.vocab)
        with qat.applied():
            built.model.zero_grad()
            given = gradients(built, spec.hyper.vocab)
        assert not torch.allclose(given[0], exact[0], atol=1e-3)
        built.model.zero_grad()
        after = gradients(built, spec.hyper.vocab)
        assert torch.equal(after[0], exact[0])
        if built is plain:
            wanted = given
    assert all(isinstance(one.quantized, Blocks) for one in qat.every)
    torch.testing.assert_close(given[0], wanted[0], atol=1e-3, rtol=0)
    for name, gradient in wanted[2].items():
        atol = 5e-3 * float(gradient.abs().max())
        torch.testing.assert_close(given[2][name], gradient, atol=atol, rtol=0, msg=name)


@pytest.mark.parametrize("case", ["qwen3", "lfm2", "qwen35_moe"])
@pytest.mark.parametrize("level", LEVELS)
def test_what_is_computed_again_changes_nothing(case: str, level: Level) -> None:
    spec = in_format(tiny_spec(case), "Q4_0")
    _, built = both(spec)
    wanted = gradients(built, spec.hyper.vocab)
    built.model.zero_grad()
    set_level(built.trunk, level)
    given = gradients(built, spec.hyper.vocab)
    for one, other in zip(given[2].values(), wanted[2].values(), strict=True):
        torch.testing.assert_close(one, other)
    assert torch.equal(given[0], wanted[0])


def trained(spec: Spec, keep: str, folder: Path, **more: Any) -> tuple[TrainResult, dict[str, Tensor]]:
    examples = [Example(first + second, second) for first, second in PAIRS]
    options = TrainOptions(
        epochs=2, rank=4, learning_rate=1e-2, batch_tokens=100, threads=1, weights=keep, **more
    )
    result = train("lora", spec, examples, examples[:4], options, folder)
    return result, load_file(folder / "adapter" / "adapter_model.safetensors")


@pytest.mark.parametrize("qat", [None, "Q4_0"])
def test_training_gives_the_adapter_of_the_floats(qat: str | None, tmp_path: Path) -> None:
    models.save_gguf(in_format(make_spec(), "Q5_1"), tmp_path / "base.gguf")
    spec = models.load(tmp_path / "base.gguf")
    _, wanted = trained(spec, "float", tmp_path / "float", qat=qat)
    result, given = trained(spec, "quantized", tmp_path / "packed", qat=qat)
    assert "quantized base weights, as given; peak" in result.note
    assert given.keys() == wanted.keys()
    away = torch.cat([(given[name] - wanted[name]).flatten() for name in wanted])
    size = torch.cat([value.flatten() for value in wanted.values()])
    # Of processors that multiply bfloat16, whose roundings fall elsewhere where sums are cut elsewhere.
    assert float(away.norm()) < 0.05 * float(size.norm())


def test_a_base_without_blocks_is_not_kept_packed(tmp_path: Path) -> None:
    wanted = r'\[base\] weights = "quantized": the base.s weights are F32, .* give a quantized GGUF file'
    with pytest.raises(InputError, match=wanted):
        trained(make_spec(), "quantized", tmp_path)


def test_packed_where_floats_would_not_fit_half_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = in_format(make_spec(), "Q8_0")
    floats = 4 * spec.parameters
    for whole, expected in ((2 * floats, False), (2 * floats - 1, True), (None, False)):
        monkeypatch.setattr(machine, "total", lambda whole=whole: whole)
        assert memory.keeps_packed(spec, "auto")[0] is expected
        assert memory.keeps_packed(make_spec(), "auto") == (False, "")
        assert memory.keeps_packed(spec, "float") == (False, "")
    monkeypatch.setattr(machine, "total", lambda: 400_000)
    assert "GB as floats, of 0.0 GB memory" in memory.keeps_packed(spec, "auto")[1]


def test_memory_that_will_not_suffice_is_said_before_the_first_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = in_format(make_spec(), "Q8_0")
    monkeypatch.setattr(machine, "available", lambda: 1000)
    with pytest.raises(InputError, match=r"training would take .* GB: .* lower batch_tokens"):
        trained(spec, "quantized", tmp_path)


def test_less_memory_computes_more_again(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = in_format(tiny_spec("qwen35"), "Q8_0")
    _, built = both(spec)
    batch = sequences_of(spec.hyper.vocab)
    needs = {}
    for level in LEVELS:
        set_level(built.trunk, level)
        needs[level] = memory.Predictor(built, 0).predict(batch, 0)
    assert needs["all"].peak < needs["half"].peak < needs["none"].peak
    assert all(parameter.grad is None for parameter in built.parameters().values())
    assert len(built.trunk.layers) == spec.hyper.layers  # type: ignore[arg-type]
    for level in ("half", "all"):
        monkeypatch.setattr(machine, "available", lambda level=level: int(needs[level].peak / 0.95) + 20_000)
        assert memory.plan(built, [batch], 0, True)[0].endswith(WORDS[level])


@pytest.mark.slow
def test_what_measures_memory_says_nothing_of_itself(tmp_path: Path) -> None:
    """torch's allocator warns, where users read, of blocks that the profiler did not see."""
    packed_base = SMALL.replace("[data]", 'weights = "quantized"\n[data]')
    recipe = write_home(tmp_path, packed_base, parity, spec=in_format(tiny_spec("llama"), "Q8_0"))
    command = [
        sys.executable,
        "-m",
        "tinsmith",
        "make",
        "--until",
        "train",
        str(recipe),
        "--out",
        str(tmp_path / "run"),
    ]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "quantized base weights" in told
    assert "profil" not in told
