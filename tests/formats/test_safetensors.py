"""safetensors against the reference implementation, and damaged files."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tinsmith.errors import FormatError, TinsmithError, UnsupportedError
from tinsmith.formats import safetensors
from tinsmith.formats.safetensors import Tensor

reference = pytest.importorskip("safetensors")

SOURCE = random.Random(2)
TENSORS = {
    "half": Tensor("F16", (3,), SOURCE.randbytes(6)),
    "wide": Tensor("F32", (2, 3), SOURCE.randbytes(24)),
    "brain": Tensor("BF16", (1, 2), SOURCE.randbytes(4)),
    "none": Tensor("F32", (0, 4), b""),
}


def test_the_reference_reads_what_we_write(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.write(path, TENSORS, {"format": "pt"})
    loaded = dict(reference.deserialize(path.read_bytes()))
    assert {
        name: (entry["dtype"], tuple(entry["shape"]), bytes(entry["data"])) for name, entry in loaded.items()
    } == {name: (tensor.dtype, tensor.shape, tensor.data) for name, tensor in TENSORS.items()}
    with reference.safe_open(path, "np") as file:
        assert file.metadata() == {"format": "pt"}


def test_we_read_what_the_reference_writes(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    from safetensors.numpy import save_file

    arrays = {"a": numpy.arange(6, dtype="f4").reshape(2, 3), "b": numpy.ones(5, dtype="f2")}
    save_file(arrays, tmp_path / "b.safetensors")
    loaded = safetensors.read(tmp_path / "b.safetensors")
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        assert bytes(loaded[name].data) == array.tobytes()  # type: ignore[arg-type]
        assert loaded[name].shape == array.shape


def test_shards(tmp_path: Path) -> None:
    names = list(TENSORS)
    for shard, part in enumerate((names[:2], names[2:])):
        safetensors.write(tmp_path / f"{shard}.safetensors", {name: TENSORS[name] for name in part})
    weight_map = {name: f"{i // 2}.safetensors" for i, name in enumerate(names)}
    index = tmp_path / safetensors.INDEX
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert safetensors.read_folder(tmp_path).keys() == TENSORS.keys()
    index.write_text(json.dumps({"weight_map": weight_map | {"lost": "0.safetensors"}}))
    with pytest.raises(FormatError, match="lost"):
        safetensors.read_folder(tmp_path)
    index.write_text(json.dumps({"weight_map": {"half": "../elsewhere.safetensors"}}))
    with pytest.raises(FormatError, match="outside"):
        safetensors.read_folder(tmp_path)


def test_a_pickle_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(FormatError, match=r"pytorch_model\.bin is a pickle"):
        safetensors.read_folder(tmp_path)


def test_damage_is_a_format_error(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.write(path, TENSORS)
    whole = bytearray(path.read_bytes())
    bad = tmp_path / "bad.safetensors"
    for length in range(len(whole)):
        bad.write_bytes(whole[:length])
        with pytest.raises(FormatError):
            safetensors.read(bad)
    for position in range(len(whole)):
        whole[position] ^= 2
        bad.write_bytes(whole)
        try:
            safetensors.read(bad)
        except TinsmithError as error:
            assert "\n" not in str(error)
        whole[position] ^= 2


def test_unknown_types_are_named(tmp_path: Path) -> None:
    header = json.dumps({"x": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"0")
    with pytest.raises(UnsupportedError, match=r"'F4'.*BF16"):
        safetensors.read(path)
