"""The benchmark of plans: memory that the kernel counts is what was planned. Speed is for people to read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_planned_memory_is_measured_memory() -> None:
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("needs Linux's /proc/self/smaps_rollup")
    command = [sys.executable, str(ROOT / "benchmarks" / "plan.py"), "--rounds", "1"]
    rows = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert len(rows) == 5
    for name, row in rows.items():
        memory = row["memory"]
        assert memory["planned_session"] == memory["session_size"], name
        # Of 14 MB at least; the process itself takes some 150 KB the while.
        assert memory["ram_ratio"] == pytest.approx(1, abs=0.015), name
        assert memory["session_ratio"] == pytest.approx(1, abs=0.015), name
        assert row["decode"]["planned_over_measured"] > 0
