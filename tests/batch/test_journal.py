"""Files beside OUT: a journal or a part that the batch did not write is never changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tinsmith.batch.engine import Counts, WindowResult
from tinsmith.batch.journal import Journal
from tinsmith.errors import InputError
from tinsmith.system import files

HEADER = {"in": "a"}


def enter(out: Path) -> None:
    with Journal(out, HEADER, files.replace):
        pass


def _file(place: Path) -> None:
    place.write_text("my own notes of a year\n" * 1000)


def _line(place: Path) -> None:
    place.write_text("a line that does not end")


def _table(place: Path) -> None:
    place.write_text('{"batches": {}}\n')


def _link(place: Path) -> None:
    place.with_name("precious").write_text("precious\n")
    place.symlink_to(place.with_name("precious"))


def _dangling(place: Path) -> None:
    place.symlink_to(place.with_name("nothing"))


def _folder(place: Path) -> None:
    place.mkdir()


def _pipe(place: Path) -> None:
    os.mkfifo(place)


def _device(place: Path) -> None:
    place.symlink_to("/dev/full")


def _tree(folder: Path) -> dict[str, object]:
    def what(path: Path) -> object:
        if path.is_symlink():
            return path.readlink()
        return path.read_bytes() if path.is_file() else path.stat().st_mode

    return {path.name: what(path) for path in folder.rglob("*")}


@pytest.mark.parametrize("name", ["out.jsonl.journal", "out.jsonl.part", "out.jsonl"])
@pytest.mark.parametrize("there", [_file, _line, _table, _link, _dangling, _folder, _pipe, _device])
def test_foreign_files_stay_unchanged(there: Callable[[Path], None], name: str, tmp_path: Path) -> None:
    there(tmp_path / name)
    before = _tree(tmp_path)
    with pytest.raises(InputError, match=r"out\.jsonl"):
        enter(tmp_path / "out.jsonl")
    assert _tree(tmp_path) == before


@pytest.mark.parametrize("name", ["out.jsonl.journal", "out.jsonl.part"])
def test_a_link_in_place_of_a_batchs_file_is_not_followed(name: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    enter(out)
    (tmp_path / name).rename(tmp_path / "precious")
    (tmp_path / name).symlink_to("precious")
    before = _tree(tmp_path)
    with pytest.raises(InputError, match=r"a link|exists"):
        enter(out)
    assert _tree(tmp_path) == before


@pytest.mark.parametrize("kept", [0, 5, 15])
def test_a_torn_header_is_written_again(kept: int, tmp_path: Path) -> None:
    out, journal = tmp_path / "out.jsonl", tmp_path / "out.jsonl.journal"
    enter(out)
    whole = journal.read_bytes()
    journal.write_bytes(whole[:kept])
    (tmp_path / "out.jsonl.part").unlink()
    enter(out)
    assert journal.read_bytes() == whole


def test_long_settings_are_cut_in_the_error(tmp_path: Path) -> None:
    for length, shown in ((78, f'"{"a" * 78}"'), (79, f'"{"a" * 79}…')):
        out = tmp_path / f"{length}.jsonl"
        with Journal(out, {"in": "a" * length}, files.replace) as journal:
            journal.end()
        with pytest.raises(InputError, match=f"was started with IN {shown}, now "):
            enter(out)


def test_rows_are_synced_after_two_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Since the last time, and at the end."""
    clock, synced, sync = [100.0], list[float](), os.fsync

    def fsync(file: int) -> None:
        synced.append(clock[0])
        sync(file)

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(os, "fsync", fsync)
    with Journal(tmp_path / "out.jsonl", HEADER, files.replace) as journal:
        synced.clear()
        line = b'{"item": 1}\n'
        for number, clock[0] in enumerate((101.0, 102.0, 102.1, 103.0, 104.1, 104.2, 110.0)):
            journal.add(WindowResult(number, line, Counts(items=1, bytes=len(line))))
        assert sorted({*synced}) == [102.1, 104.2, 110.0]
        clock[0] = 110.5
        journal.end()
    assert {*synced} == {102.1, 104.2, 110.0, 110.5}


@pytest.mark.parametrize("size", [1, 2, (1 << 20) + 1])
def test_windows_of_any_size_are_kept(size: int, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with Journal(out, HEADER, files.replace) as journal:
        for first in (0, 3):
            journal.add(WindowResult(first, b"x" * size, Counts(items=2, bytes=size)))
    with Journal(out, HEADER, files.replace) as journal:
        assert journal.finished == [range(2), range(3, 5)]
        assert journal.counts == Counts(items=4, bytes=2 * size)


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="File name too long"):
        enter(tmp_path / ("a" * 250))
