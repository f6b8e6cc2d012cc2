"""What a release is made sure of, and the script that makes one, for this machine alone."""

from __future__ import annotations

import hashlib
import platform
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest
import release
import wheels

import tinsmith
from tinsmith.cross import wheel

ROOT = Path(__file__).parents[1]
VERSION = tinsmith.__version__
# What is looked at in an extension: its beginning, its processor, and its entry.
ELF = b"\x7fELF\x02\x01".ljust(18, b"\0") + struct.pack("<H", 62) + b"PyInit__core"
PE = (
    b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + b"PE\0\0" + struct.pack("<H", 0x8664) + b"PyInit__core"
)


def macho(major: int) -> bytes:
    """With the load command that says which macOS it needs, behind another."""
    head = b"\xcf\xfa\xed\xfe" + struct.pack("<7I", 0x100000C, 0, 6, 2, 32, 0, 0)
    return (
        head + struct.pack("<2I", 2, 8) + struct.pack("<6I", 0x32, 24, 1, major << 16, 0, 0) + b"PyInit__core"
    )


MACHO = macho(11)


def written(folder: Path, tag: str, data: bytes, name: str = "_core.abi3.so") -> Path:
    (folder / name).write_bytes(data)
    return wheel.write(folder / name, tag, folder)


@pytest.mark.parametrize(
    ("tag", "data", "name"),
    [
        ("manylinux_2_17_x86_64", ELF + b"\0GLIBC_2.17\0GLIBC_2.3.4\0", "_core.abi3.so"),
        ("linux_x86_64", ELF + b"\0GLIBC_2.34\0", "_core.abi3.so"),
        ("musllinux_1_2_x86_64", ELF, "_core.abi3.so"),
        ("win_amd64", PE, "_core.pyd"),
        ("macosx_11_0_arm64", MACHO, "_core.abi3.so"),
    ],
)
def test_a_sound_wheel_passes(tag: str, data: bytes, name: str, tmp_path: Path) -> None:
    wheels.check(written(tmp_path, tag, data, name), VERSION)


@pytest.mark.parametrize(
    ("tag", "data", "name", "why"),
    [
        ("manylinux_2_17_aarch64", ELF, "_core.abi3.so", "for another machine"),
        ("manylinux_2_17_x86_64", MACHO, "_core.abi3.so", "for another machine"),
        ("macosx_11_0_x86_64", MACHO, "_core.abi3.so", "for another machine"),
        ("win_amd64", PE, "_core.abi3.so", "has the extensions"),
        ("manylinux_2_17_x86_64", ELF[:20], "_core.abi3.so", "no extension of Python"),
        ("manylinux_2_17_x86_64", ELF + b"\0GLIBC_2.30\0", "_core.abi3.so", "needs 2.30 of its system"),
        ("musllinux_1_2_x86_64", ELF + b"\0GLIBC_2.4\0", "_core.abi3.so", "needs 2.4 of its system"),
        ("macosx_11_0_arm64", macho(15), "_core.abi3.so", "needs 15.0 of its system"),
    ],
)
def test_an_extension_that_is_not_the_tags_is_found(
    tag: str, data: bytes, name: str, why: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=why):
        wheels.check(written(tmp_path, tag, data, name), VERSION)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("tinsmith/errors.py", "is not what its RECORD says"),
        ("METADATA", "its Version is"),
        ("WHEEL", "its WHEEL says"),
        ("RECORD", "does not list"),
    ],
)
def test_a_changed_wheel_is_found(entry: str, why: str, tmp_path: Path) -> None:
    sound = written(tmp_path, "manylinux_2_17_x86_64", ELF)
    (tmp_path / "changed").mkdir()
    changed = tmp_path / "changed" / sound.name
    with zipfile.ZipFile(sound) as archive, zipfile.ZipFile(changed, "w") as other:
        for name in archive.namelist():
            data = archive.read(name)
            if name.endswith(entry):
                data = data.replace(f"Version: {VERSION}".encode(), b"Version: 9.9").replace(b"x86_64", b"i686")
                data = data.replace(b"tinsmith/errors.py,", b"tinsmith/error.py,") + b" "
            other.writestr(name, data)
    with pytest.raises(ValueError, match=why):
        wheels.check(changed, VERSION)
    with pytest.raises(ValueError, match="is not tinsmith-9.9"):
        wheels.check(sound, "9.9")


def test_what_is_not_ready_is_refused(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *who, "-C", tmp_path, *arguments], check=True, capture_output=True)

    git("init")
    changes = tmp_path / "CHANGELOG.md"
    changes.write_text("# Changelog\n\n## Next\n- new\n\n## 1.2.3\n")
    git("add", ".")
    git("commit", "-m", "one")
    assert release.faults(tmp_path, "1.2.3") == [
        "CHANGELOG.md begins with 'Next', not with 1.2.3: what is new in it?"
    ]
    changes.write_text("# Changelog\n\n## 1.2.3\n- new\n")
    (fault,) = release.faults(tmp_path, "1.2.3")
    assert "not committed" in fault and "CHANGELOG.md" in fault
    git("commit", "-a", "-m", "two")
    assert release.faults(tmp_path, "1.2.3") == []
    (fault,) = release.faults(tmp_path, "1.2.4")
    assert "not with 1.2.4" in fault


@pytest.mark.slow
def test_a_release_for_this_machine(tmp_path: Path) -> None:
    name, tag = f"linux-{platform.machine()}", f"manylinux_2_17_{platform.machine()}"
    command = [ROOT / "scripts" / "release", "--rehearse", "--only", name, "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    archives = {f"libtin-{VERSION}-{name}.zip", f"libtin-{VERSION}-wasm32.zip", f"tinsmith-docs-{VERSION}.zip"}
    built = {
        f"tinsmith-{VERSION}-cp311-abi3-{tag}.whl",
        f"tinsmith-{VERSION}.tar.gz",
        f"tin-{VERSION}.zip",
        *archives,
    }
    table = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert table.keys() == built
    assert "installed in a fresh venv, proves a .tin" in table[f"tinsmith-{VERSION}-cp311-abi3-{tag}.whl"]
    sums = dict(line.split("  ")[::-1] for line in (tmp_path / "out" / "SHA256SUMS").read_text().splitlines())
    assert sums == {one: hashlib.sha256((tmp_path / "out" / one).read_bytes()).hexdigest() for one in built}
    assert "a program links it here" in table[f"libtin-{VERSION}-{name}.zip"]
    with zipfile.ZipFile(tmp_path / "out" / f"libtin-{VERSION}-{name}.zip") as archive:
        names = {
            "include/tin.h",
            "include/tin_host.h",
            "lib/libtin.a",
            "lib/libtin.so",
            "lib/libtinhost.so",
            "bin/tin",
        }
        assert {*archive.namelist()} == names | {"LICENSE"}
    if minisign := shutil.which("minisign"):
        check = [minisign, "-V", "-p", "tinsmith.pub", "-m", "SHA256SUMS"]
        assert subprocess.run(check, cwd=tmp_path / "out", capture_output=True).returncode == 0
    # It is not written over.
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 1 and "has files in it" in again.stderr
