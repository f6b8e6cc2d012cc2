"""This very install as a wheel, so that a machine like this one can be given it without a compiler; and what
the wheels beside tinsmith's own say of themselves."""

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
    """Writes it into the folder, and the wheels that it needs, those of an extra among them; the same install
    gives the same bytes."""
    platform = _metadata("WHEEL").partition("\nTag: ")[2].partition("\n")[0].rpartition("-")[2]
    wheel.write(Path(str(_core.__file__)), platform, folder)
    needed.write(platform, folder)
    if extra:
        needed.write_extra(extra, folder)


def beside(folder: Path) -> list[tuple[Source, bytes]]:
    """What the folder's wheels are that are not tinsmith's own, and their licences. Raises InputError where
    tinsmith's needs one that is not there."""
    wheels = {path: _described(path) for path in sorted(folder.rglob("*.whl"))}
    own = [info for info, _ in wheels.values() if info["Name"] == "tinsmith"]
    others = {path: described for path, described in wheels.items() if described[0]["Name"] != "tinsmith"}
    names = {info["Name"] for info, _ in others.values()}
    for line in (line for info in own for line in info.get_all("Requires-Dist", []) if ";" not in line):
        name = needed.name_of(line)
        if name not in names:
            raise InputError(f"{folder}: tinsmith's wheel needs {line}, whose wheel is not there; put it in")
    return [(_source(path, info), text) for path, (info, text) in others.items()]


def _described(path: Path) -> tuple[Message, bytes]:
    """A wheel's METADATA and the text of its licence."""
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


def _source(path: Path, info: Message) -> Source:
    license = info["License-Expression"] or info["License"]
    return Source(info["Name"], sha256_file(path), info["Version"], license)


def license_text() -> str:
    """tinsmith's own."""
    return _metadata("licenses/LICENSE")


def _metadata(name: str) -> str:
    text = distribution("tinsmith").read_text(name)
    if text is None:
        raise UnsupportedError(
            f"this tinsmith was installed without its {name}; install it by pip, and try again"
        )
    return text
