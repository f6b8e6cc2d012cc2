"""C programs of the tests: the objects that several are made of are compiled once for the text that a compiler
reads, whichever test, process or run asks first."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import metadata
from pathlib import Path

from tests.models.kept import kept

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "kernels"
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off")
_LINKING = ("-I", "-pthread", "-shared", "-Wl,")  # no matter to what is compiled, but for what it includes
_GNU = "#ifndef _GNU_SOURCE\n#define _GNU_SOURCE\n#endif\n"  # as one of a folder's sources may want it
TOOL = ("-O1", "-DTIN_SCALAR_ONLY", "-DTIN_NO_POOL")  # a program where only what it says matters
# One where what it touches matters, too. float-cast-overflow is in no group: what such a conversion gives
# differs between processors.
SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fsanitize=float-cast-overflow")
SANITIZED += ("-fno-sanitize-recover=all", "-D_GNU_SOURCE", *TOOL[1:])


def program(output: Path, sources: Sequence[Path], *flags: str) -> Path:
    """Compiles and links. Raises CalledProcessError where the compiler complains."""
    mine = [one for one in sources if one.is_relative_to(KERNELS)]
    others = [one for one in sources if one not in mine]
    made = objects(compiler(), mine, *flags)
    subprocess.run([compiler(), *STRICT, *flags, "-o", output, *made, *others], check=True)
    return output


def for_target(target: str, output: Path, sources: Sequence[Path], *flags: str) -> Path:
    """A program for another machine, by zig. Linked without the processor and at one level for all, since zig
    makes the C library of a target, in a minute, for each of both."""
    made = objects_for(target, sources, *flags)
    linking = [flag for flag in flags if flag.startswith(_LINKING)]
    subprocess.run([*_zig(target), "-O2", *linking, *made, "-o", output], check=True)
    return output


def objects(by: str, sources: Sequence[Path], *flags: str) -> list[Path]:
    """Of sources, compiled by a compiler, two at a time; those of a folder as one."""
    return _objects([by], version(by), sources, flags)


def objects_for(target: str, sources: Sequence[Path], *flags: str) -> list[Path]:
    return _objects(_zig(target), metadata.version("ziglang"), sources, flags)


def _zig(target: str) -> list[str]:
    return [sys.executable, "-m", "ziglang", "cc", "-target", target]


def _objects(by: list[str], version: str, sources: Sequence[Path], flags: Sequence[str]) -> list[Path]:
    own = [flag for flag in flags if not flag.startswith(_LINKING) and not flag.endswith(".c")]
    paths = [flag for flag in flags if flag.startswith("-I")]
    command = [*by, *STRICT, *own]

    def made(unit: tuple[str, str]) -> Path:
        name, text = unit

        def make(path: Path) -> None:
            compiling = [*command, *paths, "-x", "c", "-", "-c", "-o", path]
            subprocess.run(compiling, input=text.encode(), check=True)

        return kept(f"{name}.o", [version, *command, read_by([*command, *paths], text)], make)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(made, _units(sources)))


def _units(sources: Sequence[Path]) -> list[tuple[str, str]]:
    """Names and texts: the sources of a folder as one, which compile in a third of the time."""
    folders: dict[Path, str] = {}
    for source in sources:
        begun = folders.get(source.parent, _GNU if source.is_relative_to(KERNELS) else "")
        folders[source.parent] = begun + f'#include "{source}"\n'
    return [(folder.name, text) for folder, text in folders.items()]


def core() -> Path:
    """The whole C core as one object, for libraries and programs whose speed does not matter."""
    (made,) = objects(compiler(), [KERNELS / "tin_all.c"], "-O1", "-fPIC", "-DTIN_SHARED")
    return made


def compiler() -> str:
    return os.environ.get("CC", "cc")


def read_by(command: Sequence[str], source: str) -> str:
    """A digest of what a compiler reads: the text with all that it includes."""
    reading = [*command, "-E", "-x", "c", "-"]
    text = subprocess.run(reading, input=source.encode(), capture_output=True, check=True).stdout
    return hashlib.sha256(text).hexdigest()


@cache
def version(program: str) -> str:
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
