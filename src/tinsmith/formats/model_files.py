"""A model as files: one GGUF file, a folder of such a file and its vision model, or a Hugging Face folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tinsmith.system import files


def gguf_pair(folder: Path) -> tuple[Path, Path] | None:
    """The language model and the vision model (mmproj…) of a folder whose GGUF files are these two."""
    ggufs = [] if (folder / "config.json").exists() else sorted(folder.glob("*.gguf"))
    halves = [one for one in ggufs if one.name.startswith("mmproj")]
    if len(ggufs) != 2 or len(halves) != 1:
        return None
    return ggufs[ggufs[0] == halves[0]], halves[0]


def model_files(path: Path) -> list[Path]:
    """The file, or those of the folder that a model is read from."""
    if path.is_file():
        return [path]
    if pair := gguf_pair(path):
        return sorted(pair)
    return sorted(file for file in path.iterdir() if file.suffix in (".json", ".safetensors", ".jinja"))


def remove_model(folder: Path) -> None:
    """The files of the model that a folder holds, if any, so that none of them is taken for another's."""
    for file in model_files(folder) if folder.is_dir() else ():
        file.unlink()


def model_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in model_files(path))


def model_digest(path: Path) -> str:
    """The SHA-256 of a model file; of a folder, that of its files' names and digests."""
    if path.is_file():
        return files.sha256_file(path)
    lines = [f"{files.sha256_file(file)}  {file.name}\n" for file in model_files(path)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
