"""The number of usable cores: the default number of threads."""

from __future__ import annotations

import os
from pathlib import Path


def usable_cores(system: str = "/sys") -> int:
    """Physical cores that this process may run on, at least 1.

    On Linux: the cores in its affinity mask, whose hardware threads share the multipliers, limited by the
    container's CPU quota. Elsewhere: the machine's processors. system: the mount point of sysfs.
    """
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    processors = os.sched_getaffinity(0)
    cores = {read(f"{system}/devices/system/cpu/cpu{n}/topology/thread_siblings_list") or n for n in processors}
    return max(1, min(len(cores), _quota(f"{system}/fs/cgroup") or len(cores)))


def processors() -> int:
    """Hardware threads that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota(folder: str) -> int:
    """The control group's processors, rounded up; 0 for no limit."""
    limit = read(f"{folder}/cpu.max").split()
    if not limit:  # version 1 of the interface
        limit = [read(f"{folder}/cpu/cpu.cfs_{name}_us") for name in ("quota", "period")]
    quota, period = limit if len(limit) == 2 else ("", "")
    return -(-int(quota) // int(period)) if quota.isdigit() and period.isdigit() and int(period) else 0


def read(path: str) -> str:
    """The text of a file of the kernel; "" for a missing one."""
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""
