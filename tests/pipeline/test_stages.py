"""Which stages there are, and that what they hand on is what the next ones take."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tinsmith.pipeline.stages import STAGES

SOURCE = Path(__file__).parents[2] / "src" / "tinsmith"


@pytest.mark.parametrize("place", range(len(STAGES)), ids=[stage.name for stage in STAGES])
def test_a_stage_takes_what_earlier_ones_leave(place: int) -> None:
    earlier = {stage.name: stage.facts for stage in STAGES[:place]}
    assert STAGES[place].needed.items() <= earlier.items()


def test_nothing_below_knows_a_run_or_a_recipe() -> None:
    above = {"pipeline", "cli"}
    for path in SOURCE.rglob("*.py"):
        if path.relative_to(SOURCE).parts[0] not in above:
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"tinsmith\.pipeline|tinsmith import (.*, )?pipeline", text), path
