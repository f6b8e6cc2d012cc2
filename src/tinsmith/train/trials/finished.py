"""Records a finished training, so that it does not run again while its result is intact."""

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
    """The result of `train`, from the record `path` or new, with its checkpoint and result in the record's
    folder. digest: of everything that determines it."""
    done = together.from_first(_read(path, digest))
    if done is None:
        # Its result is recorded first: a kill between would lose all of it.
        with checkpoint.kept(path.parent):
            done = _trained(path, digest, train)
    if together.number() == 0:
        checkpoint.drop(path.parent)
    together.from_first(None)  # the first process's files, for all processes
    return done


def _trained(path: Path, digest: str, train: Callable[[], TrainResult]) -> TrainResult:
    if together.number() == 0:
        files.remove(path)  # its files are about to be replaced
    result = train()
    if together.number() == 0:
        record = {"digest": digest, "left": _left(result.folder), "result": result.record()}
        files.write_text(path, json.dumps(record) + "\n")
    return result


def _read(path: Path, digest: str) -> TrainResult | None:
    """None if the training has not ended, has another digest, or its files have changed."""
    if together.number() or not path.exists():
        return None
    try:
        record = reading.read_json(path, FormatError)
        if record["digest"] != digest:
            return None
        result = TrainResult.of(record["result"], path.parent)
        return result if record["left"] == _left(result.folder) else None
    except (FormatError, TypeError, KeyError):
        return None  # an unreadable record is made again


def _left(folder: Path) -> str:
    """A digest of the names and bytes of a folder's files."""
    paths = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    return hashlib.sha256(
        "".join(f"{path.name} {files.sha256_file(path)}\n" for path in paths).encode()
    ).hexdigest()
