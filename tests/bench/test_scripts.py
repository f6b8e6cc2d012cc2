"""The scripts under benchmarks/ run and print what they promise."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def printed(script: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, BENCHMARKS / script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
def test_start_times_a_c_program(tin: Path) -> None:
    found = printed("start.py", str(tin), "--tokens", "8", "--repeat", "3", "--isa", "scalar")
    assert (found["threads"], found["tokens"], found["bytes"]) == (2, 8, tin.stat().st_size)
    assert 0 < found["start_ms_least"] <= found["start_ms"]


@pytest.mark.slow
def test_imports_says_what_the_wheel_costs() -> None:
    found = printed("imports.py", "--repeat", "1")
    assert found["wheel_bytes"] < 700_000
    assert {"bare_ms", "runtime_ms", "load_ms"} <= set(found)
