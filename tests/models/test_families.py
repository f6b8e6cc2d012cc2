"""What every family must keep: names, hyper-parameters and files that other libraries agree with."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import pytest
from tiny_models import config_of, tiny_spec

from tinsmith import models
from tinsmith.errors import FormatError, InputError, TinsmithError, UnsupportedError
from tinsmith.formats import gguf, safetensors
from tinsmith.models import Spec
from tinsmith.models.family import Family, by_name, shortest_float32


def same(one: Spec, other: Spec) -> None:
    assert one.hyper == other.hyper
    assert one.tokenizer == other.tokenizer
    assert (one.family, one.chat_template, one.general) == (other.family, other.chat_template, other.general)
    assert one.tensors.keys() == other.tensors.keys()
    for role, tensor in one.tensors.items():
        twin = other.tensors[role]
        assert (tensor.format, tensor.rows, tensor.inputs) == (twin.format, twin.rows, twin.inputs), role
        assert bytes(tensor.data) == bytes(twin.data), role


def test_hyper_parameters_survive_both_kinds_of_file(family: Family, tiny: Spec) -> None:
    assert family.hyper_from_hf(family.hyper_to_hf(tiny.hyper)) == tiny.hyper
    stored = {
        key: struct.unpack("<f", struct.pack("<f", given))[0] if isinstance(given, float) else given
        for key, given in family.hyper_to_gguf(tiny.hyper).items()
    } | {"tokenizer.ggml.tokens": tiny.tokenizer.tokens}
    assert family.hyper_from_gguf(stored, tied=tiny.hyper.tied) == tiny.hyper


def test_names_are_used_once(family: Family, tiny: Spec) -> None:
    names = family.tensors(tiny.hyper)
    for kind in ("role", "hf", "gguf"):
        assert len({getattr(name, kind) for name in names}) == len(names)


@pytest.mark.parametrize("tied", [True, False])
def test_transformers_has_the_same_tensors(family: Family, tied: bool) -> None:
    transformers = pytest.importorskip("transformers")
    spec = tiny_spec(family, tie_word_embeddings=tied)
    config = transformers.AutoConfig.for_model(**family.hyper_to_hf(spec.hyper))
    state = transformers.AutoModelForCausalLM.from_config(config).state_dict()
    if tied:
        state.pop("lm_head.weight", None)
    expected = {
        name.hf: (name.inputs,) if name.rows == 1 else (name.rows, name.inputs)
        for name in family.tensors(spec.hyper)
    }
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == expected


def test_gguf_names_are_those_of_the_gguf_package(family: Family, tiny: Spec) -> None:
    oracle = pytest.importorskip("gguf")
    architectures = {text: number for number, text in oracle.MODEL_ARCH_NAMES.items()}
    table = oracle.get_tensor_name_map(architectures[family.gguf_architecture], tiny.hyper.layers)
    for name in family.tensors(tiny.hyper):
        assert table.get_name(name.hf, try_suffixes=(".weight",)) == name.gguf


@pytest.mark.parametrize("tied", [True, False])
def test_gguf_round_trip(family: Family, tmp_path: Path, tied: bool) -> None:
    spec = tiny_spec(family, tie_word_embeddings=tied)
    models.save_gguf(spec, tmp_path / "a.gguf", {"general.url": "https://example.org", "x.flag": True})
    again = models.load(tmp_path / "a.gguf")
    assert again.general.pop("url") == "https://example.org"
    assert again.general.pop("size_label") == gguf.read(tmp_path / "a.gguf").get("general.size_label")
    same(spec, again)
    models.save_gguf(spec, tmp_path / "b.gguf", {"general.url": "https://example.org", "x.flag": True})
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


@pytest.mark.parametrize("tied", [True, False])
def test_folder_round_trip_and_logits(family: Family, tmp_path: Path, tied: bool) -> None:
    spec = tiny_spec(family, tie_word_embeddings=tied)
    models.save_hf(spec, tmp_path)
    same(spec, models.load(tmp_path))
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    for name in by_name(spec.family).tensors(spec.hyper):
        data = model.state_dict()[name.hf].numpy().tobytes()
        assert data == bytes(spec.tensors[name.role].data), name.hf
    assert set(model.generation_config.eos_token_id) == set(spec.tokenizer.end_tokens)


def test_transformers_reads_our_gguf_to_the_same_weights(tiny: Spec, tmp_path: Path) -> None:
    """Its own reader undoes the permutation of rotary rows, so this catches a wrong one."""
    pytest.importorskip("torch")
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    models.save_gguf(tiny, tmp_path / "a.gguf")
    names = by_name(tiny.family).tensors(tiny.hyper)
    transformers = pytest.importorskip("transformers")
    blank = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.for_model(**by_name(tiny.family).hyper_to_hf(tiny.hyper))
    )
    loaded = load_gguf_checkpoint(str(tmp_path / "a.gguf"), return_tensors=True, model_to_load=blank)["tensors"]
    for name in names:
        assert loaded[name.hf].numpy().tobytes() == bytes(tiny.tensors[name.role].data), name.hf


def test_vectors_become_float32(family: Family, tiny: Spec, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    models.save_hf(tiny, tmp_path)
    stored = safetensors.read(tmp_path / "model.safetensors")
    norm = next(name for name in family.tensors(tiny.hyper) if name.rows == 1)
    for kind, dtype in (("BF16", torch.bfloat16), ("F16", torch.float16)):
        narrow = torch.frombuffer(bytearray(tiny.tensors[norm.role].data), dtype=torch.float32).to(dtype)
        data = narrow.view(torch.uint8).numpy().tobytes()
        changed = {**stored, norm.hf: safetensors.Tensor(kind, (norm.inputs,), data)}
        folder = tmp_path / kind
        models.save_hf(tiny, folder)
        safetensors.write(folder / "model.safetensors", changed)
        read = models.load(folder).tensors[norm.role]
        assert (read.format, bytes(read.data)) == ("F32", narrow.float().numpy().tobytes())


def test_end_tokens_that_no_text_tells_survive(tiny: Spec, tmp_path: Path) -> None:
    def ending(*tokens: int) -> Spec:
        return dataclasses.replace(tiny, tokenizer=dataclasses.replace(tiny.tokenizer, end_tokens=tokens))

    models.save_gguf(ending(0, 2, 3, 70), tmp_path / "a.gguf")
    assert models.load(tmp_path / "a.gguf").tokenizer.end_tokens == (0, 2, 3, 70)
    with pytest.raises(UnsupportedError, match="two end tokens"):
        models.save_gguf(ending(2, 3, 70, 71), tmp_path / "b.gguf")
    assert not (tmp_path / "b.gguf").exists()


def test_missing_and_surplus_tensors_are_named(family: Family, tiny: Spec, tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    models.save_gguf(tiny, path)
    file = gguf.read(path)
    name = family.tensors(tiny.hyper)[1].gguf
    fewer = [tensor for tensor in file.tensors.values() if tensor.name != name]
    gguf.write(tmp_path / "fewer.gguf", file.metadata, fewer)
    with pytest.raises(FormatError, match=f"{name}.*missing"):
        models.load(tmp_path / "fewer.gguf")
    extra = gguf.Tensor("blk.0.attn_q.bias", gguf.tensor_type("F32"), (1,), bytes(4))
    gguf.write(tmp_path / "more.gguf", file.metadata, [*file.tensors.values(), extra])
    with pytest.raises(UnsupportedError, match=r"attn_q\.bias"):
        models.load(tmp_path / "more.gguf")


def test_quantized_tensors_do_not_go_into_a_folder(base_gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"Q8_0.*dequantize"):
        models.save_hf(models.load(base_gguf), tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_bad_paths(tmp_path: Path, family: Family) -> None:
    with pytest.raises(InputError, match="no such file"):
        models.load(tmp_path / "absent.gguf")
    with pytest.raises(FormatError, match=r"no config\.json"):
        models.load(tmp_path)
    (tmp_path / "config.json").write_text('{"architectures": ["MambaForCausalLM"]}')
    with pytest.raises(UnsupportedError, match=f"MambaForCausalLM.*{family.hf_architectures[0]}"):
        models.load(tmp_path)
    gguf.write(tmp_path / "a.gguf", {"general.architecture": gguf.value("mamba")}, [])
    with pytest.raises(UnsupportedError, match=f"mamba.*{family.gguf_architecture}"):
        models.load(tmp_path / "a.gguf")
    with pytest.raises(UnsupportedError, match="mamba"):
        by_name("mamba")


def test_a_nonsensical_config_is_one_line(family: Family) -> None:
    config = config_of(family)
    for key, given in config.items():
        for bad in (None, -1, "x", [], {}, 1e400):
            try:
                family.hyper_from_hf({**config, key: bad})
            except TinsmithError as error:
                assert "\n" not in str(error) and key in str(error)
            assert config[key] is given


def test_wrong_metadata_is_one_line(tiny: Spec, tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    models.save_gguf(tiny, path)
    file = gguf.read(path)
    for key in file.metadata:
        for bad in (None, -1, 1 << 31, "x", 0.5, ["x"], [1], [[]]):
            changed = {name: given for name, given in file.metadata.items() if name != key or bad is not None}
            if bad == [[]]:
                changed[key] = gguf.Value(gguf.ValueType.ARRAY, [gguf.value([])], gguf.ValueType.ARRAY)
            elif bad is not None:
                changed[key] = gguf.value(bad)
            gguf.write(tmp_path / "bad.gguf", changed, file.tensors.values())
            try:
                models.load(tmp_path / "bad.gguf")
            except TinsmithError as error:
                assert "\n" not in str(error)


def test_shortest_float32() -> None:
    assert shortest_float32(9.999999747378752e-06) == 1e-05
    assert shortest_float32(0.1) == 0.1
    assert struct.pack("<f", shortest_float32(1 / 3)) == struct.pack("<f", 1 / 3)
