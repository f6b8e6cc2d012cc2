"""The wheels that tinsmith's own needs beside it, made again of what is installed here: Python alone."""

from __future__ import annotations

import re
from pathlib import Path

from tinsmith.cross import wheel
from tinsmith.errors import InputError

# What installing adds to a wheel's files.
_ADDED = {"INSTALLER", "RECORD", "REQUESTED", "direct_url.json"}


def write(platform: str, folder: Path) -> list[Path]:
    """Writes what the base install requires. platform: where they are for, as in a wheel's tag.

    The same install gives the same bytes. Raises InputError for what is not installed by pip, is changed since,
    is not of Python alone, or itself needs more on that platform.
    """
    lines = wheel.installed("tinsmith").requires or []
    return [_write(name_of(line), platform, folder) for line in lines if ";" not in line]


def name_of(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0]


def _write(name: str, platform: str, folder: Path) -> Path:
    package = wheel.installed(name)
    again = f"run: pip install --force-reinstall {name}"
    if not package.files or "Tag: py3-none-any" not in (package.read_text("WHEEL") or ""):
        raise InputError(
            f"{name}: was not installed from a wheel of Python alone, and can't be passed on; {again}"
        )
    for line in package.requires or []:
        if _applies(line, platform):
            raise InputError(f"{name} {package.version} needs {line} too; run: pip install --upgrade {name}")
    contents = {}
    for file in sorted(package.files, key=str):
        if file.suffix == ".pyc" or ".." in file.parts or file.name in _ADDED:
            continue
        contents[file.as_posix()] = data = file.read_binary()
        if file.hash is None or file.hash.value != wheel.digest(data):
            raise InputError(f"{file.locate()}: is not as it was installed; {again}")
    info = f"{name}-{package.version}.dist-info"
    return wheel.archive(folder / f"{name}-{package.version}-py3-none-any.whl", contents, info)


def _applies(requirement: str, platform: str) -> bool:
    """Whether a line of Requires-Dist is for that platform, on the Pythons that tinsmith runs on."""
    condition = requirement.partition(";")[2]
    elsewhere = "Windows" in condition and not platform.startswith("win")
    return not (elsewhere or "extra" in condition or "python_version <" in condition)
