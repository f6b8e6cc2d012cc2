"""A wheel of this tinsmith for another machine, reproducible from its sources."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import tinsmith
from tinsmith import targets
from tinsmith.cross import extension, sources
from tinsmith.cross.zig import Machine
from tinsmith.errors import InputError
from tinsmith.system import files, names

TAG = "cp311-abi3"
DATE = (1980, 1, 1, 0, 0, 0)  # the first that a ZIP file can state
OWN = (sources.ARCHIVE, "devices")  # the package's own files and folders in an installed wheel


def wheel(machine: Machine, platform: str, folder: Path, *, builds: bool = False) -> Path:
    """Writes `folder`/tinsmith-<version>-cp311-abi3-<platform>.whl.

    The code runs on every processor of the platform, as the tag promises; kernels are chosen at run time.
    builds: with the C sources, to build for other machines; a device does without.
    """
    return write(extension.extension(replace(machine, cpu=None, flags=())), platform, folder, builds=builds)


def write(core: Path, platform: str, folder: Path, *, builds: bool = False) -> Path:
    """Writes the wheel with a built extension. platform: as in the wheel's tag. builds: as for wheel()."""
    path = folder / f"tinsmith-{tinsmith.__version__}-{TAG}-{platform}.whl"
    info = f"tinsmith-{tinsmith.__version__}.dist-info"
    contents = {**dict(_package()), f"tinsmith/{core.name}": core.read_bytes(), **_metadata(info, platform)}
    if builds:
        contents[f"tinsmith/{sources.ARCHIVE}"] = sources.archive()
    return archive(path, contents, info)


def archive(path: Path, contents: Mapping[str, bytes], info: str, level: int = 9) -> Path:
    """Writes a wheel with its RECORD. info: its metadata folder. level: zlib's."""
    names.check(contents, path)
    record = "".join(f"{name},sha256={digest(data)},{len(data)}\n" for name, data in contents.items())
    contents = {**contents, f"{info}/RECORD": (record + f"{info}/RECORD,,\n").encode()}
    with files.atomic_write(path) as file, zipfile.ZipFile(file, "w") as written:
        for name, data in contents.items():
            entry = zipfile.ZipInfo(name, DATE)
            entry.create_system = 3  # Unix: the next line is a mode
            entry.external_attr = (0o755 if name.endswith((".so", ".pyd")) else 0o644) << 16
            written.writestr(entry, data, zipfile.ZIP_DEFLATED, level)
    return path


def _package() -> Iterator[tuple[str, bytes]]:
    """The package's files by name in the wheel, without this machine's extension and the C sources."""
    package = Path(tinsmith.__file__).parent
    folders = {"": package, "devices/": targets.folder()}
    for prefix, folder in folders.items():
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            skipped = not path.is_file() or "__pycache__" in name.parts or path.name.startswith(("_core.", "."))
            if skipped and path.name != "_core.pyi":
                continue
            if not prefix and name.parts[0] in OWN:
                continue
            yield f"tinsmith/{prefix}{name.as_posix()}", path.read_bytes()


def _metadata(info: str, platform: str) -> dict[str, bytes]:
    package = installed("tinsmith")
    texts = {name: package.read_text(name) for name in ("METADATA", "entry_points.txt", "licenses/LICENSE")}
    text = f"Wheel-Version: 1.0\nGenerator: tinsmith {tinsmith.__version__}\nRoot-Is-Purelib: false\n"
    texts["WHEEL"] = f"{text}Tag: {TAG}-{platform}\n"
    return {f"{info}/{name}": text.encode() for name, text in texts.items() if text is not None}


def installed(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError:
        raise InputError(f"{name} is not installed, so its metadata is missing; pip install it first") from None


def digest(data: bytes) -> str:
    """A digest as in RECORD."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
