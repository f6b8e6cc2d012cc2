"""What runs a tin on a target, as files of a folder."""

from __future__ import annotations

from pathlib import Path

from tinsmith import targets
from tinsmith.airgap.wheel import this_wheel
from tinsmith.errors import InputError, UnsupportedError

HOST = "host"  # a machine like this one, with Python


def title(target: str) -> str:
    """The device in words. Raises UnsupportedError for a name that is not known."""
    return "as the machine that made this" if target == HOST else targets.find(target).title


def runtime_files(target: str, folder: Path) -> list[Path]:
    """Writes what runs a tin on the target into the folder: for "host" this very install, as a wheel."""
    if target != HOST:
        raise UnsupportedError(
            f"--target {target}: only {HOST} is built here; give the folder with its runtime by --runtime"
        )
    name, data = this_wheel()
    path = folder / name
    path.write_bytes(data)
    return [path]


def check_folder(folder: Path) -> Path:
    """A runtime that somebody built. Raises InputError where there is none."""
    if not any(path.is_file() for path in folder.rglob("*")):
        raise InputError(
            f"{folder}: no files there; --runtime is a folder with a wheel, libraries or a program"
        )
    return folder
