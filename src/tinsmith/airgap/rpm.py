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
_EQUAL, _AT_LEAST, _RPMLIB = 8, 12, 0x0100000A
_SHA256 = 8
_PIECE = 1 << 20  # bytes written at once, which shape gzip's stored blocks
# Folders of the system, which no package owns.
_SYSTEM = {
    *("usr", "usr/bin", "usr/include", "usr/lib", "usr/lib64", "usr/lib64/pkgconfig", "usr/share"),
    "usr/share/licenses",
}
Value = int | str | bytes | Sequence[int] | Sequence[str]
Entry = tuple[int, int, Value]  # tag, type, value


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
        facts = [*_package_tags(package), *_file_tags(names, files), *_payload_tags(digest, plain)]
        header = _header(facts, _IMMUTABLE)
        file.write(_lead(package, machine))
        signatures = _header(_signatures(header, packed_size, size, signer), _SIGNATURES)
        file.write(signatures + bytes(-len(signatures) % 8) + header)
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


def _package_tags(package: Package) -> list[Entry]:
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
    conflicts: list[Entry] = [
        (1053, _INT32, [0] * count),
        (1054, _TEXTS, package.conflicts),
        (1055, _TEXTS, [""] * count),
    ]
    return [
        (100, _TEXTS, ["C"]),
        (1000, _TEXT, package.name),
        (1001, _TEXT, package.version),
        (1002, _TEXT, RELEASE),
        (1004, _I18N, [package.summary]),
        (1005, _I18N, [package.text]),
        (1006, _INT32, tar.epoch()),
        (1007, _TEXT, "localhost"),
        (1014, _TEXT, package.license),
        (1016, _I18N, ["Unspecified"]),
        (1021, _TEXT, "linux"),
        (1022, _TEXT, package.arch or "noarch"),
        (1044, _TEXT, f"{package.name}-{package.version}-{RELEASE}.src.rpm"),
        (1047, _TEXTS, [package.name]),
        (1112, _INT32, [_EQUAL]),
        (1113, _TEXTS, [f"{package.version}-{RELEASE}"]),
        (1048, _INT32, [flags for _, _, flags in needs]),
        (1049, _TEXTS, [name for name, _, _ in needs]),
        (1050, _TEXTS, [version for _, version, _ in needs]),
        (5062, _TEXT, "utf-8"),
        *(conflicts if count else []),
    ]


def _file_tags(names: Sequence[str], files: dict[str, Source]) -> list[Entry]:
    """One value a file in each list."""
    count = len(names)
    parents = [f"/{Path(name).parent.as_posix()}/".replace("/./", "/") for name in names]
    folders = sorted(set(parents))
    sizes = [tar.size(files.get(name, b"")) for name in names]
    return [
        (1009, _INT32, sum(sizes)),
        (1028, _INT32, sizes),
        (1030, _INT16, [_mode(name, files) for name in names]),
        (1033, _INT16, [0] * count),
        (1034, _INT32, [tar.epoch()] * count),
        (1035, _TEXTS, [_digest(files[name]) if name in files else "" for name in names]),
        (1036, _TEXTS, [""] * count),
        (1037, _INT32, [128 if name.startswith("usr/share/licenses/") else 0 for name in names]),
        (1039, _TEXTS, ["root"] * count),
        (1040, _TEXTS, ["root"] * count),
        (1045, _INT32, [0xFFFFFFFF] * count),
        (1095, _INT32, [1] * count),
        (1096, _INT32, list(range(1, count + 1))),
        (1097, _TEXTS, [""] * count),
        (1116, _INT32, [folders.index(parent) for parent in parents]),
        (1117, _TEXTS, [Path(name).name for name in names]),
        (1118, _TEXTS, folders),
        (5011, _INT32, _SHA256),
    ]


def _payload_tags(packed: str, plain: str) -> list[Entry]:
    return [
        (1124, _TEXT, "cpio"),
        (1125, _TEXT, "gzip"),
        (1126, _TEXT, "9"),
        (5092, _TEXTS, [packed]),
        (5093, _INT32, _SHA256),
        (5097, _TEXTS, [plain]),
    ]


def _signatures(header: bytes, packed: int, plain: int, signer: Signer | None) -> list[Entry]:
    """packed, plain: sizes of the payload. The header, which has the payload's digest, is signed."""
    entries: list[Entry] = [
        (273, _TEXT, hashlib.sha256(header).hexdigest()),
        (1000, _INT32, len(header) + packed),
        (1007, _INT32, plain),
    ]
    if signer:
        entries.append((268 if signer.is_rsa else 267, _BYTES, signer.sign(header, "--detach-sign")))
    return entries


def _header(entries: Sequence[Entry], region: int) -> bytes:
    """The entries sorted by tag, in one region."""
    table, store = b"", b""
    for tag, kind, value in sorted(entries):
        width = _WIDTH.get(kind, 1)
        store += bytes(-len(store) % width)
        data, count = _packed(kind, value)
        table += struct.pack(">IIII", tag, kind, len(store), count)
        store += data
    count = len(entries) + 1
    table = struct.pack(">IIII", region, _BYTES, len(store), 16) + table
    store += struct.pack(">IIiI", region, _BYTES, -16 * count, 16)
    return _MAGIC + struct.pack(">II", count, len(store)) + table + store


def _packed(kind: int, value: Value) -> tuple[bytes, int]:
    """The encoded value, and its number of elements."""
    if isinstance(value, bytes):
        return value, len(value)
    many = [value] if isinstance(value, int | str) else value
    if kind in _WIDTH:
        letter = "H" if kind == _INT16 else "I"
        return struct.pack(f">{len(many)}{letter}", *cast(Sequence[int], many)), len(many)
    return b"".join(str(one).encode() + b"\0" for one in many), len(many)


def _digest(source: Source) -> str:
    with tar.opened(source) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
