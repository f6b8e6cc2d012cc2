"""A loop's period and its deviations."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

SPIN = 1_000_000  # nanoseconds before a tick that are spun, where a sleep would come back late
EDGES = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]  # milliseconds off the period


@dataclass
class Beat:
    """A tick every `period` nanoseconds. off: of each tick, nanoseconds from the last one less the period."""

    period: int
    off: list[int] = field(default_factory=list)
    _due: int = 0
    _last: int = 0

    def begin(self) -> None:
        """The next tick is the first of a row: there is none before it."""
        self._last, self._due = 0, time.perf_counter_ns()

    def wait(self) -> None:
        """Until the next tick is due."""
        self._due += self.period
        while (left := self._due - time.perf_counter_ns()) > 0:
            if left > SPIN:
                time.sleep((left - SPIN) * 1e-9)
        now = time.perf_counter_ns()
        if self._last:
            self.off.append(now - self._last - self.period)
        self._last = now
        if now - self._due > self.period:  # a tick was missed: go on from here
            self._due = now

    def told(self) -> dict[str, object]:
        """Milliseconds. p…: of the period itself; histogram: ticks off it by less than each edge, and more."""
        periods = sorted(off + self.period for off in self.off)
        at = {
            name: _ms(periods[min(len(periods) - 1, int(len(periods) * share))])
            for name, share in SHARES.items()
        }
        counts = [0] * (len(EDGES) + 1)
        for off in self.off:
            counts[sum(abs(off) >= edge * 1e6 for edge in EDGES)] += 1
        return {"ticks": len(periods), **at, "worst": _ms(periods[-1]), "histogram": counts}


SHARES = {"p50": 0.5, "p99": 0.99, "p99_9": 0.999}


def _ms(nanoseconds: int) -> float:
    return round(nanoseconds * 1e-6, 3)


def drawn(rows: dict[str, Beat]) -> str:
    """Their histograms, side by side."""
    counts = {name: beat.told()["histogram"] for name, beat in rows.items()}
    lines = ["off the period " + "".join(f"{name:>24}" for name in counts)]
    for k in range(len(EDGES) + 1):
        label = f"< {EDGES[k]:g} ms" if k < len(EDGES) else f"≥ {EDGES[-1]:g} ms"
        cells = ""
        for counted in counts.values():
            share = counted[k] / max(1, sum(counted))
            cells += f"  {'█' * round(share * 14):<14}{counted[k]:>8}"
        lines.append(f"{label:>14} {cells}")
    return "\n".join(lines)
