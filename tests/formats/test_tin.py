"""The sealed file against zipfile and unzip, its determinism, and every truncated or flipped byte."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
import zlib
from pathlib import Path

import pytest

from tinsmith.errors import FormatError, TinsmithError
from tinsmith.formats.tin import PAGE, Pieces, Tin, pack_bytes, write

ENTRIES = [
    ("program.bin", bytes(range(256)) * 20),
    ("weights.bin", b"w" * PAGE),
    ("empty.bin", b""),
    ("LICENSES/Apache-2.0.txt", b"text"),
    ("n" * (2 * PAGE - 30 - 3 - PAGE), b"a name that leaves no room for the padding's own header"),
]
MANIFEST = {"name": "home", "metrics": {"exact": 0.5}}


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "home.tin"
    write(path, ENTRIES, MANIFEST)
    return path


def test_zipfile_and_unzip_accept_it(sealed: Path) -> None:
    with zipfile.ZipFile(sealed) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [name for name, _ in ENTRIES] + ["manifest.json"]
        for name, data in ENTRIES:
            assert archive.read(name) == data
    if shutil.which("unzip"):
        subprocess.run(["unzip", "-tq", sealed], check=True, capture_output=True)


def test_reads_back_on_page_boundaries(sealed: Path) -> None:
    tin = Tin(sealed)
    tin.verify()
    assert tin.manifest["name"] == "home"
    assert tin.manifest["metrics"] == {"exact": 0.5}
    whole = sealed.read_bytes()
    for name, data in ENTRIES:
        assert bytes(tin.entry(name)) == data
        if data:
            assert whole.index(data) % PAGE == 0
    with pytest.raises(FormatError, match=r"no entry 'absent'.*program\.bin"):
        tin.entry("absent")


def test_pieces_memory_and_repetition_give_the_same_bytes(sealed: Path, tmp_path: Path) -> None:
    pieces = [(name, Pieces(len(data), iter([data[:7], data[7:]]))) for name, data in ENTRIES]
    write(tmp_path / "pieces.tin", pieces, dict(reversed(MANIFEST.items())))
    image = pack_bytes(ENTRIES, MANIFEST)
    assert sealed.read_bytes() == (tmp_path / "pieces.tin").read_bytes() == bytes(image)
    Tin(image).verify()


def test_every_truncation_is_a_format_error(sealed: Path) -> None:
    whole = sealed.read_bytes()
    for length in range(0, len(whole), 37):
        with pytest.raises(FormatError):
            Tin(whole[:length])
    with pytest.raises(FormatError):
        Tin(whole + b"x")


def test_every_changed_byte_is_found(sealed: Path) -> None:
    """In an entry, a header, the padding or the directory."""
    whole = bytearray(sealed.read_bytes())
    tin = Tin(sealed)
    content = [whole.index(bytes(tin.entry(name))) for name, data in ENTRIES if data]
    for position in content:
        whole[position] ^= 1
        with pytest.raises(FormatError, match="SHA-256"):
            Tin(bytes(whole)).verify()
        whole[position] ^= 1
    for position in [*range(0, 200), *range(200, len(whole), 53), *range(len(whole) - 450, len(whole))]:
        whole[position] ^= 4
        with pytest.raises(TinsmithError) as error:
            Tin(bytes(whole)).verify()
        assert "\n" not in str(error.value)
        whole[position] ^= 4


def test_entries_that_change_places_are_found(tmp_path: Path, sealed: Path) -> None:
    """Their data, names and digests all stay, and so would a manifest that listed no more than those."""
    write(tmp_path / "swapped.tin", [ENTRIES[1], ENTRIES[0], *ENTRIES[2:]], MANIFEST)
    swapped, old = Tin(tmp_path / "swapped.tin"), Tin(sealed)
    manifest, theirs = bytes(old.entry("manifest.json")), bytes(swapped.entry("manifest.json"))
    image = bytes(swapped.image).replace(theirs, manifest)
    image = image.replace(zlib.crc32(theirs).to_bytes(4, "little"), zlib.crc32(manifest).to_bytes(4, "little"))
    with pytest.raises(FormatError, match="not the one that the manifest lists"):
        Tin(image).verify()


def test_an_entry_added_later_is_found(sealed: Path) -> None:
    with zipfile.ZipFile(sealed, "a") as archive:
        archive.writestr("extra.bin", b"")
    with pytest.raises(FormatError):
        Tin(sealed).verify()


@pytest.mark.parametrize("name", ["manifest.json", "../up", "/root", "a//b", "", "umlaut-ä", "program.bin"])
def test_bad_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match="can't be sealed"):
        write(tmp_path / "bad.tin", [("program.bin", b""), (name, b"")], {})
    assert not list(tmp_path.iterdir())


def test_another_zip_is_no_tin(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a", b"a")
    with pytest.raises(FormatError, match=r"other\.zip"):
        Tin(tmp_path / "other.zip")


def test_entries_may_follow_from_those_before(sealed: Path, tmp_path: Path) -> None:
    """What is made from the draft's map follows it, and leaves no trace of the draft."""
    first, rest = ENTRIES[:1], ENTRIES[1:]

    def more(image: memoryview) -> list[tuple[str, bytes]]:
        draft = Tin(image)
        assert draft.names == [ENTRIES[0][0], "manifest.json"]
        draft.verify()
        return rest

    write(tmp_path / "grown.tin", first, MANIFEST, more)
    assert (tmp_path / "grown.tin").read_bytes() == sealed.read_bytes()


def test_pieces_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="'a.bin' was given 3 bytes of 4"):
        write(tmp_path / "short.tin", [("a.bin", Pieces(4, [b"abc"]))], {})
    assert not list(tmp_path.iterdir())
