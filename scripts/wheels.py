"""Looks into a wheel: whether its metadata, its record and its extension are what its name says."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

PLAIN = re.compile(r"[\w.\[\],-]+ ?(?:\(?[<>=!~].+)?")  # a requirement without a marker

BUILD_VERSION = 0x32  # the load command of Mach-O that says which macOS is needed
# By what a platform's tag ends with: the extension, how it begins, where its processor's number stands, and it.
ELF, PE, MACHO = b"\x7fELF\x02\x01", b"MZ", b"\xcf\xfa\xed\xfe"
EXTENSIONS = {
    "linux_x86_64": ("_core.abi3.so", ELF, 18, 62),
    "linux_aarch64": ("_core.abi3.so", ELF, 18, 183),
    "linux_riscv64": ("_core.abi3.so", ELF, 18, 243),
    "win_amd64": ("_core.pyd", PE, None, 0x8664),
    "macosx_arm64": ("_core.abi3.so", MACHO, 4, 0x100000C),
    "macosx_x86_64": ("_core.abi3.so", MACHO, 4, 0x1000007),
}


def check(path: Path, version: str) -> None:
    """Raises ValueError with the first thing that is wrong."""
    name, number, python, abi, tag = path.stem.split("-")
    with zipfile.ZipFile(path) as archive:
        contents = {entry: archive.read(entry) for entry in archive.namelist()}
        if len(contents) != len(archive.namelist()):
            raise ValueError(f"{path.name}: an entry stands twice")
    info = f"{name}-{number}.dist-info"
    if (name, number, python, abi) != ("tinsmith", version, "cp311", "abi3"):
        raise ValueError(f"{path.name}: is not tinsmith-{version}-cp311-abi3")
    for part in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"):
        if f"{info}/{part}" not in contents:
            raise ValueError(f"{path.name}: has no {info}/{part}")
    facts = metadata(path)
    wanted = {
        "Name": "tinsmith",
        "Version": version,
        "Requires-Python": ">=3.11",
        "License-Expression": "Apache-2.0",
    }
    for key, value in wanted.items():
        if facts[key] != value:
            raise ValueError(f"{path.name}: its {key} is {facts[key]}, not {value}")
    if not facts["Summary"] or not str(facts.get_payload()).strip():
        raise ValueError(f"{path.name}: has no summary or no description")
    tags = {
        line.partition(": ")[2] for line in contents[f"{info}/WHEEL"].decode().splitlines() if "Tag:" in line
    }
    if not all(f"{python}-{abi}-{one}" in tags for one in tag.split(".")):
        raise ValueError(f"{path.name}: its WHEEL says {', '.join(sorted(tags))}")
    _check_record(path.name, contents, f"{info}/RECORD")
    _check_extension(path.name, contents, tag)


def metadata(path: Path) -> Message:
    with zipfile.ZipFile(path) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode("utf-8"))


def requirements(path: Path) -> list[str]:
    """What a wheel needs without extras."""
    needs = [str(one) for one in metadata(path).get_all("Requires-Dist", [])]
    needed = [one for one in needs if "extra ==" not in one]
    for one in needed:
        if not PLAIN.fullmatch(one) or ";" in one:
            raise ValueError(f"{path.name}: needs {one!r}, which is not understood here")
    return needed


def _check_record(name: str, contents: dict[str, bytes], record: str) -> None:
    listed = dict(line.partition(",")[::2] for line in contents[record].decode().splitlines())
    if listed.keys() != contents.keys():
        raise ValueError(
            f"{name}: its RECORD does not list {', '.join(sorted(listed.keys() ^ contents.keys()))}"
        )
    for entry, data in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        if entry != record and listed[entry] != f"sha256={digest},{len(data)}":
            raise ValueError(f"{name}: {entry} is not what its RECORD says")


def _check_extension(name: str, contents: dict[str, bytes], tag: str) -> None:
    plain = re.sub(r"^(?:manylinux_\d+_\d+|musllinux_\d+_\d+|linux)_", "linux_", tag.split(".")[0])
    plain = re.sub(r"^macosx_\d+_\d+_", "macosx_", plain)
    file, magic = EXTENSIONS[plain][:2]
    cores = [one for one in contents if re.match(r"tinsmith/_core\.(?!pyi)", one)]
    if cores != [f"tinsmith/{file}"]:
        raise ValueError(f"{name}: has the extensions {cores}, not tinsmith/{file}")
    data = contents[cores[0]]
    if not is_for(data, plain):
        raise ValueError(f"{name}: {file} is for another machine than {tag}")
    if b"PyInit__core" not in data:
        raise ValueError(f"{name}: {file} is no extension of Python")
    needed = _system(data, magic)
    if not tag.startswith("linux_") and needed > _numbers(
        tag
    ):  # that tag is for one machine, and promises nothing
        raise ValueError(f"{name}: {file} needs {'.'.join(map(str, needed))} of its system, more than {tag}")


def is_for(data: bytes, machine: str) -> bool:
    """Whether machine code, by its header, is for the system and processor of a key of EXTENSIONS."""
    _, magic, place, processor = EXTENSIONS[machine]
    if place is None:  # where the header stands is written at 0x3c
        place = struct.unpack_from("<I", data, 0x3C)[0] + 4
    return data.startswith(magic) and struct.unpack_from("<I" if magic == MACHO else "<H", data, place) == (
        processor,
    )


def _numbers(tag: str) -> tuple[int, ...]:
    """The version of the system that a tag names: of glibc, of macOS; none of others."""
    match = re.match(r"(?:manylinux|macosx)_(\d+)_(\d+)_", tag)
    return tuple(map(int, match.groups())) if match else ()


def _system(data: bytes, magic: bytes) -> tuple[int, ...]:
    """The version of the system that an extension needs."""
    if magic == ELF:
        return max((tuple(map(int, one)) for one in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", data)), default=())
    if magic != MACHO:
        return ()
    (count,) = struct.unpack_from("<I", data, 16)
    at = 32
    for _ in range(count):
        command, size = struct.unpack_from("<II", data, at)
        if command == BUILD_VERSION:
            (least,) = struct.unpack_from("<I", data, at + 12)
            return least >> 16, least >> 8 & 255
        at += size
    raise ValueError("an extension for macOS does not say which it needs")
