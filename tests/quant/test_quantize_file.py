"""GGUF to GGUF: what is kept, what is converted, and that nothing half-written stays."""

from __future__ import annotations

import random
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.tiny_models import tiny_spec
from tinsmith import _core, models, quant
from tinsmith.errors import FormatError, InputError, UnsupportedError
from tinsmith.formats import gguf
from tinsmith.models import family, gguf_spec
from tinsmith.quant import files
from tinsmith.system.files import sha256_file

SOURCE = random.Random(5)
EXPERTS, ROWS, INPUTS = 3, 40, 256


def floats(count: int) -> bytes:
    return struct.pack(f"<{count}f", *[SOURCE.gauss(0, 0.05) for _ in range(count)])


def made(kind: str, rows: int) -> bytes:
    return _core.quantize(kind, floats(rows * INPUTS), rows, INPUTS)


def tensor(name: str, kind: str, shape: tuple[int, ...], data: bytes) -> gguf.Tensor:
    return gguf.Tensor(name, gguf.tensor_type(kind), shape, data)


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an architecture that tinsmith does not compute: matrices of three dimensions, a router, a table."""
    path = tmp_path_factory.mktemp("mixture") / "in.gguf"
    metadata = {
        "general.architecture": gguf.value("unheard-of"),
        "general.file_type": gguf.value(0),
        "unheard-of.attention.head_count": gguf.value([0, 8]),
        "unheard-of.attention.head_count_kv": gguf.value([0, 2]),
        "x": gguf.Value(gguf.ValueType.INT16, -5),
    }
    held = [
        tensor("token_embd.weight", "F16", (INPUTS, 20), made("F16", 20)),
        tensor("blk.0.ffn_gate_inp.weight", "F32", (INPUTS, EXPERTS), floats(EXPERTS * INPUTS)),
        tensor("blk.0.ffn_up_exps.weight", "F32", (INPUTS, ROWS, EXPERTS), floats(EXPERTS * ROWS * INPUTS)),
        tensor("blk.0.attn_q.weight", "Q4_K", (INPUTS, 8), made("Q4_K", 8)),
        tensor("blk.0.attn_norm.weight", "F32", (INPUTS,), floats(INPUTS)),
        tensor("table", "I32", (4,), struct.pack("<4i", 3, 1, 4, 1)),
    ]
    gguf.write(path, metadata, held)
    return path


def test_metadata_and_other_tensors_are_kept(mixture: Path, tmp_path: Path) -> None:
    notes = files.quantize(mixture, tmp_path / "out.gguf", "Q4_K_M")
    before, after = gguf.read(mixture), gguf.read(tmp_path / "out.gguf")
    assert notes == ()
    changed = {"general.file_type": gguf.value(15), "general.quantization_version": gguf.value(2)}
    changed[gguf_spec.SOURCE] = gguf.value(sha256_file(mixture))
    assert after.metadata == before.metadata | changed
    # What a file says of its source stays.
    files.quantize(tmp_path / "out.gguf", tmp_path / "again.gguf", "Q8_0")
    assert gguf.read(tmp_path / "again.gguf").get(gguf_spec.SOURCE) == sha256_file(mixture)
    assert {name: held.type.name for name, held in after.tensors.items()} == {
        "token_embd.weight": "Q6_K",
        "blk.0.ffn_gate_inp.weight": "F32",
        "blk.0.ffn_up_exps.weight": "Q4_K",
        "blk.0.attn_q.weight": "Q4_K",
        "blk.0.attn_norm.weight": "F32",
        "table": "I32",
    }
    for name, held in after.tensors.items():
        assert held.shape == before.tensors[name].shape
        if held.type == before.tensors[name].type:
            assert bytes(held.data) == bytes(before.tensors[name].data)  # type: ignore[arg-type]


def test_each_expert_is_weighed_by_its_own_importance(mixture: Path, tmp_path: Path) -> None:
    name, size = "blk.0.ffn_up_exps.weight", 4 * ROWS * INPUTS
    weights = b"".join(floats(INPUTS).replace(b"\0", b"\1") for _ in range(EXPERTS))
    weights = struct.pack(f"<{EXPERTS * INPUTS}f", *[abs(w) for (w,) in struct.iter_unpack("<f", weights)])
    files.quantize(mixture, tmp_path / "out.gguf", "Q5_0", {name: weights})
    before = bytes(gguf.read(mixture).tensors[name].data)  # type: ignore[arg-type]
    after = gguf.read(tmp_path / "out.gguf")
    assert (
        bytes(after.tensors[name].data)
        == b"".join(  # type: ignore[arg-type]
            _core.quantize(
                "Q5_0",
                before[k * size : (k + 1) * size],
                ROWS,
                INPUTS,
                importance=weights[4 * k * INPUTS : 4 * (k + 1) * INPUTS],
            )
            for k in range(EXPERTS)
        )
    )
    with pytest.raises(FormatError, match="importance of 2 inputs for 768"):
        files.quantize(mixture, tmp_path / "out.gguf", "Q5_0", {name: bytes(8)})


def test_any_number_of_threads_gives_the_same_file(
    mixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinsmith.quant.convert._BLOCK", 3 * INPUTS)
    for threads in (1, 3):
        files.quantize(mixture, tmp_path / f"{threads}.gguf", "Q3_K_M", threads=threads)
    monkeypatch.undo()
    files.quantize(mixture, tmp_path / "whole.gguf", "Q3_K_M")
    assert len({path.read_bytes() for path in tmp_path.glob("*.gguf")}) == 1


def test_a_model_and_its_file_are_quantized_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a spec, whose rotated rows stand in another order than the file's, in pieces and whole."""
    spec = tiny_spec(family.by_name("llama"), hidden_size=256, intermediate_size=288)
    spec = replace(spec, source="ab" * 32)
    models.save_gguf(spec, tmp_path / "in.gguf")
    notes = files.quantize(tmp_path / "in.gguf", tmp_path / "file.gguf", "Q4_K_M")
    encode = quant.encoder(spec, "Q4_K_M")
    models.save_gguf(spec, tmp_path / "spec.gguf", encode=encode)
    whole = quant.apply(spec, "Q4_K_M")
    models.save_gguf(whole, tmp_path / "whole.gguf")
    file = gguf.read(tmp_path / "whole.gguf")
    typed = file.metadata | {"general.file_type": gguf.value(15)}
    gguf.write(tmp_path / "whole.gguf", typed, list(file.tensors.values()))
    monkeypatch.setattr("tinsmith.quant.convert._BLOCK", 1)
    models.save_gguf(spec, tmp_path / "pieces.gguf", encode=quant.encoder(spec, "Q4_K_M", threads=3))
    made = {name: (tmp_path / f"{name}.gguf").read_bytes() for name in ("file", "spec", "whole", "pieces")}
    assert len(set(made.values())) == 1
    assert notes == encode.notes == whole.notes
    assert any("rows of 288 inputs" in note for note in notes)


def test_what_fails_leaves_nothing(mixture: Path, tmp_path: Path) -> None:
    held = gguf.read(mixture)
    broken = [*held.tensors.values(), tensor("blk.0.ffn_down.weight", "F32", (256, 4), b"\xff" * 4096)]
    gguf.write(tmp_path / "in.gguf", held.metadata, broken)
    with pytest.raises(FormatError, match="ffn_down.weight can't be quantized to Q6_K: a weight is not"):
        files.quantize(tmp_path / "in.gguf", tmp_path / "out.gguf", "Q6_K")
    with pytest.raises(InputError, match="is the input file"):
        files.quantize(tmp_path / "in.gguf", tmp_path / "in.gguf", "F32")
    strange = tensor("blk.0.ffn_up.weight", "MXFP4", (32, 2), bytes(34))
    gguf.write(tmp_path / "in.gguf", held.metadata, [strange])
    with pytest.raises(UnsupportedError, match="'blk.0.ffn_up.weight' is MXFP4, which can't be converted"):
        files.quantize(tmp_path / "in.gguf", tmp_path / "out.gguf", "Q6_K")
    assert [path.name for path in tmp_path.iterdir()] == ["in.gguf"]
