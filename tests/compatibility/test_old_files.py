"""This version gives the digests and tokens that the files of each released version gave, or refuses the files
and says what to do: docs/compatibility.md."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import struct
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tinsmith
from tinsmith import cli
from tinsmith.errors import FormatError, RuntimeFault
from tinsmith.formats.tin import VERSION as TIN_VERSION
from tinsmith.formats.tin import Tin, rewrite

HERE = Path(__file__).parent
VERSIONS = sorted(path.name.removesuffix(".tar.xz") for path in (HERE / "files").iterdir())
MOST = 300_000  # bytes of all files


def _maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compatibility_make", HERE / "make.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = _maker()


@pytest.fixture(scope="module", params=VERSIONS)
def version(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with a version's files."""
    return unpacked(request.param, tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(VERSIONS[-1], tmp_path_factory.mktemp("newest"))


def unpacked(name: str, folder: Path) -> Path:
    with tarfile.open(HERE / "files" / f"{name}.tar.xz") as archive:
        archive.extractall(folder)
    return folder


def expected(folder: Path) -> dict[str, Any]:
    recorded: dict[str, Any] = json.loads((folder / "expected.json").read_text())
    return recorded


def tins(folder: Path) -> dict[str, Path]:
    """By their names in expected.json."""
    return {"run": folder / "run" / "home-q8_0.tin", "recurrent": folder / "recurrent.tin"}


def of_version_1(data: Any) -> bytes:
    """A part with the version number after its magic of 4 or 8 bytes set to 1."""
    at = 8 if bytes(data[:3]) == b"TIN" else 4
    return bytes(data[:at]) + struct.pack("<I", 1) + bytes(data[at + 4 :])


def test_the_files_are_small() -> None:
    assert sum(path.stat().st_size for path in (HERE / "files").iterdir()) < MOST


def test_the_tins_give_the_same_answers(version: Path) -> None:
    for kind, path in tins(version).items():
        assert MAKER.answers(path) == expected(version)[kind]


def test_the_tins_verify(version: Path) -> None:
    for path in tins(version).values():
        Tin(path).verify()
        MAKER.session_of(tinsmith.load(path)).selftest()


@pytest.mark.parametrize("part", ["program.bin", "tokenizer.bin"])
def test_a_tin_with_an_older_part_is_refused(part: str, newest: Path, tmp_path: Path) -> None:
    path, source = tmp_path / "old.tin", tins(newest)["run"]
    rewrite(source, path, {part: of_version_1(Tin(source).entry(part))}, {})
    said = f"{part} was written by version 1; this runtime reads 2; build it again: tinsmith build RECIPE"
    with pytest.raises(FormatError, match=re.escape(f"{path}: ") + ".*" + re.escape(said)):
        tinsmith.load(path)


def test_saved_sessions_continue(version: Path) -> None:
    for kind, path in tins(version).items():
        session = MAKER.session_of(tinsmith.load(path, threads=1))
        session.restore((version / f"{kind}.session").read_bytes())
        key = "session" if kind == "run" else f"{kind}_session"
        assert MAKER.continued(session) == expected(version)[key]


def test_an_older_session_is_refused(newest: Path) -> None:
    session = MAKER.session_of(tinsmith.load(tins(newest)["run"]))
    with pytest.raises(RuntimeFault, match=r"session was written by version 1; this runtime reads 4; append"):
        session.restore(of_version_1((newest / "run.session").read_bytes()))


def test_a_run_is_brought_up_to_date_without_training_again(
    version: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The merged and quantized adapter gives what its own version gave."""
    folder = shutil.copytree(version, tmp_path / "again")
    monkeypatch.chdir(folder)
    adapter = (folder / "run" / "adapter" / "adapter_model.safetensors").read_bytes()
    assert cli.main(["build", "home.toml", "--out", "run"]) == 0
    assert "train: up to date" in capsys.readouterr().err
    assert (folder / "run" / "adapter" / "adapter_model.safetensors").read_bytes() == adapter
    assert MAKER.merged_digest(folder / "run" / "merged") == expected(folder)["merged"]
    assert MAKER.answers(tins(folder)["run"]) == expected(folder)["run"]


def test_the_page_states_the_versions_that_are_read() -> None:
    root = HERE.parents[1]
    sources = "".join(path.read_text("utf-8") for path in (root / "kernels" / "core").rglob("*.[ch]"))
    matches = re.findall(r"#define (TINI_\w+_VERSION) (\d+)u|\b(SAVED_VERSION) = (\d+)", sources)
    numbers = {macro or saved: int(one or other) for macro, one, saved, other in matches}
    assert len(numbers) == 12
    page = (root / "docs" / "compatibility.md").read_text("utf-8")
    stated = {name: int(number) for name, number in re.findall(r"^\| `(\w*VERSION)` \| (\d+) \|", page, re.M)}
    assert stated == {**numbers, "VERSION": TIN_VERSION}
