"""This install as a wheel, for machines like this one without a compiler; and the metadata of the wheels beside
it."""

from __future__ import annotations

import zipfile
from email.message import Message
from email.parser import BytesParser
from importlib.metadata import distribution
from pathlib import Path

from tinsmith import _core
from tinsmith.cross import needed, wheel
from tinsmith.errors import InputError, UnsupportedError
from tinsmith.formats.sbom import Source
from tinsmith.system.files import sha256_file


def this_wheel(folder: Path, extra: str | None = None) -> None:
    """Writes this install's wheel into the folder, with the wheels that it or the extra needs. The same install
    gives the same bytes."""
    platform = _metadata("WHEEL").partition("\nTag: ")[2].partition("\n")[0].rpartition("-")[2]
    wheel.write(Path(str(_core.__file__)), platform, folder)
    needed.write(platform, folder)
    if extra:
        needed.write_extra(extra, folder)


def beside(folder: Path) -> list[tuple[Source, bytes]]:
    """Name and licence of each wheel in the folder but tinsmith's. Raises InputError for a missing dependency
    of tinsmith's wheel."""
    found: list[tuple[Source, bytes]] = []
    required: list[str] = []
    for path in sorted(folder.rglob("*.whl")):
        info, text = _described(path)
        if info["Name"] == "tinsmith":
            required += [line for line in info.get_all("Requires-Dist", []) if ";" not in line]
        else:
            license = info["License-Expression"] or info["License"]
            found.append((Source(info["Name"], sha256_file(path), info["Version"], license), text))
    for line in required:
        if needed.name_of(line) not in {source.name for source, _ in found}:
            raise InputError(f"{folder}: tinsmith's wheel needs {line}, whose wheel is not there; put it in")
    return found


def check_folder(folder: Path) -> Path:
    """Returns the folder of a built runtime. Raises InputError for one without files."""
    if not any(path.is_file() for path in folder.rglob("*")):
        raise InputError(f"{folder}: no files; --runtime is a folder with a wheel, libraries or a program")
    return folder


def _described(path: Path) -> tuple[Message, bytes]:
    """A wheel's METADATA and licence text."""
    try:
        with zipfile.ZipFile(path) as archive:
            places = [name for name in archive.namelist() if name.partition("/")[0].endswith(".dist-info")]
            (metadata,) = (name for name in places if name.endswith(".dist-info/METADATA"))
            info = BytesParser().parsebytes(archive.read(metadata))
            stated = tuple(f"/{name}" for name in info.get_all("License-File", []))
            texts = [archive.read(name) for name in places if stated and name.endswith(stated)]
    except (ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: no wheel, or a damaged one: {error}") from None
    return info, b"\n".join(texts)


def license_text() -> str:
    """tinsmith's licence."""
    return _metadata("licenses/LICENSE")


def _metadata(name: str) -> str:
    text = distribution("tinsmith").read_text(name)
    if text is None:
        raise UnsupportedError(f"this tinsmith was installed without its {name}; install it by pip")
    return text
