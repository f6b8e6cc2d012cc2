"""A model's files: a GGUF file, a folder of a GGUF file and its vision model, or a Hugging Face folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tinsmith.system import files


def gguf_pair(folder: Path) -> tuple[Path, Path] | None:
    """The language model and the vision model (mmproj…) of a folder with exactly these two GGUF files."""
    ggufs = [] if (folder / "config.json").exists() else sorted(folder.glob("*.gguf"))
    vision = [one for one in ggufs if one.name.startswith("mmproj")]
    if len(ggufs) != 2 or len(vision) != 1:
        return None
    return ggufs[ggufs[0] == vision[0]], vision[0]


def model_files(path: Path) -> list[Path]:
    """The file itself, or a folder's files that belong to the model."""
    if path.is_file():
        return [path]
    if pair := gguf_pair(path):
        return sorted(pair)
    return sorted(file for file in path.iterdir() if file.suffix in (".json", ".safetensors", ".jinja"))


def remove_model(folder: Path) -> None:
    """Removes a folder's model files, if any, so that they don't mix with another model's."""
    for file in model_files(folder) if folder.is_dir() else ():
        file.unlink()


def model_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in model_files(path))


def model_digest(path: Path) -> str:
    """SHA-256 of a model file, or of the names and digests of a folder's model files."""
    if path.is_file():
        return files.sha256_file(path)
    lines = [f"{files.sha256_file(file)}  {file.name}\n" for file in model_files(path)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
