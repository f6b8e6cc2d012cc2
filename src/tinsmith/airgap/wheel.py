"""This very install as a wheel, so that a machine like this one can be given it without a compiler."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

from tinsmith import _core
from tinsmith.cross import wheel
from tinsmith.errors import UnsupportedError


def this_wheel(folder: Path) -> Path:
    """Writes it into the folder; the same install gives the same bytes."""
    platform = _metadata("WHEEL").partition("\nTag: ")[2].partition("\n")[0].rpartition("-")[2]
    return wheel.write(Path(str(_core.__file__)), platform, folder)


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
