"""A model file to a Model: a .tin as it is, anything else compiled in memory."""

from __future__ import annotations

from pathlib import Path

from tinsmith import _core
from tinsmith.errors import FormatError, InputError, RuntimeFault, UnsupportedError
from tinsmith.files import map_file
from tinsmith.runtime.model import Model


def load(path: str | Path, *, threads: int | None = None, isa: str | None = None) -> Model:
    """Opens a .tin, or compiles a .gguf of a supported family, or a Hugging Face folder, in memory.

    threads: how many work on one step; None takes the cores this process may use. isa: an instruction set by
    name; None takes the best one this processor runs.
    Raises InputError for a missing file, FormatError for a damaged one, UnsupportedError for a family, format
    or instruction set that is not there.
    """
    path = Path(path)
    known = _core.isa_names()
    if isa is not None and isa not in known:
        raise UnsupportedError(f"instruction set {isa!r} does not run here; those that do: {', '.join(known)}")
    if threads is not None and not 1 <= threads <= 64:
        raise InputError(f"threads is {threads}; give 1 to 64")
    if not path.exists():
        raise InputError(f"{path}: no such file; give a .tin, a .gguf or a Hugging Face folder")
    if path.is_file() and (path.suffix == ".tin" or _is_zip(path)):
        image = map_file(path)
    else:
        from tinsmith import models
        from tinsmith.compiler import build_image

        image = build_image(models.load(path))
    try:
        return Model(_core.Model(image, isa), image, threads)
    except RuntimeFault as fault:
        raise FormatError(f"{path}: {fault}") from fault


def _is_zip(path: Path) -> bool:
    import zipfile  # costs a third of this package's import, and a .tin is told by its name

    return zipfile.is_zipfile(path)
