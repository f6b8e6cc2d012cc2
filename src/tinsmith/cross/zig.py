"""Calls zig cc, which compiles C for every target without its toolchain, and caches the results."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from tinsmith.cross import sources
from tinsmith.errors import InputError, MissingExtraError
from tinsmith.hub import cache_folder
from tinsmith.system import children
from tinsmith.system.files import atomic_folder
from tinsmith.system.parallel import in_order

# As in CMakeLists.txt, and without calls of library functions that some systems lack: square roots are an
# instruction everywhere, and bcmp is not standard.
FLAGS = (
    "-std=c11", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fno-builtin-bcmp",
    "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fvisibility=hidden", "-D_GNU_SOURCE",
    "-DTIN_BUILDING",
)  # fmt: skip
SHOWN_ERRORS = 3  # lines


@dataclass(frozen=True)
class Machine:
    """A compiler's target. triple: zig's, such as "aarch64-linux-musl". cpu: zig's -mcpu; None for the
    architecture's baseline. flags: more flags."""

    triple: str
    cpu: str | None = None
    flags: tuple[str, ...] = ()

    @property
    def system(self) -> str:
        """Without version: "macos" for "macos.11.0"."""
        return self.triple.split("-")[1].split(".")[0]

    @property
    def libc(self) -> str:
        """Such as "musl", "gnu" or "android"; "" for a system with only one."""
        return (self.triple.split("-")[2:] or [""])[0].split(".")[0]

    def compiling(self) -> list[str]:
        cpu = [f"-mcpu={self.cpu}"] if self.cpu not in (None, "generic") else []
        return ["-target", self.triple, *cpu, *self.flags]

    def linking(self) -> list[str]:
        """Without the processor, for which zig would build the system's library again. -O2 avoids zig's
        run-time checks, half as large as a program."""
        return ["-target", self.triple, "-O2"]


def run(tool: str, *arguments: str | Path) -> None:
    """Runs one of zig's tools: "cc", "ar", "dlltool". Raises InputError with its first errors."""
    command = children.python("-m", "ziglang", tool, *map(str, arguments))
    done = subprocess.run(command, env=children.environment(), capture_output=True, text=True, errors="replace")
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
        shown = "; ".join(lines[:SHOWN_ERRORS]) or f"status {done.returncode}"
        raise InputError(f"zig {tool}, for {arguments[-1]}: {shown}")


@cache
def version() -> str:
    if importlib.util.find_spec("ziglang") is None:
        raise MissingExtraError("ziglang", "cross")
    command = children.python("-m", "ziglang", "version")
    done = subprocess.run(command, env=children.environment(), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def kept(name: str, inputs: object, make: Callable[[Path], None]) -> Path:
    """The file `name`, from the cache or by `make`. inputs: JSON values that, with zig's version, determine it.

    It has a folder, to which `make` may add other files. The cache is `cross/` in TINSMITH_CACHE; zig's own is
    ZIG_GLOBAL_CACHE_DIR.
    """
    key = json.dumps([version(), name, inputs], sort_keys=True)
    folder = cache_folder() / "cross" / hashlib.sha256(key.encode()).hexdigest()[:32]
    if not (folder / name).exists():
        try:
            with atomic_folder(folder) as making:
                make(making / name)
        except InputError:
            if not (folder / name).exists():  # otherwise another process has made it
                raise
    return folder / name


def objects(machine: Machine, units: Sequence[sources.Unit], *flags: str) -> list[Path]:
    """An object file of each unit, for static and shared libraries."""
    return list(in_order(partial(_object, machine, unit, flags) for unit in units))


def _object(machine: Machine, unit: sources.Unit, flags: Sequence[str]) -> Path:
    pic = ["-fPIC"] if machine.system == "linux" else []
    options = [*machine.compiling(), *FLAGS, *pic, f"-{unit.level}", *flags]

    def make(path: Path) -> None:
        text = path.with_suffix(".c")
        text.write_text("".join(f'#include "{name}"\n' for name in unit.sources), encoding="utf-8")
        here = sources.folder()
        run("cc", *options, f"-I{here}", f"-I{here / 'include'}", "-c", text, "-o", path)
        text.unlink()

    return kept(f"{unit.name}.o", [options, list(unit.sources), sources.digest(unit)], make)


def link(machine: Machine, name: str, parts: Sequence[Path], *flags: str) -> Path:
    """A stripped program or shared library of cached object files. "{folder}" in a flag is the output
    folder."""

    def make(path: Path) -> None:
        given = [flag.replace("{folder}", str(path.parent)) for flag in flags]
        run("cc", *machine.linking(), "-s", *parts, *given, "-o", path)

    return kept(name, [machine.linking(), [part.parent.name for part in parts], list(flags)], make)


def archive(name: str, parts: Sequence[Path]) -> Path:
    """A static library of cached object files, reproducible: its members have no times or owners."""
    return kept(name, [part.parent.name for part in parts], lambda path: run("ar", "rcsD", path, *parts))
