"""Memory of the machine and of this process, in bytes, as far as the system tells; None where it does not."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

# Bytes from which memory is mapped for itself, else up to 32 MB, and glibc's number for it. What is mapped
# anew has to be cleared first, which is felt where it is done for less.
LARGE = 4 << 20
_MMAP_THRESHOLD = -3


def total(proc: str = "/proc", control: str = "/sys/fs/cgroup") -> int | None:
    """What this process may use at most: the machine's memory, or a container's share of it."""
    whole = _field(f"{proc}/meminfo", "MemTotal")
    if whole is None and "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = _limit(control)
    return limit if whole is None else min(whole, limit or whole)


def available(proc: str = "/proc", control: str = "/sys/fs/cgroup") -> int | None:
    """What can still be had without pushing others out."""
    free, limit = _field(f"{proc}/meminfo", "MemAvailable"), _limit(control)
    if limit is not None:
        used = _text(f"{control}/memory.current") or _text(f"{control}/memory/memory.usage_in_bytes")
        left = max(0, limit - int(used)) if used.isdigit() else limit
        return left if free is None else min(free, left)
    return free


def resident(proc: str = "/proc") -> int | None:
    """What this process holds now, pages of mapped files among it."""
    return _field(f"{proc}/self/status", "VmRSS")


def most_resident(proc: str = "/proc") -> int | None:
    """The most that it has held so far."""
    return _field(f"{proc}/self/status", "VmHWM")


def give_back() -> None:
    """Returns memory that was freed to the system, where the C library holds it and can; from now on what is
    large at once, since the holes that it would leave add up to a third of what is in use."""
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_MMAP_THRESHOLD, LARGE)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def _field(path: str, name: str) -> int | None:
    for line in _text(path).splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    return None


def _limit(control: str) -> int | None:
    """Of this control group, in either version of the interface."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        given = _text(f"{control}/{name}")
        # Version 1 writes a number that no machine has where there is no limit.
        if given.isdigit() and int(given) < 1 << 60:
            return int(given)
    return None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""
