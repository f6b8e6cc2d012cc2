"""What runs a tin on a target, as files of a folder."""

from __future__ import annotations

from pathlib import Path

from tinsmith import targets
from tinsmith.airgap.wheel import this_wheel
from tinsmith.errors import InputError
from tinsmith.system.progress import Display
from tinsmith.targets import Target

HOST = "host"  # a machine like this one, with Python


def find(target: str) -> Target | None:
    """None for the host. Raises UnsupportedError for a name that is not known."""
    return None if target == HOST else targets.find(target)


def runtime_files(
    tin: Path, target: Target | None, folder: Path, display: Display, extra: str | None = None
) -> None:
    """Writes what runs the tin on the target into the folder: for the host this very install, as a wheel, with
    what an extra needs; else all forms that the target has, as `build --target` makes them."""
    if target is None:
        this_wheel(folder, extra)
        return
    from tinsmith.cross import runtime

    runtime.emit(target, folder, display, [tin])


def check_folder(folder: Path) -> Path:
    """A runtime that is built. Raises InputError where there is none."""
    if not any(path.is_file() for path in folder.rglob("*")):
        raise InputError(
            f"{folder}: no files there; --runtime is a folder with a wheel, libraries or a program"
        )
    return folder
