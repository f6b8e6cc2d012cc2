"""The facts of the train stage."""

from __future__ import annotations

from dataclasses import dataclass, field

from tinsmith.train import events
from tinsmith.train.events import Point, Updated, Validated


@dataclass(frozen=True)
class Qat:
    """format: whose errors it was trained under; note, steps, seconds, curve: as of Trained, of it alone;
    validations: under these errors."""

    format: str
    note: str
    steps: int
    seconds: float
    validations: list[Validated]
    curve: list[Point] = field(default_factory=list)


@dataclass(frozen=True)
class Trained(events.Trained):
    """update: what became of an adapter that learned new examples; qat: an adapter of its own for files of
    quantized weights."""

    update: Updated | None = None
    qat: Qat | None = None

    def seconds_in_all(self, last: float) -> float:
        """What training took. last: seconds of the process that ended it; `seconds` are those of all steps,
        whichever process took them."""
        steps = sum(self.update.seconds.values()) if self.update else self.seconds
        return round(max(last, steps + (self.qat.seconds if self.qat else 0)), 3)
