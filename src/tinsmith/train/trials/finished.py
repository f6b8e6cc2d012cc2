"""A training that ended is not run again: what it gave is written down, and holds as long as what it left is
there and what it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from tinsmith.errors import FormatError
from tinsmith.system import files, reading
from tinsmith.train.events import TrainResult
from tinsmith.train.steps import checkpoint, together


def once(path: Path, digest: str, train: Callable[[], TrainResult]) -> TrainResult:
    """What `train` gives, or gave, as `path` says, in the folder of its checkpoint and its result. digest: of
    all that decides it."""
    done = together.from_first(_read(path, digest))
    if done is None:
        # What it led to is written down first: a kill between would lose all of it.
        with checkpoint.kept(path.parent):
            done = _trained(path, digest, train)
    if together.number() == 0:
        checkpoint.drop(path.parent)
    together.from_first(None)  # what the first process wrote is there for all
    return done


def _trained(path: Path, digest: str, train: Callable[[], TrainResult]) -> TrainResult:
    if together.number() == 0:
        files.remove(path)  # what it speaks of is about to be replaced
    result = train()
    if together.number() == 0:
        record = {"digest": digest, "left": _left(result.folder), "result": result.record()}
        files.write_text(path, json.dumps(record) + "\n")
    return result


def _read(path: Path, digest: str) -> TrainResult | None:
    """None where it has not ended, is another's, or not as it was left."""
    if together.number() or not path.exists():
        return None
    try:
        record = reading.read_json(path, FormatError)
        if record["digest"] != digest:
            return None
        result = TrainResult.of(record["result"], path.parent)
        return result if record["left"] == _left(result.folder) else None
    except (FormatError, TypeError, KeyError):
        return None  # what can't be read is made again


def _left(folder: Path) -> str:
    """Of the names and bytes of a folder's files."""
    paths = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    return hashlib.sha256(
        "".join(f"{path.name} {files.sha256_file(path)}\n" for path in paths).encode()
    ).hexdigest()
