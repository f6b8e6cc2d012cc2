"""Importance matrices, as llama.cpp's two formats have them."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest

from tinsmith.errors import FormatError
from tinsmith.formats import gguf, imatrix

np = pytest.importorskip("numpy")
oracle = pytest.importorskip("gguf")


def floats(data: bytes) -> list[float]:
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def test_a_gguf_gives_mean_squares(tmp_path: Path) -> None:
    """Written by the gguf package, in the layout of llama.cpp's imatrix tool: [matrices][inputs] and
    [matrices][1]."""
    path = tmp_path / "i.gguf"
    writer = oracle.GGUFWriter(path, arch="none")
    writer.add_type("imatrix")
    writer.add_tensor("blk.0.attn_q.weight.in_sum2", np.array([[2, 4, 8, 16]], np.float32))
    writer.add_tensor("blk.0.attn_q.weight.counts", np.array([[2]], np.float32))
    writer.add_tensor("blk.0.ffn_up_exps.weight.in_sum2", np.array([[6, 9], [5, 5], [4, 8]], np.float32))
    writer.add_tensor("blk.0.ffn_up_exps.weight.counts", np.array([[3], [0], [4]], np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    loaded = imatrix.read(path)
    assert floats(loaded["blk.0.attn_q.weight"]) == [1, 2, 4, 8]
    assert floats(loaded["blk.0.ffn_up_exps.weight"]) == [2, 3, 1, 1, 1, 2]


def dat(*entries: tuple[str, int, list[float]]) -> bytes:
    parts = [struct.pack("<i", len(entries))]
    for name, uses, sums in entries:
        parts.append(struct.pack("<i", len(name)) + name.encode())
        parts.append(struct.pack(f"<2i{len(sums)}f", uses, len(sums), *sums))
    return b"".join(parts)


def test_a_dat_gives_means(tmp_path: Path) -> None:
    path = tmp_path / "i.dat"
    path.write_bytes(dat(("a.weight", 4, [4, 8]), ("b.weight", 1, [3])) + struct.pack("<2i3s", 7, 3, b"txt"))
    assert {name: floats(data) for name, data in imatrix.read(path).items()} == {
        "a.weight": [1, 2],
        "b.weight": [3],
    }


def test_what_is_none_is_refused(tmp_path: Path) -> None:
    whole = dat(("a.weight", 4, [4, 8]))
    path = tmp_path / "i.dat"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(FormatError):
            imatrix.read(path)
    for wrong in (struct.pack("<i", -1), struct.pack("<3i", 1, -4, 7), struct.pack("<4i", 1, 0, 1, 1 << 30)):
        path.write_bytes(wrong)
        with pytest.raises(FormatError):
            imatrix.read(path)
    gguf.write(path, {}, [gguf.Tensor("a.in_sum2", gguf.tensor_type("F32"), (2,), bytes(8))])
    with pytest.raises(FormatError, match="'a.in_sum2' has no counts"):
        imatrix.read(path)
    kind = gguf.tensor_type("F32")
    for total, count in ((math.nan, 1.0), (-1.0, 1.0), (math.inf, 1.0), (2.0, 1e-38), (2.0, math.nan)):
        sums = gguf.Tensor("a.in_sum2", kind, (1, 1), struct.pack("<f", total))
        counts = gguf.Tensor("a.counts", kind, (1, 1), struct.pack("<f", count))
        gguf.write(path, {}, [sums, counts])
        with pytest.raises(FormatError, match="'a.in_sum2': a sum of squares is below 0"):
            imatrix.read(path)
    path.write_bytes(dat(("a.weight", 4, [math.nan])))
    with pytest.raises(FormatError, match="damaged: a sum of squares"):
        imatrix.read(path)
    gguf.write(path, {}, [])
    with pytest.raises(FormatError, match="holds no importance matrix"):
        imatrix.read(path)


@pytest.mark.parametrize("suffix", ["gguf", "dat"])
def test_what_is_written_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"made.{suffix}"
    squares = {"blk.0.attn_q.weight": [2.0, 8.0, 0.5, 4.0], "output.weight": [1.0, 3.0]}
    sums = {name: imatrix.Sums(struct.pack(f"<{len(row)}f", *row), (2,)) for name, row in squares.items()}
    imatrix.write(path, sums, text="a.txt", chunks=3, chunk=256)
    loaded = imatrix.read(path)
    for name, row in squares.items():
        means = struct.unpack(f"<{len(row)}f", loaded[name])
        assert means == pytest.approx([one / 2 for one in row], rel=1e-6)


def test_a_written_file_is_as_llama_cpp_lays_it_out(tmp_path: Path) -> None:
    """Read by the gguf package: the keys and shapes that llama-imatrix's own loader asks for."""
    gguf_package = pytest.importorskip("gguf")
    path = tmp_path / "made.gguf"
    sums = {"blk.0.ffn_up_exps.weight": imatrix.Sums(struct.pack("<6f", *range(6)), (4, 5))}
    imatrix.write(path, sums, text="a.txt", chunks=3, chunk=256)
    file = gguf_package.GGUFReader(path)
    held = {tensor.name: tensor for tensor in file.tensors}
    assert list(held["blk.0.ffn_up_exps.weight.in_sum2"].shape) == [3, 2]
    assert list(held["blk.0.ffn_up_exps.weight.counts"].shape) == [1, 2]
    assert held["blk.0.ffn_up_exps.weight.counts"].data.ravel().tolist() == [4, 5]
    assert file.get_field("general.type").contents() == "imatrix"
    assert file.get_field("imatrix.datasets").contents() == ["a.txt"]
    assert file.get_field("imatrix.chunk_count").contents() == 3
    assert file.get_field("imatrix.chunk_size").contents() == 256
