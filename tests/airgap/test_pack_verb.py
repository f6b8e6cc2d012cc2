"""tinsmith pack: what is in the folder and the tar file, and that they are always the same."""

from __future__ import annotations

import filecmp
import hashlib
import json
import shutil
import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tinsmith import airgap, cli
from tinsmith.airgap import proof
from tinsmith.errors import InputError
from tinsmith.formats import minisign
from tinsmith.formats.tin import Tin
from tinsmith.runtime import load
from tinsmith.system.progress import PlainDisplay


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_the_folder_has_it_all_and_the_digests_of_it(packed: Path, tin: Path) -> None:
    held = files(packed)
    sums = held.pop("SHA256SUMS").decode()
    held.pop("SHA256SUMS.minisig")
    assert sums == "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(held.items())
    )
    entries = Tin(tin)
    assert held["tiny.tin"] == tin.read_bytes()
    assert (
        json.loads(held["sbom.cdx.json"]).items() >= json.loads(bytes(entries.entry("sbom.cdx.json"))).items()
    )
    assert held["LICENSES/model/data.txt"] == entries.entry("LICENSES/data.txt")
    assert held["tiny.tin.minisig"] == Path(f"{tin}.minisig").read_bytes()
    assert b"Apache License" in held["LICENSES/tinsmith.txt"]
    assert held["answer.txt"] == proof.answer(load(tin), held["prompt.txt"].decode())
    assert hashlib.sha256(held["tiny.tin"]).hexdigest() in held["GUIDE.md"].decode()


def test_the_tar_file_is_the_folder_and_says_nothing_of_when_and_who(packed: Path, tmp_path: Path) -> None:
    with tarfile.open(packed.with_name("tiny-pack.tar")) as archive:
        members = archive.getmembers()
        archive.extractall(tmp_path)
    assert files(tmp_path / "tiny-pack") == files(packed)
    assert [member.name for member in members] == sorted(member.name for member in members)
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "", "")}
    assert (tmp_path / "tiny-pack/install.py").stat().st_mode & stat.S_IXUSR


def test_minisign_verifies_the_folder(packed: Path, run: Callable) -> None:
    """minisign itself, as GUIDE.md says; and the tin's own signature."""
    if shutil.which("minisign") is None:
        pytest.skip("minisign is not installed")
    done = run("minisign", "-Vm", packed / "SHA256SUMS", "-p", packed / "key.pub")
    assert done.returncode == 0, done.stderr
    assert "tiny.tin for host" in done.stdout
    assert (
        minisign.require(packed / "tiny.tin", Tin(packed / "tiny.tin"), packed / "key.pub") == "file:tiny.tin"
    )


def test_an_unsigned_folder_says_so(unsigned: Path) -> None:
    assert not (unsigned / "SHA256SUMS.minisig").exists()
    assert not (unsigned / "key.pub").exists()
    assert "Nobody signed" in (unsigned / "GUIDE.md").read_text()


def test_the_same_tin_and_key_give_the_same_bytes(
    packed: Path, tin: Path, secret: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = (packed / "prompt.txt").read_text()
    out = tmp_path / "new" / "tiny-pack"
    assert cli.main(["pack", str(tin), "--out", str(out), "--prompt", prompt, "--key", str(secret)]) == 0
    assert capsys.readouterr().out.split() == [str(out), f"{out}.tar"]
    assert filecmp.cmp(packed.with_name("tiny-pack.tar"), f"{out}.tar", shallow=False)


def test_pip_takes_the_wheel(packed: Path, tmp_path: Path, run: Callable) -> None:
    (wheel,) = (packed / "runtime").glob("tinsmith-*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-compile", "--target", tmp_path, wheel]
    assert "click" in run(*pip).stderr
    done = run(*pip, "--find-links", packed / "runtime")
    assert done.returncode == 0, done.stderr
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import click; print(click.__file__)"
    assert run(sys.executable, "-I", "-S", "-c", code).stdout.strip() == str(tmp_path / "click/__init__.py")
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if name.endswith(".so")} == {"tinsmith/_core.abi3.so"}
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import tinsmith; print(tinsmith.__version__)"
    assert run(sys.executable, "-I", "-S", "-c", code).stdout.strip() == airgap.guide.__version__


def test_what_the_wheel_needs_is_there_with_its_licence_and_in_the_bill(packed: Path) -> None:
    (needed,) = (packed / "runtime").glob("*-none-any.whl")
    version = distribution("click").version
    assert needed.name == f"click-{version}-py3-none-any.whl"
    license = (packed / "LICENSES/click.txt").read_text()
    assert "Redistribution and use" in license and "Pallets" in license
    (component,) = json.loads((packed / "sbom.cdx.json").read_text())["components"]
    assert component["purl"] == f"pkg:pypi/click@{version}"
    assert component["licenses"] == [{"license": {"id": "BSD-3-Clause"}}]
    assert component["hashes"][0]["content"] == hashlib.sha256(needed.read_bytes()).hexdigest()


def test_a_runtime_without_what_its_wheel_needs_is_refused(packed: Path, tin: Path, tmp_path: Path) -> None:
    runtime = shutil.copytree(packed / "runtime", tmp_path / "runtime")
    for wheel in runtime.glob("click-*"):
        wheel.unlink()
    with pytest.raises(InputError, match=r"tinsmith's wheel needs click.* is not there"):
        airgap.pack(tin, "host", tmp_path / "out", "hello", None, PlainDisplay(), runtime)
    (runtime / "click-1-py3-none-any.whl").write_bytes(b"PK")
    with pytest.raises(InputError, match="click-1-py3-none-any.whl: no wheel, or a damaged one"):
        airgap.pack(tin, "host", tmp_path / "out", "hello", None, PlainDisplay(), runtime)
    assert not (tmp_path / "out").exists()


def test_what_is_packed_for_another_target_is_given(tin: Path, tmp_path: Path) -> None:
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "image.bin").write_bytes(b"\0")
    folder, _ = airgap.pack(
        tin, "cortex-m55", tmp_path / "out", "hello", None, PlainDisplay(), tmp_path / "runtime"
    )
    assert [path.name for path in (folder / "runtime").iterdir()] == ["image.bin"]
    assert "Cortex-M55" in (folder / "GUIDE.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (["{tmp}/model.gguf", "--unsigned"], "give a .tin"),
        (["{tmp}/none.tin", "--unsigned"], "no such file"),
        (["{tin}", "--unsigned", "--out", "{tmp}"], "exists; remove it"),
        (["{tin}", "--unsigned", "--target", "toaster"], "toaster"),
        (["{tin}", "--unsigned", "--prompt", "two\nlines"], "one line"),
        (["{tin}", "--unsigned", "--runtime", "{tmp}/nothing"], "no files"),
        (["{tmp}/my model.tin", "--unsigned"], "rename it"),
        (["{tin}", "--unsigned", "--out", "{tmp}/$(id)"], "can't be a pack's name"),
        (["{tin}", "--unsigned", "--out", "{tmp}/-rf"], "can't be a pack's name"),
        (["{tin}"], "give one of --key, --unsigned"),
        (["{tin}", "--unsigned", "--key", "{secret}"], "give only one of --key, --unsigned"),
        (["{tin}", "--key", "{tin}"], "no secret key"),
        (["{tmp}/model.tin", "--key", "{secret}"], "tinsmith sign"),
        (["{tmp}/other.tin", "--key", "{secret}"], "signature"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(
    arguments: list[str],
    reported: str,
    tin: Path,
    secret: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("my model.tin", "model.tin", "other.tin"):
        (tmp_path / name).write_bytes(tin.read_bytes())
    other = minisign.SecretKey(b"somebody", bytes(32))
    (tmp_path / "other.tin.minisig").write_text(minisign.sign(tmp_path / "other.tin", other))
    before = sorted(tmp_path.rglob("*"))
    given = [word.format(tmp=tmp_path, tin=tin, secret=secret) for word in arguments]
    assert cli.main(["pack", "--out", str(tmp_path / "out"), *given]) == 2
    error = capsys.readouterr().err
    assert reported in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
