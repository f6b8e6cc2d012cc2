from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.train.tiny_training import PAIRS, encode, killed_and_resumed, make_spec, train
from tinsmith.data.readers import Example
from tinsmith.errors import FormatError, InputError
from tinsmith.format_names import FORMATS
from tinsmith.models.family import by_name
from tinsmith.quant import shipping
from tinsmith.quant.presets import Mix
from tinsmith.spec import Spec
from tinsmith.spec import Tensor as SpecTensor
from tinsmith.system.progress import PlainDisplay
from tinsmith.train.batches.packing import Packing, pack
from tinsmith.train.batches.sequences import Tokenization
from tinsmith.train.merge import merge
from tinsmith.train.methods import lora
from tinsmith.train.model import network
from tinsmith.train.options import TrainOptions
from tinsmith.train.quantized import importance
from tinsmith.train.quantized.fake_quantization import FakeQuantization

pytest.importorskip("tinsmith._core")


@pytest.fixture
def built() -> network.Network:
    return with_adapter(make_spec())


def with_adapter(spec: Spec) -> network.Network:
    torch.manual_seed(1)
    built = network.build(spec, torch.float32, 4, 8.0)
    for parameter in built.parameters().values():
        torch.nn.init.normal_(parameter, std=0.1)
    return built


def packing() -> Packing:
    examples = [Example("abc", "12"), Example("d", "3456")]
    return pack(Tokenization(make_spec(), encode, "call", "", 512)(examples), 0)


PRESETS = [name for name in FORMATS if name != "F32"]


def wide_spec() -> Spec:
    """Whose rows fill the blocks of every format."""
    return make_spec(dim=256, ffn_dim=512)


def mixed(spec: Spec) -> Mix:
    """Formats that differ from tensor to tensor."""
    names = [name.gguf for name in by_name(spec.family).tensors(spec.hyper)]
    kinds = ["Q4_0", "Q8_0", "Q5_1", "F16", "IQ4_NL", "IQ3_NL"]
    return Mix("AUTO", {name: kinds[k % len(kinds)] for k, name in enumerate(names)})


def feedback(role: str) -> Callable[[], bytes] | None:
    """Of inputs that go along with each other; of the embedding's none are known."""
    if role == "embed":
        return None
    inputs = 96 if role.endswith("down") else 64
    gram = torch.full((inputs, inputs), 0.5) + torch.diag(torch.linspace(0.5, 4, inputs))
    factor = torch.linalg.cholesky(torch.linalg.inv(gram), upper=True)
    return lambda: factor.contiguous().numpy().tobytes()


def shipped(
    spec: Spec, built: network.Network, folder: Path, weights: shipping.Weights
) -> dict[str, SpecTensor]:
    """The tensors of the file that is built of the base with the network's adapter."""
    built.model.save_pretrained(str(folder / "adapter"), save_embedding_layers=False)
    merged = merge(spec, folder / "adapter")
    encode = shipping.write_gguf(merged, folder / "built.gguf", weights, PlainDisplay())
    return shipping.written(folder / "built.gguf", encode, mtp=False)


def assert_ships(qat: FakeQuantization, file: Mapping[str, SpecTensor]) -> None:
    """The tensors that the latest weights are made of are the file's, and all of them, byte for byte."""
    qat.is_made = False  # what no adapter changes comes again, too
    given = {name.role: tensor for name, tensor, _ in qat.encoded()}
    assert set(given) == {role for role, tensor in file.items() if tensor.format != "F32"}
    for role, tensor in given.items():
        assert (tensor.format, bytes(tensor.data)) == (file[role].format, bytes(file[role].data)), role


@pytest.mark.parametrize("preset", PRESETS)
def test_rough_weights_are_those_of_the_built_file(preset: str, tmp_path: Path) -> None:
    spec = wide_spec()
    built = with_adapter(spec)
    squares = importance.seen(built, [packing()])
    qat = FakeQuantization(spec, built, preset)
    qat.renew(squares)
    weights = shipping.Weights(preset, importance=importance.weights(squares))
    assert_ships(qat, shipped(spec, built, tmp_path, weights))


@pytest.mark.parametrize("with_feedback", [False, True])
def test_rough_weights_of_a_mix_are_those_of_the_built_file(
    with_feedback: bool, built: network.Network, tmp_path: Path
) -> None:
    spec = make_spec()
    squares = importance.seen(built, [packing()])
    weighed, more = (None, feedback) if with_feedback else (importance.weights(squares), None)
    qat = FakeQuantization(spec, built, mixed(spec), more)
    qat.renew(squares)
    assert_ships(qat, shipped(spec, built, tmp_path, shipping.Weights("AUTO", mixed(spec), weighed, more)))


def test_a_renewed_weight_is_of_the_latest_adapter_and_importance(
    built: network.Network, tmp_path: Path
) -> None:
    spec = make_spec()
    qat = FakeQuantization(spec, built, "Q4_0")
    qat.renew(importance.seen(built, [packing()]))
    before = qat.matrices["layers.0.up"][0].quantized
    for parameter in built.parameters().values():
        parameter.data *= 1.5
    squares = importance.seen(built, [packing()])
    qat.renew(squares)
    assert not torch.equal(before, qat.matrices["layers.0.up"][0].quantized)
    weights = shipping.Weights("Q4_0", importance=importance.weights(squares))
    assert_ships(qat, shipped(spec, built, tmp_path, weights))


def test_rough_weights_are_in_place_only_within_the_block(built: network.Network) -> None:
    qat = FakeQuantization(make_spec(), built, "Q4_0")
    qat.renew(importance.seen(built, [packing()]))
    before, _ = built.answer_losses(packing())
    with pytest.raises(RuntimeError), qat.applied():
        within, _ = built.answer_losses(packing())
        assert not torch.equal(within, before)
        raise RuntimeError
    after, _ = built.answer_losses(packing())
    assert torch.equal(after, before)


@pytest.mark.parametrize("preset", ["Q4_0", "AUTO"])
def test_a_resumed_run_has_the_same_rough_weights(preset: str, tmp_path: Path) -> None:
    """Also where it was killed after a checkpoint that made none anew."""
    spec = make_spec()
    examples = [Example(first + second, second) for first, second in PAIRS]
    is_mix = preset == "AUTO"
    options = TrainOptions(
        epochs=3, rank=4, batch_tokens=25, renew=2, threads=1, qat=mixed(spec) if is_mix else preset
    )
    for seed in (0, 1)[: 1 + is_mix]:
        more = {"feedback": feedback} if is_mix else {}
        seeded = replace(options, seed=seed)
        whole = killed_and_resumed(
            "lora", spec, examples, examples[:4], seeded, tmp_path / f"{preset}{seed}", **more
        )
        made = lora.FEEDBACK_TURNS if is_mix else 1
        assert whole.steps > 2 * 2 * made
        assert f"under the errors of {preset}, made anew every {2 * made} steps" in whole.note


def test_weights_that_no_block_holds_end_the_run_and_say_so(tmp_path: Path) -> None:
    """At a rate that takes them there before the loss tells."""
    examples = [Example(first + second, second) for first, second in PAIRS]
    for rate in (1e12, 1e22, 1e36):
        options = TrainOptions(epochs=1, rank=4, learning_rate=rate, batch_tokens=60, renew=1, threads=1)
        with pytest.raises(
            InputError, match=r"^training diverged at step \d+ of \d+: .*; give a learning_rate"
        ):
            train("lora", make_spec(), examples, examples[:4], options, tmp_path / f"{rate:g}")


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
    with pytest.raises(FormatError, match="ends at byte 3840 of 3839"):
        importance.load(tmp_path)
