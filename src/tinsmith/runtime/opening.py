"""A model file to a Model: a .tin as it is, anything else compiled in memory."""

from __future__ import annotations

import os
from pathlib import Path

from tinsmith import _core
from tinsmith.errors import FormatError, InputError, RuntimeFault, UnsupportedError
from tinsmith.files import map_file
from tinsmith.runtime.model import Model

KV_TYPES = {"f16": _core.KV_F16, "q8": _core.KV_Q8}


def load(
    path: str | Path,
    *,
    threads: int | None = None,
    isa: str | None = None,
    kv: str = "f16",
    conversations: int = 4,
) -> Model:
    """Opens a .tin, or compiles a .gguf of a supported family, or a Hugging Face folder, in memory.

    threads: how many work on one step; None takes the cores this process may use. isa: an instruction set by
    name; None takes that of the environment's TIN_FORCE_ISA, or the best one this processor runs. kv: how keys
    and values are kept, "f16", or "q8" in about half the memory, with results of its own. conversations: how
    many the model remembers, so that they may take turns without computing anything again; each takes memory
    for its caches.
    Raises InputError for a missing file, FormatError for a damaged one, UnsupportedError for a family, format
    or instruction set that is not there.
    """
    path = Path(path)
    known = _core.isa_names()
    isa = isa or os.environ.get("TIN_FORCE_ISA") or None
    if isa is not None and isa not in known:
        raise UnsupportedError(f"instruction set {isa!r} does not run here; those that do: {', '.join(known)}")
    if threads is not None and not 1 <= threads <= 64:
        raise InputError(f"threads is {threads}; give 1 to 64")
    if kv not in KV_TYPES:
        raise InputError(f"kv is {kv!r}; give one of {', '.join(KV_TYPES)}")
    if conversations < 1:
        raise InputError(f"conversations is {conversations}; give at least 1")
    if not path.exists():
        raise InputError(f"{path}: no such file; give a .tin, a .gguf or a Hugging Face folder")
    if path.is_file() and (path.suffix == ".tin" or _is_zip(path)):
        image = map_file(path)
    else:
        from tinsmith import models
        from tinsmith.compiler import build_image

        image = build_image(models.load(path))
    try:
        core = _core.Model(image, isa)
    except RuntimeFault as fault:
        raise FormatError(f"{path}: {fault}") from fault
    if kv != "f16":
        try:
            _core.Session(core, context=1, chunk=1, kv_type=KV_TYPES[kv])
        except RuntimeFault as fault:
            raise UnsupportedError(f"{path}: {fault}") from fault
    return Model(core, image, threads, kv_type=KV_TYPES[kv], conversations=conversations)


def _is_zip(path: Path) -> bool:
    import zipfile  # costs a third of this package's import, and a .tin is told by its name

    return zipfile.is_zipfile(path)
