"""A model's files in other runtimes' formats, made in the cache folder on first use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tinsmith.errors import FormatError
from tinsmith.formats.model_files import model_digest, model_files
from tinsmith.spec import Spec


def fingerprint(path: Path) -> str:
    """A fingerprint of a file's or a Hugging Face folder's contents: 16 hexadecimal digits."""
    if not model_files(path):
        raise FormatError(f"{path}: no model; give a .tin, a .gguf or a Hugging Face folder")
    return model_digest(path)[:16]


def cached(kind: str, name: str, make: Callable[[Path], None]) -> Path:
    """The path `name` in the cache folder's `kind`. make: writes a missing one, atomically."""
    from tinsmith.hub import cache_folder
    from tinsmith.system.files import locked

    path = cache_folder() / kind / name
    with locked(path.with_name(f"{name}.lock")):
        if not path.exists():
            make(path)
    return path


def as_gguf(path: Path) -> Path:
    """The model as a GGUF file: the file itself, an unpacked tin, or a converted folder.

    Raises FormatError for a damaged file, UnsupportedError for a folder of an unknown family.
    """
    if path.is_dir():
        from tinsmith import models

        def convert(out: Path) -> None:
            models.save_gguf(replace(models.load(path), source=model_digest(path)), out)

        return cached("gguf", f"{fingerprint(path)}.gguf", convert)
    with path.open("rb") as file:
        if file.read(4) == b"GGUF":
            return path
    from tinsmith.compiler.unpack import write_gguf

    return cached("gguf", f"{fingerprint(path)}.gguf", lambda out: write_gguf(path, out))


def as_spec(path: Path) -> Spec:
    """The model of a .gguf, a .tin or a folder, with the vision model of a tin or folder.

    Raises as `as_gguf`, and as models.load.
    """
    from tinsmith import models

    if path.is_dir():
        return models.load(path)
    gguf = as_gguf(path)
    spec = models.load(gguf)
    if gguf == path:
        return spec
    from tinsmith.compiler.unpack import vision_of
    from tinsmith.formats.tin import Tin

    file = Tin(path)
    file.verify()
    return replace(spec, vision=vision_of(file))
