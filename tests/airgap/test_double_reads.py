"""Signed bytes are read once: whoever gives other bytes at a second reading (another process, a share, a bad
stick) changes nothing of what is checked and used."""

from __future__ import annotations

import builtins
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tinsmith import cli
from tinsmith.airgap import install, proof
from tinsmith.formats import minisign

KEY = minisign.SecretKey(b"tinsmith", bytes(range(32)))
Changing = Callable[[Path, bytes], list[str]]


@pytest.fixture
def changing(monkeypatch: pytest.MonkeyPatch) -> Changing:
    """Has a file be another one from its second opening on. Returns how it was opened."""

    def watch(path: Path, later: bytes) -> list[str]:
        opened: list[str] = []
        real = io.open

        def opening(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
            if isinstance(file, str | Path) and Path(file).absolute() == path.absolute():
                opened.append(mode)
                if len(opened) == 2:
                    draft = path.with_name(f"{path.name}.later")
                    with real(draft, "wb") as changed:
                        changed.write(later)
                    os.replace(draft, path)  # noqa: PTH105
            return real(file, mode, *rest, **more)

        monkeypatch.setattr(io, "open", opening)
        monkeypatch.setattr(builtins, "open", opening)
        return opened

    return watch


@pytest.fixture
def pack(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "pack"))


def refuses(folder: Path) -> bool:
    try:
        install.check(folder, KEY.public, unsigned=False)
    except install.Refused:
        return True
    return False


@pytest.mark.parametrize("first", ["honest", "evil"])
def test_a_list_of_digests_that_changes_passes_for_no_changed_file(
    first: str, pack: Path, changing: Changing, resealed: Callable[[Path], None]
) -> None:
    """Whichever of the two lists comes first: prompt.txt is not what its maker signed."""
    honest = (pack / "SHA256SUMS").read_bytes()
    (pack / "prompt.txt").write_bytes(b"evil")
    resealed(pack)
    evil = (pack / "SHA256SUMS").read_bytes()
    begins, later = (honest, evil) if first == "honest" else (evil, honest)
    (pack / "SHA256SUMS").write_bytes(begins)
    changing(pack / "SHA256SUMS", later)
    assert refuses(pack)


@pytest.mark.parametrize("name", ["SHA256SUMS", "SHA256SUMS.minisig"])
def test_the_installer_reads_what_it_verifies_once(name: str, pack: Path, changing: Changing) -> None:
    opened = changing(pack / name, b"evil")
    assert not refuses(pack)
    assert opened == ["rb"]


@pytest.mark.parametrize("name", ["prompt.txt", "answer.txt", "tiny.tin", "tiny.tin.minisig", "key.pub"])
def test_what_is_installed_and_used_is_what_was_signed(
    name: str, pack: Path, changing: Changing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file changes after it was checked: it is refused, or its honest bytes are installed."""
    honest = (pack / name).read_bytes()
    changing(pack / name, b"evil")
    monkeypatch.setattr(install, "unpack", lambda data, site: None)
    try:
        sums, _ = install.check(pack, None, unsigned=False)
        wheel = install.wheel_of(sums)
        assert wheel is not None
        _, proved = install.install(pack, sums, wheel, tmp_path / "into")
    except install.Refused as refused:
        assert name in str(refused)
        return
    assert proved.with_name(name).read_bytes() == honest


def test_the_key_that_is_shown_is_the_one_that_signed(pack: Path, changing: Changing, capsys: Any) -> None:
    other = minisign.SecretKey(b"tinsmith", bytes(range(1, 33)))
    changing(pack / "key.pub", f"untrusted comment: k\n{other.public}\n".encode())
    try:
        _, line = install.check(pack, None, unsigned=False)
    except install.Refused:
        return
    assert line == KEY.public and other.public not in capsys.readouterr().out


@pytest.fixture
def signed(tin: Path, tmp_path: Path) -> Path:
    for name in (tin.name, f"{tin.name}.minisig"):
        shutil.copy(tin.with_name(name), tmp_path / name)
    return tmp_path / tin.name


def loads(path: Path) -> None:
    model = tinsmith.load(path, key=KEY.public)
    assert model.generate([1, 2], max_tokens=2).token_ids
    assert minisign.require("", model.tin, KEY.public, path.with_name(f"{path.name}.minisig")) and model.digest


def verifies(path: Path) -> None:
    assert cli.main(["verify", str(path), "--key", KEY.public, "--json"]) == 0


def signs(path: Path) -> None:
    assert minisign.sign(path, KEY) == path.with_name(f"{path.name}.minisig").read_text()


def proves(path: Path) -> None:
    beside = path.parent
    (beside / "prompt.txt").write_text("hi")
    (beside / "answer.txt").write_bytes(b"")
    with pytest.raises(SystemExit, match="it answers"):
        proof.main(str(beside), str(path))


@pytest.mark.parametrize("use", [loads, verifies, proves, signs])
def test_a_signed_model_is_read_once(use: Callable[[Path], None], signed: Path, changing: Changing) -> None:
    opened = changing(signed, b"evil" * 5000)
    use(signed)
    assert opened == ["rb"]
