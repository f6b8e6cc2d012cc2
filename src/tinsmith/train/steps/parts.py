"""One-time results of a run, stored in its folder in parts, so that a kill loses at most one part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.system import files
from tinsmith.train.events import Event, Preparing

if TYPE_CHECKING:
    from torch import Tensor

Part = dict[str, "Tensor"]


def kept(
    folder: Path, digest: str, count: int, make: Callable[[int], Part], tell: Callable[[Event], None]
) -> list[Part]:
    """The parts 0 to count - 1: read from `folder` if they have the digest, else made and written there.
    digest: of everything that determines them. Deletes further parts in the folder."""
    from tinsmith.train.steps import checkpoint

    files.claim(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05}.safetensors" for number in range(count)]
    for path in set(folder.glob(f"{'[0-9]' * 5}.safetensors")) - set(paths):
        path.unlink()
    parts: list[Part] = []
    for number, path in enumerate(paths):
        saved = checkpoint.load(path)
        if saved is None or saved[1] != {"digest": digest}:
            part = make(number)
            checkpoint.save(path, part, {"digest": digest})
        else:
            part = saved[0]
        parts.append(part)
        tell(Preparing(folder.name, number + 1, count))
    return parts
