"""Files and folders that several tests are made of, kept from one run to the next: by all that they are made
of, so that what changes is made anew."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

HELD = Path(os.environ.get("TINSMITH_KEPT", Path(__file__).parents[2] / "build" / "test-kept"))
DAYS = 14  # since the last use


def kept(name: str, inputs: Sequence[str], make: Callable[[Path], object]) -> Path:
    """What `make` makes of `inputs` and nothing else, at the path that it is given; as an earlier run made it,
    where one did. Nobody may change it. Raises what `make` does."""
    key = hashlib.sha256("\0".join([name, *inputs]).encode()).hexdigest()[:24]
    made = _folder() / f"{key}-{name}"
    with made.with_name(f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            part = made.with_name(f"part-{made.name}")
            _remove(part)  # of a run that was killed
            make(part)
            part.replace(made)
        os.utime(made)
    return made


def digest(*paths: Path) -> str:
    """Of files' names and contents."""
    hasher = hashlib.sha256()
    for path in paths:
        data = path.read_bytes()
        hasher.update(f"{path.name}\0{len(data)}\0".encode() + data)
    return hasher.hexdigest()


@cache
def _folder() -> Path:
    """Where they lie. What nobody used for long goes."""
    HELD.mkdir(parents=True, exist_ok=True)
    oldest = time.time() - DAYS * 86400
    for path in HELD.iterdir():
        if path.stat().st_mtime < oldest:
            _remove(path)
    return HELD


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
