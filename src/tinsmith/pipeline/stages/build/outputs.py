"""The facts of the build stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

UNSEALED = "unsealed"  # the tins' folder, in the run's: the seal stage writes those that ship, beside the GGUFs


@dataclass(frozen=True)
class Built:
    """ggufs, tins: file names by the preset of their weights, the tins' in UNSEALED; front: what AUTO could
    choose from, by size."""

    ggufs: dict[str, str]
    tins: dict[str, str]
    front: list[dict[str, Any]] | None = None
