"""Wheels of tinsmith's dependencies, rebuilt from the installed packages."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from tinsmith.cross import wheel
from tinsmith.errors import InputError

PURE = "py3-none-any"  # the tag of pure Python
LEVEL = 6  # for up to a gigabyte: 9 takes twice as long for half a percent
# Files that an installer adds to a wheel's.
_ADDED = {"INSTALLER", "RECORD", "REQUESTED", "direct_url.json"}


def write(platform: str, folder: Path) -> list[Path]:
    """Writes the wheels of the base install's dependencies. platform: their target, as in a wheel's tag.

    The same install gives the same bytes. Raises InputError for a package that pip did not install, that
    changed since, is not pure Python, or has dependencies on that platform."""
    lines = [line for line in wheel.installed("tinsmith").requires or [] if ";" not in line]
    for name in map(name_of, lines):
        for line in wheel.installed(name).requires or []:
            if _applies(line, platform):
                raise InputError(f"{name} needs {line} too; run: pip install --upgrade {name}")
    return [_write(name_of(line), folder, pure=True) for line in lines]


def write_extra(extra: str, folder: Path) -> list[Path]:
    """Writes the wheels of an extra's dependencies, direct and indirect, for machines and a Python like these:
    some may be compiled.

    Raises InputError for a package that pip did not install, or that changed since.
    """
    required = wheel.installed("tinsmith").requires or []
    base = {name_of(line) for line in required if ";" not in line}
    waiting = [name_of(line) for line in required if _is_of(extra, line)]
    if not waiting:
        raise InputError(f"this tinsmith has no extra {extra!r}; run: pip install --force-reinstall tinsmith")
    names: dict[str, None] = {}
    while waiting:
        name = re.sub("[-_.]+", "-", waiting.pop()).lower()
        if name in names:
            continue
        names[name] = None
        # Includes installed dependencies under any condition: too many do no harm.
        for line in wheel.installed(name).requires or []:
            if ";" not in line or ("extra" not in line and _is_installed(name_of(line))):
                waiting.append(name_of(line))
    return [_write(name, folder) for name in names if name not in base]


def _is_of(extra: str, requirement: str) -> bool:
    return requirement.partition(";")[2].replace("'", '"').strip() == f'extra == "{extra}"'


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def name_of(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0]


def _write(name: str, folder: Path, *, pure: bool = False) -> Path:
    """pure: refuses a package that is not pure Python."""
    package = wheel.installed(name)
    again = f"run: pip install --force-reinstall {name}"
    tags = re.findall(r"^Tag: (\S+)$", package.read_text("WHEEL") or "", re.M)
    if PURE in tags:
        tags = [PURE]
    if not package.files or not tags or (pure and tags != [PURE]):
        raise InputError(f"{name}: was not installed from a wheel that can be packed; {again}")
    contents = {}
    for file in sorted(package.files, key=str):
        if file.suffix == ".pyc" or ".." in file.parts or file.name in _ADDED:
            continue
        contents[file.as_posix()] = data = file.read_binary()
        if file.hash is None or file.hash.value != wheel.digest(data):
            raise InputError(f"{file.locate()}: changed since it was installed; {again}")
    info = next(name.partition("/")[0] for name in contents if name.endswith(".dist-info/METADATA"))
    python, abi, _ = tags[0].split("-")
    platforms = ".".join(tag.rpartition("-")[2] for tag in tags)
    stem = info.removesuffix(".dist-info")
    return wheel.archive(folder / f"{stem}-{python}-{abi}-{platforms}.whl", contents, info, LEVEL)


def _applies(requirement: str, platform: str) -> bool:
    """Whether a line of Requires-Dist applies to that platform and the Pythons that tinsmith supports."""
    condition = requirement.partition(";")[2]
    elsewhere = "Windows" in condition and not platform.startswith("win")
    return not (elsewhere or "extra" in condition or "python_version <" in condition)
