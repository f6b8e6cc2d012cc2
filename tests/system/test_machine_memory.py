"""What the system says of memory: the machine's, a container's, this process's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinsmith.system import memory


@pytest.fixture
def machine(tmp_path: Path) -> tuple[str, str]:
    """A /proc of 8 MB, 5 of them to be had, and a control group without a limit."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 8192 kB\nMemFree: 1 kB\nMemAvailable: 5120 kB\n")
    (tmp_path / "proc/self/status").write_text("Name:\tx\nVmHWM:\t  3 kB\nVmRSS:\t  2 kB\n")
    (tmp_path / "group").mkdir()
    (tmp_path / "group/memory.max").write_text("max\n")
    return str(tmp_path / "proc"), str(tmp_path / "group")


def test_of_the_machine(machine: tuple[str, str]) -> None:
    assert memory.total(*machine) == 8 << 20
    assert memory.available(*machine) == 5 << 20
    assert memory.resident(machine[0]) == 2048
    assert memory.most_resident(machine[0]) == 3072


@pytest.mark.parametrize("version", [1, 2])
def test_of_a_container(machine: tuple[str, str], version: int) -> None:
    group = Path(machine[1])
    if version == 1:
        (group / "memory.max").unlink()
        (group / "memory").mkdir()
    names = ("memory.max", "memory.current")
    old = ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")
    limit, used = (group / name for name in (names if version == 2 else old))
    limit.write_text(str(4 << 20))
    used.write_text(str(3 << 20))
    assert memory.total(*machine) == 4 << 20
    assert memory.available(*machine) == 1 << 20
    limit.write_text(str((1 << 63) - 4096))  # version 1 says so where there is no limit
    assert memory.total(*machine) == 8 << 20


def test_of_a_system_that_tells_nothing(tmp_path: Path) -> None:
    assert memory.available(str(tmp_path), str(tmp_path)) is None
    assert memory.resident(str(tmp_path)) is None


def test_freed_memory_can_be_given_back() -> None:
    held = memory.resident()
    memory.give_back()
    assert held is None or memory.resident() is not None
