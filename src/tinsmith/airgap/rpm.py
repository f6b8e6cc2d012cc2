"""RPM packages: https://rpm-software-management.github.io/rpm/manual/format_v4.html and format_header.html.

A package is a lead with its name, a header of signatures, a header of metadata, and the files as a cpio
archive. A header is a table of tagged values followed by their bytes, all big-endian.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import struct
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from tinsmith.airgap import tar
from tinsmith.airgap.openpgp import Signer
from tinsmith.airgap.packages import Layout, Package
from tinsmith.airgap.tar import Source
from tinsmith.system import names as file_names

LAYOUT = Layout("usr/lib64", "usr/lib/tinsmith")
KEY = "site.asc"
RELEASE = "1"
_ARCHS = {"x86_64": 1, "aarch64": 19, "riscv64": 22}  # the lead's numbers, which no current rpm reads
_MAGIC = bytes.fromhex("8eade80100000000")
_SIGNATURES, _IMMUTABLE = 62, 63  # regions that cover a whole header
_INT16, _INT32, _TEXT, _BYTES, _TEXTS, _I18N = 3, 4, 6, 7, 8, 9
_WIDTH = {_INT16: 2, _INT32: 4}
_SHORT, _TRANSLATED = (1030, 1033), (1004, 1005, 1016)  # tags whose type does not follow from their value
_EQUAL, _AT_LEAST, _RPMLIB = 8, 12, 0x0100000A
_SHA256 = 8
_PIECE = 1 << 20  # bytes written at once, which shape gzip's stored blocks
# Folders of the system, which no package owns.
_SYSTEM = {
    *("usr", "usr/bin", "usr/include", "usr/lib", "usr/lib64", "usr/lib64/pkgconfig", "usr/share"),
    "usr/share/licenses",
}
Value = int | str | bytes | Sequence[int] | Sequence[str]
Tags = dict[int, Value]


def packages(made: Iterable[Package], machine: str, folder: Path, signer: Signer | None) -> dict[str, Source]:
    """Writes the packages into the folder. Returns the files by name, public key included."""
    files: dict[str, Source] = {}
    for package in made:
        path = folder / f"{package.name}-{package.version}-{RELEASE}.{package.arch or 'noarch'}.rpm"
        with path.open("wb") as file:
            write(package, machine, file, signer)
        files[path.name] = path
    if signer:
        files[KEY] = signer.public("--armor")
    return files


def write(package: Package, machine: str, file: BinaryIO, signer: Signer | None) -> None:
    files = {**package.files, f"usr/share/licenses/{package.name}/LICENSE": package.terms}
    file_names.check(files, package.name)
    names = sorted([*(one for one in tar.folders(files) if one not in _SYSTEM), *files])
    with tempfile.TemporaryFile() as payload:
        stored = any(name.endswith(".tin") for name in names)  # weights do not compress
        with gzip.GzipFile("", "wb", 0 if stored else 9, payload, mtime=0) as packed:
            _write_cpio(names, files, packed)
        packed_size = payload.tell()
        payload.seek(0)
        with gzip.GzipFile(fileobj=payload) as unpacked:
            plain = hashlib.file_digest(unpacked, "sha256").hexdigest()
            size = unpacked.tell()
        payload.seek(0)
        digest = hashlib.file_digest(payload, "sha256").hexdigest()
        stored_as: Tags = {1124: "cpio", 1125: "gzip", 1126: "9", 5092: [digest], 5093: _SHA256, 5097: [plain]}
        header = _header(_package_tags(package) | _file_tags(names, files) | stored_as, _IMMUTABLE)
        # The header, which has the payload's digest, is signed.
        signed: Tags = {273: hashlib.sha256(header).hexdigest(), 1000: len(header) + packed_size, 1007: size}
        if signer:
            signed[268 if signer.is_rsa else 267] = signer.sign(header, "--detach-sign")
        signatures = _header(signed, _SIGNATURES)
        file.write(_lead(package, machine) + signatures + bytes(-len(signatures) % 8) + header)
        payload.seek(0)
        shutil.copyfileobj(payload, file)


def _write_cpio(names: Sequence[str], files: dict[str, Source], out: gzip.GzipFile) -> None:
    """The archive in cpio's newc format."""
    for inode, name in enumerate(names, 1):
        source = files.get(name, b"")
        size = tar.size(source)
        _entry(out, f"./{name}", inode, _mode(name, files), size)
        with tar.opened(source) as data:
            shutil.copyfileobj(data, out, _PIECE)
        out.write(bytes(-size % 4))
    _entry(out, "TRAILER!!!", 0, 0, 0)


def _entry(out: gzip.GzipFile, name: str, inode: int, mode: int, size: int) -> None:
    encoded = name.encode()
    numbers = (inode, mode, 0, 0, 1, tar.epoch() if mode else 0, size, 0, 0, 0, 0, len(encoded) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % number for number in numbers) + encoded + b"\0"
    out.write(head + bytes(-len(head) % 4))


def _mode(name: str, files: dict[str, Source]) -> int:
    return 0o100000 | tar.mode(name) if name in files else 0o40000 | tar.PROGRAM


def _lead(package: Package, machine: str) -> bytes:
    name = f"{package.name}-{package.version}-{RELEASE}".encode()[:65]
    return struct.pack(">4sBBHH66sHH16x", b"\xed\xab\xee\xdb", 3, 0, 0, _ARCHS.get(machine, 0), name, 1, 5)


def _package_tags(package: Package) -> Tags:
    """Name, version, description and dependencies."""
    needs = [
        ("rpmlib(CompressedFileNames)", "3.0.4-1", _RPMLIB),
        ("rpmlib(FileDigests)", "4.6.0-1", _RPMLIB),
        ("rpmlib(PayloadFilesHavePrefix)", "4.0-1", _RPMLIB),
    ]
    if package.libc:
        needs.append((f"libc.so.6(GLIBC_{package.libc})(64bit)", "", 0))
    if package.is_python:
        needs.append(("python3", "3.11", _AT_LEAST))
    count = len(package.conflicts)
    conflicts: Tags = {1053: [0] * count, 1054: package.conflicts, 1055: [""] * count}
    return {
        100: ["C"],
        1000: package.name,
        1001: package.version,
        1002: RELEASE,
        1004: [package.summary],
        1005: [package.text],
        1006: tar.epoch(),
        1007: "localhost",
        1014: package.license,
        1016: ["Unspecified"],
        1021: "linux",
        1022: package.arch or "noarch",
        1044: f"{package.name}-{package.version}-{RELEASE}.src.rpm",
        1047: [package.name],
        1112: [_EQUAL],
        1113: [f"{package.version}-{RELEASE}"],
        1048: [flags for _, _, flags in needs],
        1049: [name for name, _, _ in needs],
        1050: [version for _, version, _ in needs],
        5062: "utf-8",
        **(conflicts if count else {}),
    }


def _file_tags(names: Sequence[str], files: dict[str, Source]) -> Tags:
    """One value a file in each list."""
    count = len(names)
    parents = [f"/{Path(name).parent.as_posix()}/".replace("/./", "/") for name in names]
    folders = sorted(set(parents))
    sizes = [tar.size(files.get(name, b"")) for name in names]
    return {
        1009: sum(sizes),
        1028: sizes,
        1030: [_mode(name, files) for name in names],
        1033: [0] * count,
        1034: [tar.epoch()] * count,
        1035: [tar.digest(files[name], hashlib.sha256) if name in files else "" for name in names],
        1036: [""] * count,
        1037: [128 if name.startswith("usr/share/licenses/") else 0 for name in names],
        1039: ["root"] * count,
        1040: ["root"] * count,
        1045: [0xFFFFFFFF] * count,
        1095: [1] * count,
        1096: list(range(1, count + 1)),
        1097: [""] * count,
        1116: [folders.index(parent) for parent in parents],
        1117: [Path(name).name for name in names],
        1118: folders,
        5011: _SHA256,
    }


def _header(tags: Tags, region: int) -> bytes:
    """The tags in order, in one region."""
    table, store = b"", b""
    for tag, value in sorted(tags.items()):
        kind, data, count = _packed(tag, value)
        store += bytes(-len(store) % _WIDTH.get(kind, 1))
        table += struct.pack(">IIII", tag, kind, len(store), count)
        store += data
    count = len(tags) + 1
    table = struct.pack(">IIII", region, _BYTES, len(store), 16) + table
    store += struct.pack(">IIiI", region, _BYTES, -16 * count, 16)
    return _MAGIC + struct.pack(">II", count, len(store)) + table + store


def _packed(tag: int, value: Value) -> tuple[int, bytes, int]:
    """A value's type, bytes and number of elements."""
    if isinstance(value, bytes):
        return _BYTES, value, len(value)
    many = [value] if isinstance(value, int | str) else value
    if isinstance(many[0], int):
        kind, letter = (_INT16, "H") if tag in _SHORT else (_INT32, "I")
        return kind, struct.pack(f">{len(many)}{letter}", *cast(Sequence[int], many)), len(many)
    kind = _I18N if tag in _TRANSLATED else _TEXT if isinstance(value, str) else _TEXTS
    return kind, b"".join(str(one).encode() + b"\0" for one in many), len(many)
