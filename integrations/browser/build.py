#!/usr/bin/env python3
"""Makes the files of a page in one folder: tinhost.wasm and this folder's modules.

    integrations/browser/build.py FOLDER     needs zig (the extra `cross`)

The module is the C library and tin_host.h over zig's C library for WASI, of which it asks only the time.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from tinsmith import targets
from tinsmith.cross import runtime, sources, zig
from tinsmith.system.files import atomic_write

HERE = Path(__file__).resolve().parent
MODULES = ("cache.mjs", "host.mjs", "table.mjs", "tinsmith.d.ts", "tinsmith.mjs", "worker.mjs")
EXPORTS = ("-Wl,--export-dynamic", "-Wl,--export=malloc", "-Wl,--export=free")
LINK = ("-mexec-model=reactor", "-Wl,--strip-all", *EXPORTS)


def module() -> Path:
    machine = runtime.machines(targets.load("wasm32"))[0]
    bare = replace(machine, triple="wasm32-freestanding")
    libc = f"-isystem{sources.folder() / 'wasm' / 'libc'}"
    kernels = zig.objects(bare, sources.kernels(), "-DTIN_SHARED", libc)
    core = zig.objects(machine, [sources.core(), sources.host()], "-DTIN_SHARED")
    return zig.link(machine, "tinhost.wasm", [*core, *kernels], *LINK)


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for path in (module(), *(HERE / name for name in MODULES)):
        with atomic_write(folder / path.name) as file:
            file.write(path.read_bytes())
        print(folder / path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
