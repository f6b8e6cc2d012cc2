"""The runtime's C sources in the package, grouped for the compiler."""

from __future__ import annotations

import atexit
import hashlib
import io
import re
import tarfile
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tinsmith.errors import InputError

ARCHIVE = "kernels.tar.xz"  # in an installed wheel's package


@dataclass(frozen=True)
class Unit:
    """Sources, relative to kernels/, compiled as one file at a level: "O2", "O3" or "Os"."""

    name: str
    level: str
    sources: tuple[str, ...]


@cache
def folder() -> Path:
    """kernels/ in the checkout of an editable install, or unpacked from the package until the program ends."""
    package = Path(__file__).parents[1]
    checkout = package.parents[1] / "kernels"
    if (checkout / "include" / "tin.h").is_file():
        return checkout
    if not (package / ARCHIVE).is_file():
        raise InputError(
            f"{package}: has no C sources (a wheel built for a device has none); install tinsmith from its "
            "package index or checkout to build for others"
        )
    unpacked = tempfile.TemporaryDirectory(prefix="tinsmith-")
    atexit.register(unpacked.cleanup)
    with tarfile.open(package / ARCHIVE) as archive:
        archive.extractall(unpacked.name)
    return Path(unpacked.name) / "kernels"


def archive() -> bytes:
    """ARCHIVE of the sources, the same bytes on every machine."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:xz", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(folder().rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                data = path.read_bytes()
                entry = tarfile.TarInfo(f"kernels/{path.relative_to(folder()).as_posix()}")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    return written.getvalue()


@cache
def digest(unit: Unit) -> str:
    """SHA-256, in hexadecimal, of every file that may affect a unit: all sources in its sources' folders, and
    all headers and lists."""
    hasher, folders = hashlib.sha256(), {(folder() / name).parent for name in unit.sources}
    for path in sorted(folder().rglob("*")):
        if path.is_file() and (path.suffix != ".c" or path.parent in folders):
            content = path.read_bytes()
            hasher.update(f"{path.relative_to(folder()).as_posix()}\0{len(content)}\0".encode() + content)
    return hasher.hexdigest()


@cache
def _levels() -> list[tuple[re.Pattern[str], str]]:
    lines = (folder() / "levels.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if line and not line.startswith("#")]
    return [(re.compile(pattern), level) for pattern, level in pairs]


def level(name: str) -> str:
    """The optimization level of the source `name` below kernels/."""
    for pattern, stated in _levels():
        if pattern.match(name):
            return stated
    raise InputError(f"{folder() / 'levels.txt'}: no line for {name}; add one")


def core() -> Unit:
    """The sources that use tin.h. They can be compiled as one file, like the whole library
    (kernels/tin_all.c)."""
    return Unit("core", level("core/"), tuple(_names("core/*/*.c")))


def kernels() -> list[Unit]:
    """The kernels of all instruction sets, one unit a level; sets of other machines compile to nothing."""
    grouped: dict[str, list[str]] = {}
    for name in _names("isa/*/*.c"):
        grouped.setdefault(level(name), []).append(name)
    return [Unit(f"kernels-{kind}", kind, tuple(names)) for kind, names in grouped.items()]


def host() -> Unit:
    """The flat interface over it that engines and other languages bind (tin_host.h)."""
    return Unit("host", level("host/"), ("host/tin_host.c",))


def headers() -> list[Path]:
    """What programs include."""
    return [folder() / "include" / name for name in ("tin.h", "tin_host.h")]


def single(pattern: str) -> list[Unit]:
    """Sources that are compiled each for itself."""
    return [Unit(Path(name).stem, level(name), (name,)) for name in _names(pattern)]


def _names(pattern: str) -> list[str]:
    return [path.relative_to(folder()).as_posix() for path in sorted(folder().glob(pattern))]
