"""Records completed trainings, so that none is repeated: a record is valid while its result's files are
unchanged."""

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
    """The result of `train`, run now or recorded in `path`, which is in the folder of its checkpoint and
    result. digest: of everything that decides the result."""
    done, is_first = together.from_first(_read(path, digest)), together.number() == 0
    if done is None:
        # Keeps the checkpoint until the record is written: a kill in between loses nothing.
        with checkpoint.kept(path.parent):
            if is_first:
                files.remove(path)  # its result is about to be replaced
            done = train()
            if is_first:
                record = {"digest": digest, "left": _left(done.folder), "result": done.record()}
                files.write_text(path, json.dumps(record) + "\n")
    if is_first:
        checkpoint.drop(path.parent)
    together.from_first(None)  # all processes wait for the first one's files
    return done


def _read(path: Path, digest: str) -> TrainResult | None:
    """None if there is no record, its digest differs, or the result's files changed."""
    if together.number() or not path.exists():
        return None
    try:
        record = reading.read_json(path, FormatError)
        if record["digest"] != digest:
            return None
        result = TrainResult.of(record["result"], path.parent)
        return result if record["left"] == _left(result.folder) else None
    except (FormatError, TypeError, KeyError, ValueError):
        return None  # an unreadable record counts as none


def _left(folder: Path) -> str:
    """Digest of the names and contents of a folder's files."""
    paths = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    return hashlib.sha256(
        "".join(f"{path.name} {files.sha256_file(path)}\n" for path in paths).encode()
    ).hexdigest()
