"""A run's state on disk: one safetensors file, written atomically: a kill leaves the old or the new."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tinsmith.errors import FormatError
from tinsmith.system import reading
from tinsmith.system.files import remove
from tinsmith.train import tensors as tensor_files

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

NAME = "checkpoint.safetensors"

Read = TypeVar("Read")
_kept: set[Path] = set()


def save(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """state: anything that JSON represents."""
    tensor_files.save(path, tensors, {"state": json.dumps(state)})


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The result of `save`; None without a file or for a damaged one."""

    def take(file: Any, state: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118

    return _read(path, take)


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Within the block `drop` leaves the folder's checkpoint."""
    _kept.add(folder)
    try:
        yield
    finally:
        _kept.discard(folder)


def drop(folder: Path) -> None:
    """Removes a folder's checkpoint, at the end of its training."""
    if folder not in _kept:
        remove(folder / NAME)


def moments(path: Path, digest: str) -> set[str]:
    """The names of AdamW's moments in a run's checkpoint; none for another run's, or before the first step."""
    names = _read(path, lambda file, state: file.keys() if state.get("digest") == digest else [])
    return {name.rpartition("|")[2] for name in names or () if "|" in name}


def _read(path: Path, take: Callable[[Any, dict[str, Any]], Read]) -> Read | None:
    """The result of `take` on an open checkpoint, whose tensors are read on demand, and its state."""
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return take(file, reading.json((file.metadata() or {})["state"], path, FormatError))
    except (SafetensorError, KeyError, FormatError):
        return None


def optimizer_tensors(optimizer: Optimizer, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """AdamW's moments by parameter name; empty before its first step."""
    return {
        f"{name}|{key}": value
        for name, parameter in parameters.items()
        for key, value in optimizer.state[parameter].items()
    }


def restore_optimizer(
    optimizer: Optimizer, parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> None:
    for name, parameter in parameters.items():
        optimizer.state[parameter] = {
            key.split("|")[1]: value.to(parameter.device, copy=True)
            for key, value in tensors.items()
            if key.startswith(f"{name}|")
        }
