"""What a search settled on within a budget, and the front around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tinsmith.format_names import AUTO
from tinsmith.quant.model import Feedback
from tinsmith.quant.presets import Mix
from tinsmith.quant.shipping import Weights
from tinsmith.search import auto
from tinsmith.search.budget import Budget
from tinsmith.system.progress import Display
from tinsmith.targets import Target


@dataclass(frozen=True)
class Chosen:
    """bits: of a weight, on average; front: rows of the report, by size; the one that was taken has
    `chosen`."""

    mix: Mix
    feedback: Feedback
    bits: float
    front: list[dict[str, Any]]

    def weights(self) -> Weights:
        """Error feedback replaces an importance matrix."""
        return Weights(AUTO, self.mix, feedback=self.feedback)


def of_search(
    search: auto.Search, budget: Budget, display: Display, accuracy: Callable[[auto.Point], float] | None = None
) -> Chosen:
    """The choice within a budget, and the front around it, also shown. accuracy: as Search.choose takes it."""
    point = search.measured(search.choose(budget, accuracy))
    front = [other for other in search.front() if other.formats != point.formats]
    for line in auto.table(front, point):
        display.line(line)
    rows = [{**other.row(), "chosen": False} for other in front] + [{**point.row(), "chosen": True}]
    rows.sort(key=lambda row: row["bytes"])
    return Chosen(search.mix(point), search.grams.feedback, point.bits, rows)


def least(stated: int | None, room: int | None) -> int | None:
    """Of two limits, either of which may be none."""
    return min((one for one in (stated, room) if one is not None), default=None)


def bandwidth(devices: Sequence[Target]) -> int | None:
    """Bytes a second that the slowest device reads of a model."""
    return min((device.memory.flash_bandwidth or device.memory.bandwidth for device in devices), default=None)
