"""What every family must keep: names, hyper-parameters and files that other libraries agree with."""

from __future__ import annotations

import dataclasses
import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.models import without_llama_cpp
from tests.models.tiny_models import config_of, in_format, tiny_spec
from tests.models.transformers_models import IDS
from tinsmith import models
from tinsmith.errors import FormatError, InputError, TinsmithError, UnsupportedError
from tinsmith.formats import gguf, safetensors
from tinsmith.formats.weights import weight_format
from tinsmith.models import Spec, Tensor
from tinsmith.models.family import Family, by_name, shortest_float32

WRONG: tuple[Any, ...] = (None, -1, 1 << 31, "x", 0.5, ["x"], [1], [[]])
NESTED = gguf.Value(gguf.ValueType.ARRAY, [gguf.value([])], gguf.ValueType.ARRAY)
BAD: tuple[Any, ...] = (None, -1, "x", [], {}, 1e400)


def same(one: Spec, other: Spec) -> None:
    assert one.hyper == other.hyper
    assert one.tokenizer == other.tokenizer
    assert (one.family, one.chat_template, one.general) == (other.family, other.chat_template, other.general)
    assert one.tensors.keys() == other.tensors.keys()
    for role, tensor in one.tensors.items():
        twin = other.tensors[role]
        assert (tensor.format, tensor.rows, tensor.inputs) == (twin.format, twin.rows, twin.inputs), role
        assert bytes(tensor.data) == bytes(twin.data), role


def kept(one: Path, other: Path) -> None:
    """That two GGUF files hold the same."""
    before, after = gguf.read(one), gguf.read(other)
    assert before.metadata == after.metadata
    assert before.tensors.keys() == after.tensors.keys()
    for name, tensor in before.tensors.items():
        twin = after.tensors[name]
        assert (tensor.type, tensor.shape) == (twin.type, twin.shape)
        assert bytes(tensor.data) == bytes(twin.data), name  # type: ignore[arg-type]


def with_and_without_head(case: str) -> list[Spec]:
    """The tiny model tied and not, where the family has both."""
    names = []
    for tied in (True, False):
        try:
            names.append(tiny_spec(case, tie_word_embeddings=tied))
        except UnsupportedError as error:
            assert "tie_word_embeddings" in str(error)
    assert names
    return names


def test_hyper_parameters_survive_both_kinds_of_file(family: Family, tiny: Spec) -> None:
    assert family.hyper_from_hf(family.hyper_to_hf(tiny.hyper)) == tiny.hyper
    stored = {
        key: struct.unpack("<f", struct.pack("<f", given))[0] if isinstance(given, float) else given
        for key, given in family.hyper_to_gguf(tiny.hyper).items()
    } | {"tokenizer.ggml.tokens": tiny.tokenizer.tokens}
    for name in family.tensors(tiny.hyper):
        if not name.hf:
            stored[name.gguf] = list(memoryview(bytes(tiny.tensors[name.role].data)).cast("f"))
    assert family.hyper_from_gguf(stored, tied=tiny.hyper.tied) == tiny.hyper


def test_names_are_used_once(family: Family, tiny: Spec) -> None:
    names = family.tensors(tiny.hyper)
    for kind in ("role", "hf", "gguf"):
        given = [getattr(name, kind) for name in names if getattr(name, kind)]
        assert len(set(given)) == len(given)
    assert {name.role for name in names if not name.hf} == set(family.derive(tiny.hyper))


def test_transformers_has_the_same_tensors(case: str, family: Family, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    for spec in with_and_without_head(case):
        config = transformers.AutoConfig.for_model(**family.hyper_to_hf(spec.hyper) | IDS)
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
        expected = {
            part: name.folder_shape for name in family.tensors(spec.hyper) for part in name.folder_names
        }
        stored = safetensors.read_folder(tmp_path)
        assert {name: tensor.shape for name, tensor in stored.items()} == expected


def test_gguf_names_are_those_of_the_gguf_package(family: Family, tiny: Spec) -> None:
    oracle = pytest.importorskip("gguf")
    architectures = {text: number for number, text in oracle.MODEL_ARCH_NAMES.items()}
    if family.name in without_llama_cpp.FAMILIES:  # each by a name that it has for some family
        assert family.gguf_architecture not in architectures
        known = set(oracle.TENSOR_NAMES.values())
        names = {name.gguf.removesuffix(".weight") for name in family.tensors(tiny.hyper)}
        assert {re.sub(r"^blk\.\d+", "blk.{bid}", name) for name in names} <= known
        return
    table = oracle.get_tensor_name_map(architectures[family.gguf_architecture], tiny.hyper.layers)
    for name in family.tensors(tiny.hyper):
        if name.hf:
            for part, known in zip(name.gguf_parts, on_the_way(name.hf), strict=True):
                assert table.get_name(known, try_suffixes=(".weight", ".bias")) == part.gguf
        else:
            assert name.gguf.removesuffix(".weight") in oracle.TENSOR_NAMES.values()


def on_the_way(hf: str) -> list[str]:
    """A folder's tensor as llama.cpp's script names it before it looks it up: without an expert, and of
    Granite's dense feed-forward as the parts that llama's has."""
    hf = hf.replace(".*", "").replace(".dt_bias", ".dt_proj.bias")
    hf = hf.replace(".shared_mlp.output_linear", ".mlp.down_proj").replace(
        ".layer_scalar", ".layer_scalar.weight"
    )
    hf = hf.replace("model.layers.", "layers.") if ".feed_forward.experts." in hf else hf
    hf = hf.replace(".expert_bias", ".expert_bias.bias")
    fused = ".shared_mlp.input_linear"
    return [hf.replace(fused, f".mlp.{part}_proj") for part in ("gate", "up")] if fused in hf else [hf]


@pytest.mark.proves("GGUF in")
def test_gguf_round_trip(case: str, tmp_path: Path) -> None:
    for spec in with_and_without_head(case):
        named = replace(spec, general={**spec.general, "url": "https://example.org"})
        models.save_gguf(named, tmp_path / "a.gguf")
        again = models.load(tmp_path / "a.gguf")
        models.save_gguf(again, tmp_path / "b.gguf")
        kept(tmp_path / "a.gguf", tmp_path / "b.gguf")
        assert again.general.pop("url") == "https://example.org"
        assert again.general.pop("size_label") == gguf.read(tmp_path / "a.gguf").get("general.size_label")
        same(spec, again)


@pytest.mark.parametrize("weights", ["F16", "BF16", "Q8_0", "Q4_0"])
def test_blocks_survive_a_gguf(tiny: Spec, tmp_path: Path, weights: str) -> None:
    if weight_format(weights).block > 1 and any(tensor.inputs % 32 for tensor in tiny.tensors.values()):
        tiny = tiny_spec(tiny.family, hidden_size=64)
    spec = in_format(tiny, weights)
    models.save_gguf(spec, tmp_path / "a.gguf")
    again = models.load(tmp_path / "a.gguf")
    models.save_gguf(again, tmp_path / "b.gguf")
    kept(tmp_path / "a.gguf", tmp_path / "b.gguf")
    for role, tensor in spec.tensors.items():
        assert bytes(tensor.data) == bytes(again.tensors[role].data), role


def test_folder_round_trip_and_weights(case: str, family: Family, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    for spec in with_and_without_head(case):
        folder = tmp_path / str(spec.hyper.tied)
        models.save_hf(spec, folder)
        same(spec, models.load(folder))
        model = transformers.AutoModelForCausalLM.from_pretrained(folder)
        model.save_pretrained(tmp_path / "again")
        ours, theirs = safetensors.read_folder(folder), safetensors.read_folder(tmp_path / "again")
        assert ours.keys() == theirs.keys()
        for name, tensor in ours.items():
            assert bytes(tensor.data) == bytes(theirs[name].data), name  # type: ignore[arg-type]
        assert set(model.generation_config.eos_token_id) == set(spec.tokenizer.end_tokens)


def test_transformers_reads_our_gguf_to_the_same_weights(family: Family, tiny: Spec, tmp_path: Path) -> None:
    """Its own reader undoes the permutation of rotary rows, so this catches a wrong one."""
    pytest.importorskip("torch")
    from transformers.integrations import ggml
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    if family.gguf_architecture not in ggml.GGUF_CONFIG_MAPPING:
        return  # not one that it reads
    models.save_gguf(tiny, tmp_path / "a.gguf")
    transformers = pytest.importorskip("transformers")
    blank = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.for_model(**family.hyper_to_hf(tiny.hyper) | IDS)
    )
    loaded = load_gguf_checkpoint(str(tmp_path / "a.gguf"), return_tensors=True, model_to_load=blank)["tensors"]
    buffers = dict(blank.named_buffers())  # which it leaves out
    for name in family.tensors(tiny.hyper):
        if name.hf and name.hf not in buffers:
            expected = name.to_folder(tiny.tensors[name.role])
            assert loaded[name.hf].numpy().tobytes() == bytes(expected.data), name.hf


def test_vectors_become_float32(family: Family, tiny: Spec, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    models.save_hf(tiny, tmp_path)
    stored = safetensors.read(tmp_path / "model.safetensors")
    norm = next(name for name in family.tensors(tiny.hyper) if name.rows == 1 and name.hf)
    for kind, dtype in (("BF16", torch.bfloat16), ("F16", torch.float16)):
        narrow = torch.frombuffer(bytearray(tiny.tensors[norm.role].data), dtype=torch.float32).to(dtype)
        data = narrow.view(torch.uint8).numpy().tobytes()
        changed = {**stored, norm.hf: safetensors.Tensor(kind, (norm.inputs,), data)}
        folder = tmp_path / kind
        models.save_hf(tiny, folder)
        safetensors.write(folder / "model.safetensors", changed)
        read = models.load(folder).tensors[norm.role]
        wide = Tensor("F32", 1, norm.inputs, narrow.float().numpy().tobytes())
        assert (read.format, bytes(read.data)) == ("F32", bytes(norm.from_folder(wide).data))


def test_end_tokens_survive_a_folder(tiny: Spec, tmp_path: Path) -> None:
    def ending(*tokens: int) -> Spec:
        return dataclasses.replace(tiny, tokenizer=dataclasses.replace(tiny.tokenizer, end_tokens=tokens))

    models.save_gguf(ending(0, 2, 3, 70), tmp_path / "a.gguf")
    assert models.load(tmp_path / "a.gguf").tokenizer.end_tokens == (0, 2, 3, 70)
    with pytest.raises(UnsupportedError, match="two end tokens"):
        models.save_gguf(ending(2, 3, 70, 71), tmp_path / "b.gguf")
    assert not (tmp_path / "b.gguf").exists()


def test_a_head_beside_tied_embeddings_must_equal_them(tmp_path: Path) -> None:
    """transformers 5 takes another one for the head, whatever the config says; before, it left it out."""
    tied = tiny_spec(by_name("qwen2"))
    models.save_hf(tied, tmp_path)
    stored = dict(safetensors.read_folder(tmp_path))
    embed = stored["model.embed_tokens.weight"]
    assert tied.hyper.tied and "lm_head.weight" not in stored

    def with_head(data: bytes) -> Spec:
        head = safetensors.Tensor(embed.dtype, embed.shape, data)
        copy = {name: dataclasses.replace(one, data=bytes(one.data)) for name, one in stored.items()}  # type: ignore[arg-type]
        safetensors.write(tmp_path / "model.safetensors", {**copy, "lm_head.weight": head}, {"format": "pt"})
        return models.load(tmp_path)

    data = bytes(embed.data)  # type: ignore[arg-type]
    same(with_head(data), tied)
    with pytest.raises(UnsupportedError, match="'lm_head.weight' differs from .* to false"):
        with_head(data[:-1] + bytes([data[-1] ^ 1]))


def test_missing_and_surplus_tensors_are_named(family: Family, tiny: Spec, tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    models.save_gguf(tiny, path)
    file = gguf.read(path)
    name = next(name.gguf for name in family.tensors(tiny.hyper) if name.role.startswith("layers."))
    fewer = [tensor for tensor in file.tensors.values() if tensor.name != name]
    gguf.write(tmp_path / "fewer.gguf", file.metadata, fewer)
    with pytest.raises(FormatError, match=f"{name}.*missing"):
        models.load(tmp_path / "fewer.gguf")
    extra = gguf.Tensor("blk.0.surplus.bias", gguf.tensor_type("F32"), (1,), bytes(4))
    gguf.write(tmp_path / "more.gguf", file.metadata, [*file.tensors.values(), extra])
    with pytest.raises(UnsupportedError, match=r"surplus\.bias"):
        models.load(tmp_path / "more.gguf")


def test_a_folder_of_quantized_tensors_is_refused(base_gguf: Path, tmp_path: Path) -> None:
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


def test_an_invalid_config_is_one_line(case: str, family: Family) -> None:
    config = config_of(case)
    for key, given in config.items():
        inner = [{**given, name: bad} for name in given for bad in BAD] if isinstance(given, dict) else []
        for bad in (*BAD, *inner):
            try:
                family.hyper_from_hf({**config, key: bad})
            except TinsmithError as error:
                assert "\n" not in str(error)
                named = [key, *bad] if isinstance(bad, dict) else [key]
                assert any(name in str(error) for name in named)
            assert config[key] is given


def test_wrong_hyper_parameters_in_metadata_are_one_line(family: Family, tiny: Spec) -> None:
    meta = family.hyper_to_gguf(tiny.hyper) | {"tokenizer.ggml.tokens": tiny.tokenizer.tokens}
    for key in meta:
        for bad in WRONG:
            changed = {name: given for name, given in meta.items() if name != key} | {key: bad}
            try:
                family.hyper_from_gguf(changed, tied=tiny.hyper.tied)
            except TinsmithError as error:
                assert "\n" not in str(error)


def test_wrong_metadata_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    models.save_gguf(tiny_spec("llama"), path)
    file = gguf.read(path)
    for key in file.metadata:
        for bad in WRONG:
            changed = {name: given for name, given in file.metadata.items() if name != key}
            if bad is not None:
                changed[key] = NESTED if bad == [[]] else gguf.value(bad)
            gguf.write(tmp_path / "bad.gguf", changed, file.tensors.values())
            try:
                models.load(tmp_path / "bad.gguf")
            except TinsmithError as error:
                assert "\n" not in str(error)


def test_shortest_float32() -> None:
    assert shortest_float32(9.999999747378752e-06) == 1e-05
    assert shortest_float32(0.1) == 0.1
    assert struct.pack("<f", shortest_float32(1 / 3)) == struct.pack("<f", 1 / 3)
