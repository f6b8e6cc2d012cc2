"""Atomic writes under every way a disk can refuse."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from tinsmith import files
from tinsmith.errors import InputError


def test_a_write_replaces_the_file_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.bin"
    with files.atomic_write(path) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_block_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), files.atomic_write(path) as file:
        file.write(b"new")
        raise KeyError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device; free some space") as caught:
        files.write_text(tmp_path / "a.txt", "text")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_really_full_device(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No space left"), files.atomic_write(tmp_path / "a.bin") as file:
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")
        file.write(b"x")


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(InputError, match="cannot write"):
        files.write_text(tmp_path / "a" / "b", "text")


def test_other_faults_of_the_block_pass_through(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), files.atomic_write(tmp_path / "a.bin"):
        raise ConnectionResetError


def test_maps_and_digests(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 3_000_000)
    seen: list[int] = []
    assert files.sha256_file(path, seen.append) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sum(seen) == 3_000_000
    assert bytes(files.map_file(path)[:2]) == b"xx"
    path.write_bytes(b"")
    assert len(files.map_file(path)) == 0
    for read in (files.map_file, files.sha256_file):
        with pytest.raises(InputError, match="no such file"):
            read(tmp_path / "absent")
        with pytest.raises(InputError, match="cannot read"):
            read(tmp_path)
