"""A GGUF adapter as the native runtime takes it: in whatever format, and what is refused."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.models import random_adapters
from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import CHATML
from tinsmith import _core, cli, compiler
from tinsmith.chat.chat_template import with_system
from tinsmith.errors import FormatError, InputError, TinsmithError, UnsupportedError
from tinsmith.formats import gguf, tin
from tinsmith.formats.tin import Tin
from tinsmith.models import family
from tinsmith.spec import Spec
from tinsmith.train.adapters import bin as adapter_bin
from tinsmith.train.adapters import gguf as adapter_gguf

ASKED = [{"role": "user", "content": "which lamp?"}]
ALPHA = "adapter.lora.alpha"
Q, TOKENS = "blk.0.attn_q.weight.lora_", "token_embd.weight.lora_"


@pytest.fixture(scope="module")
def base() -> Spec:
    return replace(tiny_spec("llama", hidden_size=64, intermediate_size=96), chat_template=CHATML)


@pytest.fixture(scope="module")
def made(base: Spec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """base.tin, an adapter's folder and its GGUF file."""
    place = tmp_path_factory.mktemp("gguf-adapter")
    compiler.build_tin(base, place / "base.tin", entries={tin.SOURCE: bytes(range(32))})
    source = bytes(range(32)).hex()
    folder = random_adapters.folder(base, place / "one", with_system(CHATML, "Name a lamp."), source, rank=32)
    adapter_gguf.write(folder, base, place / "one.gguf")
    return place


def test_it_is_what_the_folder_is(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tinsmith.load(made / "base.tin", threads=1)
    model.adapters.add("folder", made / "one")
    model.adapters.add("file", made / "one.gguf")
    answers = [model.chat(ASKED, adapter=name, max_tokens=12) for name in ("folder", "file")]
    assert answers[0].token_ids == answers[1].token_ids
    assert answers[0].prompt_tokens == answers[1].prompt_tokens > len(model.render(ASKED))
    for name, source in (("folder", made / "one"), ("file", made / "one.gguf")):
        words = [
            "adapters",
            made / "base.tin",
            "--add",
            "lamps",
            "--from",
            source,
            "--out",
            tmp_path / f"{name}.tin",
        ]
        assert cli.main(list(map(str, words))) == 0
    folder, file = (Tin(tmp_path / f"{name}.tin") for name in ("folder", "file"))
    assert folder.entry("adapter/lamps.bin") == file.entry("adapter/lamps.bin")
    assert folder.entry("adapter/lamps/turns.bin") == file.entry("adapter/lamps/turns.bin")
    words = ["run", str(made / "base.tin"), ASKED[0]["content"], "--max-tokens", "12"]
    capsys.readouterr()
    assert cli.main([*words, "--adapter", str(made / "one.gguf")]) == 0
    assert capsys.readouterr().out.rstrip("\n") == answers[0].text.rstrip("\n")


def test_an_adapter_of_another_base_is_refused(made: Path, base: Spec, tmp_path: Path) -> None:
    compiler.build_tin(base, tmp_path / "other.tin", entries={tin.SOURCE: bytes(32 * [7])})
    model = tinsmith.load(tmp_path / "other.tin")
    with pytest.raises(
        InputError, match="trained on the base 000102030405, and the model was made from another"
    ):
        model.adapters.add("one", made / "one.gguf")


@pytest.mark.parametrize("format", ["F16", "BF16", "Q8_0", "Q4_0"])
def test_factors_in_any_format(made: Path, base: Spec, tmp_path: Path, format: str) -> None:
    """They count as the floats that their blocks stand for."""
    file, kind = gguf.read(made / "one.gguf"), gguf.tensor_type(format)

    def stored(tensor: gguf.Tensor, data: bytes, kind: gguf.TensorType) -> gguf.Tensor:
        return replace(tensor, type=kind, data=data)

    rounded, floats = [], []
    for tensor in file.tensors.values():
        inputs, rows = tensor.shape
        blocks = _core.quantize(format, tensor.data, rows, inputs)
        rounded.append(stored(tensor, blocks, kind))
        floats.append(stored(tensor, _core.dequantize(format, blocks, rows, inputs), tensor.type))
    for name, tensors in (("rounded", rounded), ("floats", floats)):
        gguf.write(tmp_path / f"{name}.gguf", file.metadata, tensors)
    held = Tin(made / "base.tin")
    of = {name: adapter_bin.compiled(tmp_path / f"{name}.gguf", held, "F16") for name in ("rounded", "floats")}
    assert of["rounded"] == of["floats"]
    assert (of["rounded"] == adapter_bin.compiled(made / "one.gguf", held, "F16")) == (format == "F16")


def changed(made: Path, out: Path, metadata: dict[str, Any], **names: str | None) -> Path:
    """The file with other metadata (None: none), and tensors renamed, or left out."""
    file = gguf.read(made / "one.gguf")
    told = file.metadata | {key: gguf.value(value) for key, value in metadata.items() if value is not None}
    told = {key: value for key, value in told.items() if metadata.get(key, "") is not None}
    tensors = []
    for tensor in file.tensors.values():
        name = names.get(tensor.name.replace(".", "_"), tensor.name)
        if name is not None:
            tensors.append(replace(tensor, name=name))
    gguf.write(out, told, tensors)
    return out


@pytest.mark.parametrize(
    ("metadata", "names", "kind", "said"),
    [
        ({"general.type": "model"}, {}, FormatError, "general.type is 'model' .* no LoRA adapter"),
        ({"adapter.type": None}, {}, FormatError, "adapter.type None: no LoRA adapter"),
        ({"general.architecture": "qwen3"}, {}, InputError, "an adapter of 'qwen3', and the model is 'llama'"),
        ({ALPHA: None}, {}, FormatError, "adapter.lora.alpha is None; it must be a number above 0"),
        ({ALPHA: float("nan")}, {}, FormatError, "alpha is nan"),
        ({ALPHA: True}, {}, FormatError, "alpha is True"),
        ({"adapter.alora.invocation_tokens": [3]}, {}, UnsupportedError, "an activated LoRA"),
        ({"tinsmith.source.sha256": "abc"}, {}, FormatError, "tinsmith.source.sha256 is 'abc'; it must be 64"),
        (
            {},
            {"a": f"{TOKENS}a", "b": f"{TOKENS}b"},
            UnsupportedError,
            "adapts token_embd.weight, the embeddings",
        ),
        (
            {},
            {"a": "blk.9.attn_q.weight.lora_a"},
            InputError,
            "adapts blk.9.attn_q.weight, which the base lacks",
        ),
        ({}, {"b": None}, FormatError, "blk.0.attn_q.weight has one factor of two"),
        ({}, {"b": "blk.0.attn_q.weight"}, UnsupportedError, "is no factor of a matrix"),
        ({}, {"a": f"{Q}b", "b": f"{Q}a"}, InputError, r"attn_q.weight is \[96, 64\] in the base"),
    ],
)
def test_what_is_refused(
    made: Path, tmp_path: Path, metadata: dict[str, Any], names: dict[str, str | None], kind: type, said: str
) -> None:
    keys = {f"blk_0_attn_q_weight_lora_{part}": name for part, name in names.items()}
    file = changed(made, tmp_path / "changed.gguf", metadata, **keys)
    with pytest.raises(kind, match=said):
        adapter_bin.compiled(file, Tin(made / "base.tin"))


def test_routed_experts_are_refused(made: Path) -> None:
    experts = tiny_spec("qwen3_moe")
    names = {name.gguf: name for name in family.by_name(experts.family).tensors(experts.hyper)}
    matrix = next(name.gguf for name in names.values() if name.experts)
    with pytest.raises(UnsupportedError, match="the routed experts"):
        adapter_gguf.check_matrix(Path("a.gguf"), matrix, {}, names)


def test_damaged_files(made: Path, tmp_path: Path) -> None:
    """Cut short anywhere or with bits turned, it is an error of ours, or an adapter."""
    whole, chance, held = (made / "one.gguf").read_bytes(), random.Random(3), Tin(made / "base.tin")
    path, refused = tmp_path / "damaged.gguf", 0
    for number in range(150):
        data = bytearray(whole)
        if number % 3:
            data[chance.randrange(2500)] ^= 1 << chance.randrange(8)
        else:
            del data[chance.randrange(len(data)) :]
        path.write_bytes(data)
        try:
            adapter_bin.compiled(path, held)
        except TinsmithError:
            refused += 1
    assert refused > 60
