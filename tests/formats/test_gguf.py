"""GGUF against the `gguf` package, byte-exact rewriting, and every truncated or flipped byte."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tinsmith.errors import FormatError, InputError, TinsmithError, UnsupportedError
from tinsmith.formats import gguf
from tinsmith.formats.gguf import Tensor, Value, ValueType
from tinsmith.formats.weights import in_gguf

oracle = pytest.importorskip("gguf")

METADATA = {
    "general.architecture": gguf.value("llama"),
    "u8": Value(ValueType.UINT8, 255),
    "i8": Value(ValueType.INT8, -128),
    "u16": Value(ValueType.UINT16, 65535),
    "i16": Value(ValueType.INT16, -5),
    "u32": gguf.value(7),
    "i32": gguf.value(-7),
    "u64": gguf.value(1 << 40),
    "i64": gguf.value(-(1 << 40)),
    "f32": gguf.value(0.5),
    "f64": Value(ValueType.FLOAT64, 0.1),
    "yes": gguf.value(True),
    "texts": gguf.value(["a", "", "grüße 🙂"]),
    "numbers": Value(ValueType.ARRAY, [1, -2, 3], ValueType.INT32),
    "flags": gguf.value([True, False]),
    "empty": gguf.value([]),
}


def tensors() -> list[Tensor]:
    source = random.Random(1)
    return [
        Tensor("vector", gguf.tensor_type("F32"), (5,), source.randbytes(20)),
        Tensor("matrix", gguf.tensor_type("Q8_0"), (64, 3), source.randbytes(2 * 34 * 3)),
        Tensor("pieces", gguf.tensor_type("F16"), (4, 2), iter([source.randbytes(6), source.randbytes(10)])),
    ]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.gguf"
    gguf.write(path, METADATA, tensors())
    return path


def test_the_gguf_package_reads_what_we_write(small: Path) -> None:
    reader = oracle.GGUFReader(small)
    ours = gguf.read(small)
    for key, entry in METADATA.items():
        if key != "empty":
            assert reader.fields[key].contents() == entry.value, key
            assert reader.fields[key].types[0].value == entry.type, key
    assert [tensor.name for tensor in reader.tensors] == ["vector", "matrix", "pieces"]
    for tensor in reader.tensors:
        mine = ours.tensors[tensor.name]
        assert tuple(int(size) for size in tensor.shape) == mine.shape
        assert tensor.tensor_type.name == mine.type.name
        assert tensor.data.tobytes() == bytes(mine.data)


def test_reading_gives_back_types_and_values(small: Path) -> None:
    assert gguf.read(small).metadata == METADATA


def test_nested_arrays_and_bad_utf8_survive(tmp_path: Path) -> None:
    inner = gguf.value(["x", "y"])
    metadata = {
        "nested": Value(ValueType.ARRAY, [inner, inner], ValueType.ARRAY),
        "broken": gguf.value(b"\xff\xfe".decode("utf-8", "surrogateescape")),
    }
    gguf.write(tmp_path / "a.gguf", metadata, [])
    again = gguf.read(tmp_path / "a.gguf")
    assert again.metadata == metadata
    gguf.write(tmp_path / "b.gguf", again.metadata, [])
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


def test_tensor_types_are_those_of_the_gguf_package() -> None:
    sizes = oracle.constants.GGML_QUANT_SIZES
    for kind in gguf.TENSOR_TYPES:
        assert sizes[oracle.GGMLQuantizationType[kind.name]] == (kind.block, kind.size), kind
        assert oracle.GGMLQuantizationType(kind.id).name == kind.name


def test_tensor_types_cover_formats_def() -> None:
    listed = (Path(__file__).parents[2] / "kernels" / "formats.def").read_text()
    rows = re.findall(r"^    X\(a, b, \d+, (\d+), (\w+), \w+, (\d+), (\d+)", listed, re.MULTILINE)
    assert rows
    for number, name, block, size in rows:
        if in_gguf(name) != name:
            continue  # of tins alone
        assert gguf.tensor_type(name) == gguf.TensorType(int(number), name, int(block), int(size))


def test_rewriting_the_base_gives_its_bytes(base_gguf: Path, tmp_path: Path) -> None:
    file = gguf.read(base_gguf)
    gguf.write(tmp_path / "again.gguf", file.metadata, file.tensors.values())
    assert (tmp_path / "again.gguf").read_bytes() == base_gguf.read_bytes()


def test_every_truncation_is_a_format_error(small: Path, tmp_path: Path) -> None:
    whole = small.read_bytes()
    end = max(_end(tensor, whole) for tensor in gguf.read(small).tensors.values())
    cut = tmp_path / "cut.gguf"
    for length in range(end):
        cut.write_bytes(whole[:length])
        with pytest.raises(FormatError, match=r"cut\.gguf"):
            gguf.read(cut)


def _end(tensor: Tensor, whole: bytes) -> int:
    data = bytes(tensor.data)  # type: ignore[arg-type]
    return whole.index(data) + len(data)


def test_no_flipped_bit_escapes_as_another_error(small: Path, tmp_path: Path) -> None:
    whole = bytearray(small.read_bytes())
    bad = tmp_path / "bad.gguf"
    for position in range(len(whole)):
        for bit in (0, 7):
            whole[position] ^= 1 << bit
            bad.write_bytes(whole)
            try:
                gguf.read(bad)
            except TinsmithError as error:
                assert "\n" not in str(error)
            whole[position] ^= 1 << bit


def test_refusals_name_what_is_wrong(small: Path, tmp_path: Path) -> None:
    whole = small.read_bytes()
    cases = {
        b"PK\x03\x04" + whole[4:]: (FormatError, "not a GGUF file but a tin, .* --gguf OUT"),
        whole[:4] + b"\x01\x00\x00\x00" + whole[8:]: (UnsupportedError, "version 1"),
        whole[:4] + b"\x00\x00\x00\x03" + whole[8:]: (UnsupportedError, "big-endian"),
    }
    bad = tmp_path / "bad.gguf"
    for content, (kind, text) in cases.items():
        bad.write_bytes(content)
        with pytest.raises(kind, match=text):
            gguf.read(bad)
    with pytest.raises(InputError, match="no such file"):
        gguf.read(tmp_path / "absent.gguf")
    with pytest.raises(UnsupportedError, match="Q4_0"):
        gguf.tensor_type("Q4_9")


def test_a_failed_write_leaves_the_old_file(small: Path) -> None:
    before = small.read_bytes()
    short = Tensor("short", gguf.tensor_type("F32"), (4,), b"only")
    with pytest.raises(FormatError, match="short"):
        gguf.write(small, METADATA, [short])
    assert small.read_bytes() == before
    assert list(small.parent.iterdir()) == [small]


@pytest.fixture
def split(tmp_path: Path) -> list[Path]:
    """Five tensors over three files, split by the gguf package."""
    np = pytest.importorskip("numpy")
    writer = oracle.GGUFWriter(tmp_path / "m.gguf", arch="llama", split_max_tensors=2)
    writer.add_string("general.name", "parts")
    for k in range(5):
        writer.add_tensor(f"t{k}", np.arange(8, dtype=np.float32) + k)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(tmp_path.glob("m-*.gguf"))


def test_a_split_file_is_read_whole(split: list[Path]) -> None:
    assert [path.name for path in split] == [f"m-0000{k}-of-00003.gguf" for k in (1, 2, 3)]
    loaded = gguf.read(split[0])
    assert loaded.get("general.name") == "parts" and not any(
        key.startswith("split.") for key in loaded.metadata
    )
    assert {name: memoryview(held.data).cast("f")[0] for name, held in loaded.tensors.items()} == {  # type: ignore[arg-type]
        f"t{k}": k for k in range(5)
    }


def test_a_part_that_is_not_whole_is_refused(split: list[Path], tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="a later part of a split GGUF; give the first, m-00001-of-00003"):
        gguf.read(split[1])
    split[0].rename(tmp_path / "n.gguf")
    with pytest.raises(FormatError, match="one of 3 parts of a split GGUF, but not called NAME-00001-of-00003"):
        gguf.read(tmp_path / "n.gguf")
    (tmp_path / "n.gguf").rename(split[0])
    second = split[1].read_bytes()
    split[1].write_bytes(split[2].read_bytes())
    with pytest.raises(FormatError, match="m-00002-of-00003.gguf: not part 2 of 3"):
        gguf.read(split[0])
    split[1].write_bytes(second.replace(b"t2", b"t0"))
    with pytest.raises(FormatError, match="'t0' is in an earlier part too"):
        gguf.read(split[0])
    split[1].unlink()
    with pytest.raises(InputError, match="m-00002-of-00003.gguf: no such file"):
        gguf.read(split[0])


def test_what_follows_a_header_is_a_file_of_its_own() -> None:
    held = [Tensor("v", gguf.tensor_type("F32"), (2,), bytes(range(8)))]
    data = gguf.header(METADATA, tensors()) + gguf.to_bytes({}, held)
    file, left = gguf.read_header(data, "here")
    assert file.metadata == METADATA and list(file.tensors) == ["vector", "matrix", "pieces"]
    (rest,) = gguf.read_bytes(left, "here").tensors.values()
    assert bytes(rest.data) == bytes(range(8))  # type: ignore[arg-type]
