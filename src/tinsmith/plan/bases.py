"""Base models that fit a device: planned exactly for those on this disk, by their weights for the others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tinsmith import hub, plan
from tinsmith.errors import TinsmithError
from tinsmith.formats.weights import weight_format
from tinsmith.plan import contents
from tinsmith.quant.presets import PRESETS
from tinsmith.targets import Target


@dataclass(frozen=True)
class Room:
    """A base in a target's default format. storage, ram: bytes with a session of the target's default context;
    a lower bound unless `exact`. fits: None if the weights fit and the rest is unknown. error: of planning a
    model on this disk."""

    format: str
    exact: bool
    storage: int
    ram: int
    fits: bool | None
    error: str | None = None


def room(entry: hub.Entry, path: Path | None, target: Target) -> Room:
    """path: where the model is on this disk, if it is."""
    if path is None:
        return _of_weights(entry, target)
    try:
        return _of_file(path, target)
    except TinsmithError as error:
        return replace(_of_weights(entry, target), error=str(error))


def _of_file(path: Path, target: Target) -> Room:
    made = contents.of(path, target.defaults.format)
    memory = plan.memory_of(made, target, plan.Options(context=plan.context_of(made, target)))
    fits = memory.fits(target.memory.ram, target.memory.storage)
    return Room(target.defaults.format, True, memory.storage, memory.ram, fits)


def _of_weights(entry: hub.Entry, target: Target) -> Room:
    kind = weight_format(PRESETS[target.defaults.format].matrices)
    size = entry.parameters * kind.bytes // kind.block
    ram = 0 if target.memory.flash_bandwidth is not None else size
    too_large = size > target.memory.storage or ram > target.memory.ram
    return Room(target.defaults.format, False, size, ram, False if too_large else None)
