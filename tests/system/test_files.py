"""Atomic writes under every way a disk can refuse."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tinsmith.errors import InputError
from tinsmith.system import files


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
    with pytest.raises(InputError, match=f"^{tmp_path}/a: is a file, not a folder; give another path$"):
        files.write_text(tmp_path / "a" / "b", "text")


def test_other_faults_of_the_block_pass_through(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), files.atomic_write(tmp_path / "a.bin"):
        raise ConnectionResetError


def test_maps_and_digests(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 3_000_000)
    assert files.sha256_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert bytes(files.map_file(path)[:2]) == b"xx"
    path.write_bytes(b"")
    assert len(files.map_file(path)) == 0
    for read in (files.map_file, files.sha256_file):
        with pytest.raises(InputError, match="no such file"):
            read(tmp_path / "absent")
        with pytest.raises(InputError, match="cannot read"):
            read(tmp_path)


@pytest.fixture
def posix() -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no such files")


def test_a_link_stays_and_leads_to_what_was_written(posix: None, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    real, link, again = tmp_path / "far" / "real", tmp_path / "link", tmp_path / "again"
    real.write_bytes(b"old")
    link.symlink_to("far/real")
    again.symlink_to(link)
    with pytest.raises(KeyError), files.atomic_write(again) as file:
        file.write(b"half")
        raise KeyError
    assert real.read_bytes() == b"old"
    files.write_text(again, "new")
    assert real.read_text() == "new"
    assert link.is_symlink() and again.is_symlink()
    assert list(real.parent.iterdir()) == [real]
    real.unlink()
    files.write_text(link, "made")  # as a shell's > does it
    assert real.read_text() == "made"


def test_a_pipe_stays_and_gets_it_all(posix: None, tmp_path: Path) -> None:
    pipe, link, got = tmp_path / "pipe", tmp_path / "link", []
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()), daemon=True)
        reader.start()
        with files.atomic_write(path) as file:
            file.write(b"xne")
            file.seek(0)  # as a tin's writer does
            file.write(b"o")
        reader.join(10)
    assert got == [b"one", b"one"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    with pytest.raises(KeyError), files.atomic_write(pipe) as file:  # a reader would wait for ever otherwise
        file.write(b"half")
        raise KeyError


def test_a_device_stays(posix: None, tmp_path: Path) -> None:
    """Its own one, so that a fault costs this machine no /dev/null."""
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, Path("/dev/null").stat().st_rdev)
        device.open("wb").close()
    except OSError:
        pytest.skip("only root can make a device, and only on some file systems")
    files.write_text(device, "text")
    assert stat.S_ISCHR(device.stat().st_mode)


def test_what_can_hold_no_file_is_refused(posix: None, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name, why in (
            ("folder", "is a folder"),
            ("socket", "is a socket"),
            ("a", "cannot write: Too many"),
        ):
            with pytest.raises(InputError, match=f"{name}: {why}") as caught:
                files.write_text(tmp_path / name, "text")
            assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "folder", "socket"]
    assert (tmp_path / "a").is_symlink() and stat.S_ISSOCK((tmp_path / "socket").stat().st_mode)


@pytest.mark.parametrize("leads_to", ["/dev/fd/1", "/proc/self/fd/1"])
def test_a_descriptors_name_is_that_descriptor(posix: None, leads_to: str, tmp_path: Path) -> None:
    """As /dev/stdout is one, by a link of the test's own: a fault costs this machine nothing. Also where a file
    is behind it: what is in that already stays."""
    if not Path(leads_to).exists():
        pytest.skip(f"there is no {leads_to}")
    name = str(tmp_path / "stdout")
    Path(name).symlink_to(leads_to)
    code = f"from tinsmith.system import files; files.write_text({name!r}, 'text')"
    piped = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (piped.stdout, piped.stderr) == ("text", "")
    with (tmp_path / "log").open("ab", buffering=0) as log:
        log.write(b"before ")
        subprocess.run([sys.executable, "-c", code], stdout=log, check=True)
    assert (tmp_path / "log").read_text() == "before text"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "stdout"]
    assert Path(name).is_symlink()


def test_a_file_keeps_who_may_read_it(posix: None, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with files.atomic_write(path) as file:
        assert Path(file.name).stat().st_mode & 0o137 == 0
        file.write(b"new")
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_private_file_is_its_owners_from_the_first(posix: None, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with files.atomic_write(tmp_path / "a.key", private=True) as file:
            assert Path(file.name).stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)
    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder"
    with files.atomic_folder(path) as draft:
        (draft / "deep").mkdir()
        (draft / "deep" / "a").write_bytes(b"one")
        assert not path.exists()
    assert (path / "deep" / "a").read_bytes() == b"one"
    with pytest.raises(KeyError), files.atomic_folder(tmp_path / "new" / "other"):
        raise KeyError
    assert list(path.parent.iterdir()) == [path]


def test_a_fault_within_a_folder_is_of_the_place_where_it_would_be(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised, files.atomic_folder(tmp_path / "new") as draft:
        (draft / "a").mkdir()
        files.write_text(draft / "a", "no file can take a folder's place")
    assert str(raised.value).startswith(f"{tmp_path}/new/a: is a folder")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_somebody_elses_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    with files.atomic_folder(path) as draft:  # an empty one holds nothing
        (draft / "mine.json").write_text("1")
    with files.atomic_folder(path, replaces="mine.json") as draft:
        (draft / "mine.json").write_text("2")
    assert (path / "mine.json").read_text() == "2"
    (path / "mine.json").rename(path / "precious")
    for marker in (None, "mine.json"):
        with (
            pytest.raises(InputError, match="folder: exists and can.t be replaced"),
            files.atomic_folder(path, replaces=marker),
        ):
            raise AssertionError("it is refused first")
    assert [one.name for one in path.iterdir()] == ["precious"]
    later = tmp_path / "later"
    with pytest.raises(InputError, match="later: exists and can"), files.atomic_folder(later) as draft:
        (draft / "a").write_text("a")
        later.mkdir()
        (later / "of another process").write_text("b")
    assert [one.name for one in later.iterdir()] == ["of another process"]
    shutil.rmtree(later)
    assert list(tmp_path.iterdir()) == [path]


def test_only_temporary_files_of_the_same_owner_are_leftovers(tmp_path: Path) -> None:
    """Whatever other programs, and other runs, call theirs."""
    (tmp_path / "deep").mkdir()
    names = [".notes.tmp", "deep/.other.tmp", ".tinsmith-b-0123456789abcdef.tmp", ".tinsmith-a-notes.tmp"]
    for name in names:
        (tmp_path / name).write_text("precious")
    left = []
    with files.temporaries_of("a"), files.atomic_write(tmp_path / "deep" / "x") as file:
        left.append(Path(file.name).name)
        Path(file.name).with_name(left[0].replace(left[0][-7:-4], "000")).write_text("of a killed process")
    files.remove_leftovers(tmp_path, "a")
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")) == sorted(
        [*names, "deep", "deep/x"]
    )
    assert left[0].startswith(".tinsmith-a-")


def test_lines_are_added_whole_and_privately(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.jsonl"
    threads = [threading.Thread(target=files.append_line, args=(path, f"{n}" * 9000)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.read_text().splitlines()) == [f"{n}" * 9000 for n in range(8)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("whole\nhal")
    files.append_line(path, "next")
    files.append_line(path, "last")
    assert path.read_text() == "whole\nhal\nnext\nlast\n"


def test_a_full_disk_adds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("whole\n")
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20)); "
        "from tinsmith.system import files; files.append_line(sys.argv[1], 'x' * 100)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert "InputError" in ended.stderr
    assert path.read_text() == "whole\n"


@pytest.mark.parametrize("there", ["other", "link", "folder", "pipe"])
def test_a_file_that_begins_otherwise_is_somebody_elses(there: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    if there == "link":
        (tmp_path / "b").write_text("ours: 1")
    {
        "other": lambda: path.write_text("mine"),
        "link": lambda: path.symlink_to("b"),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
    }[there]()
    with pytest.raises(InputError, match="a: would be replaced, and tinsmith did not write it; move it away"):
        files.check_begins(path, b"ours:")


@pytest.mark.parametrize("text", [None, "", "ours: 1"])
def test_a_file_that_begins_as_ours_may_be_replaced(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "a").write_text(text)
    files.check_begins(tmp_path / "a", b"ours:")
