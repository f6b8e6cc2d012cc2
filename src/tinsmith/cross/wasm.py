"""libtin as a WebAssembly module without imports, and its JavaScript wrapper."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tinsmith.cross import sources, zig
from tinsmith.cross.zig import Machine

MODULE = "tin.wasm"
WRAPPER = "tin.mjs"


def module(machine: Machine) -> Path:
    """The module exports the functions of tin.h and kernels/wasm/tin_wasm.c. machine: wasm32 with simd128."""
    bare = replace(machine, triple="wasm32-freestanding")
    libc = f"-isystem{sources.folder() / 'wasm' / 'libc'}"
    units = [sources.core(), *sources.kernels(), *sources.single("wasm/*.c")]
    parts = zig.objects(bare, units, "-DTIN_SHARED", libc)
    return zig.link(bare, MODULE, parts, "-Wl,--no-entry", "-Wl,--export-dynamic", "-Wl,--strip-all")


def wrapper() -> Path:
    return sources.folder() / "wasm" / WRAPPER
