"""What scripts/fuzz and scripts/soak make of what they saw."""

from __future__ import annotations

import json
from pathlib import Path

import fuzz
import pytest
import soak


def test_the_fuzzer_with_the_least_time_is_next() -> None:
    names, spent = ["a", "b", "c"], {"a": 60.0, "b": 0.0, "c": 30.0}
    assert fuzz.next_of(names, spent, set()) == "b"
    assert fuzz.next_of(names, spent, {"b"}) == "c"
    assert fuzz.next_of(names, spent, {*names}) is None


@pytest.mark.parametrize(
    ("kind", "said", "count"),
    [
        ("image", "#12 DONE\nstat::number_of_executed_units: 5017\nstat::average_exec_per_sec: 6\n", 5017),
        ("program", "290 10 31 40\n", 300),
        ("session", "calls: 4711\n", 4711),
        ("image", "==1==ERROR: AddressSanitizer\n", 0),
        ("program", "Aborted\n", 0),
    ],
)
def test_executions_are_read_from_what_a_fuzzer_prints(kind: str, said: str, count: int) -> None:
    assert fuzz.executions(kind, said) == count


def test_figures_of_a_commit_add_up_over_runs(tmp_path: Path) -> None:
    path = tmp_path / "figures" / "fuzz.json"
    for commit in ("a", "b", "b"):
        figures = fuzz.Figures(path, commit)
        figures.add("image", {"executions": 100, "seconds": 60, "findings": 0, "inputs": 7})
        figures.add("text", {"executions": 5, "seconds": 1, "findings": 1})
    told = json.loads(path.read_text())
    assert told["a"]["executions"] == 105
    assert told["b"]["fuzzers"]["image"] == {"executions": 200, "seconds": 120, "findings": 0, "inputs": 7}
    assert (told["b"]["seconds"], told["b"]["findings"]) == (122, 2)


def test_memory_that_grows_is_not_flat() -> None:
    warm = [50 << 20, 60 << 20, 70 << 20, 78 << 20]
    noise = [(80 << 20) + (k % 3 << 18) for k in range(30)]
    leak = [look + (k << 18) for k, look in enumerate(noise)]
    assert soak.flat(*soak.growth([*warm, *noise]))
    assert not soak.flat(*soak.growth([*warm, *leak]))
