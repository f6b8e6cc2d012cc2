"""The default number of threads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tinsmith.system.cores import usable_cores

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux tells more than others")


def machine(folder: Path, siblings: list[str], limits: dict[str, str] | None = None) -> str:
    """A sysfs with a processor for each entry of `siblings`, and the files of a control group."""
    files = {f"devices/system/cpu/cpu{n}/topology/thread_siblings_list": s for n, s in enumerate(siblings)}
    files |= {f"fs/cgroup/{name}": text for name, text in (limits or {}).items()}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n", encoding="ascii")
    return str(folder)


@pytest.mark.parametrize(
    ("processors", "siblings", "cores"),
    [
        ({0, 1, 2, 3}, ["0", "1", "2", "3"], 4),
        ({0, 1, 2, 3}, ["0,2", "1,3", "0,2", "1,3"], 2),
        ({0, 1, 2, 3}, ["0-1", "0-1", "2-3", "2-3"], 2),
        ({0, 1}, ["0,2", "1,3", "0,2", "1,3"], 2),
        ({1, 3}, ["0,2", "1,3", "0,2", "1,3"], 1),
        ({0, 1, 2}, [], 3),
    ],
)
def test_hardware_threads_of_one_core_are_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processors: set[int], siblings: list[str], cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: processors)
    assert usable_cores(machine(tmp_path, siblings)) == cores


@pytest.mark.parametrize(
    ("limits", "cores"),
    [
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "200000 100000"}, 2),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "3200000 100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({"cpu.max": "garbage"}, 8),
    ],
)
def test_a_quota_bounds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, str], cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert usable_cores(machine(tmp_path, [str(n) for n in range(8)], limits)) == cores


def test_it_follows_the_affinity_of_this_process() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
