"""Memory of the machine and of this process, in bytes; None where the system does not report it."""

from __future__ import annotations

import ctypes
import os
import sys

from tinsmith.system.cores import read

# glibc's M_MMAP_THRESHOLD: allocations from this size get their own mapping. New mappings are cleared, which is
# slow for smaller ones.
LARGE = 4 << 20
_MMAP_THRESHOLD = -3


def total(proc: str = "/proc", control: str = "/sys/fs/cgroup") -> int | None:
    """The memory that this process may use: the machine's, or its container's limit."""
    whole = _field(f"{proc}/meminfo", "MemTotal")
    if whole is None and "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _limit(control)
    return limit if whole is None else min(whole, limit or whole)


def available(proc: str = "/proc", control: str = "/sys/fs/cgroup") -> int | None:
    """The memory that is available without swapping."""
    free, limit = _field(f"{proc}/meminfo", "MemAvailable"), _limit(control)
    if limit is not None:
        used = read(f"{control}/memory.current") or read(f"{control}/memory/memory.usage_in_bytes")
        left = max(0, limit - int(used)) if used.isdigit() else limit
        return left if free is None else min(free, left)
    return free


def resident(proc: str = "/proc") -> int | None:
    """This process's resident memory, pages of mapped files included."""
    return _field(f"{proc}/self/status", "VmRSS")


def most_resident(proc: str = "/proc") -> int | None:
    """This process's peak resident memory."""
    return _field(f"{proc}/self/status", "VmHWM")


def give_back() -> None:
    """Returns the C library's free memory to the system where it can, and from now on large blocks as soon as
    they are freed: the holes that they leave add up to a third of the memory in use."""
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_MMAP_THRESHOLD, LARGE)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def _field(path: str, name: str) -> int | None:
    for line in read(path).splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    return None


def _limit(control: str) -> int | None:
    """The control group's limit, in either version of the interface."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        given = read(f"{control}/{name}")
        # Version 1 reports a huge number for no limit.
        if given.isdigit() and int(given) < 1 << 60:
            return int(given)
    return None
