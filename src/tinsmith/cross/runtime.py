"""A target's runtime, in the forms that it installs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tinsmith.cross import library, sources
from tinsmith.cross.zig import Machine
from tinsmith.errors import UnsupportedError
from tinsmith.system import files
from tinsmith.system.progress import Display
from tinsmith.targets import Target


def machines(target: Target) -> list[Machine]:
    """The target's own, then its variants (another libc). Raises UnsupportedError for a target without zig."""
    build = target.build
    if build.zig is None:
        raise UnsupportedError(f"{target.name}: has no `zig` in [build], so no library can be built for it")
    return [Machine(triple, build.mcpu, build.flags) for triple in (build.zig, *build.variants)]


def emit(target: Target, folder: Path, display: Display, tins: Sequence[Path] = ()) -> list[Path]:
    """Writes the target's forms below `folder`, and returns the files.

    include/tin.h and tin_host.h; lib/<libc>/ with libtin.a, libtin.so and libtinhost.so (lib/ for a target with
    one libc); bin/tin, which verifies a file on the device; a wheel and its dependencies' wheels; tin.wasm and
    tin.mjs; a firmware image for each of `tins`, in a folder named after it. Raises MissingExtraError without
    zig, InputError for a compiler's error.
    """
    made: list[Path] = []
    for form in target.build.forms:
        display.line(f"runtime for {target.name}: {form}")
        if form == "firmware":
            made += [path for tin in tins for path in _firmware(target, folder / tin.stem, tin, display)]
        else:
            made += FORMS[form](target, folder)
    if {"static", "shared"} & set(target.build.forms):
        made += [_copy(header, folder / "include") for header in sources.headers()]
        made += [_copy(path, folder / "bin") for path in library.program(machines(target)[0])]
    return made


def _libraries(build: Callable[[Machine], list[Path]], target: Target, folder: Path) -> list[Path]:
    several = bool(target.build.variants)
    return [
        _copy(path, folder / "lib" / machine.libc if several else folder / "lib")
        for machine in machines(target)
        for path in build(machine)
    ]


def _wheel(target: Target, folder: Path) -> list[Path]:
    from tinsmith.cross import needed, wheel

    platform = target.build.wheel_platform
    fitting = [machine for machine in machines(target) if machine.libc in ("", "gnu")]
    if not fitting or platform is None:
        raise UnsupportedError(
            f"{target.path}: a wheel needs `wheel_platform` in [build], "
            "and a triple of glibc in `zig` or `variants`"
        )
    return [wheel.wheel(fitting[0], platform, folder), *needed.write(platform, folder)]


def _firmware(target: Target, folder: Path, tin: Path, display: Display) -> list[Path]:
    from tinsmith.cross import firmware

    image = firmware.image(tin, target, folder, display)
    return [image.elf, image.binary]


FORMS: dict[str, Callable[[Target, Path], list[Path]]] = {
    "wheel": _wheel,
    "static": lambda target, folder: _libraries(library.static, target, folder),
    "shared": lambda target, folder: _libraries(library.shared, target, folder),
    "wasm": lambda target, folder: [_copy(path, folder) for path in library.wasm(machines(target)[0])],
}


def _copy(path: Path, folder: Path) -> Path:
    copy = folder / path.name
    with files.atomic_write(copy) as file:
        file.write(path.read_bytes())
    copy.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    return copy
