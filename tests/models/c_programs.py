"""C programs of the tests: the objects that several are made of are compiled once for the text that a compiler
reads, whichever test, process or run asks first."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from kept import kept

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "kernels"
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off")
_LINKING = ("-I", "-pthread", "-shared", "-Wl,")  # no matter to the kernels' sources
TOOL = ("-O1", "-DTIN_SCALAR_ONLY", "-DTIN_NO_POOL")  # a program where only what it says matters
# One where what it touches matters, too. float-cast-overflow is in no group: what such a conversion gives
# differs between processors.
SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined", "-fsanitize=float-cast-overflow")
SANITIZED += ("-fno-sanitize-recover=all", "-D_GNU_SOURCE", *TOOL[1:])


def program(output: Path, sources: Sequence[Path], *flags: str) -> Path:
    """Compiles and links. Raises CalledProcessError where the compiler complains."""
    mine = [str(object_of(one, *flags) if one.is_relative_to(KERNELS) else one) for one in sources]
    subprocess.run([compiler(), *STRICT, *flags, "-o", output, *mine], check=True)
    return output


def object_of(source: Path, *flags: str, by: str | None = None) -> Path:
    """One of the kernels' sources, compiled. by: a compiler, CC unless given."""
    own = [flag for flag in flags if not flag.startswith(_LINKING) and not flag.endswith(".c")]
    command = [by or compiler(), *STRICT, *own]

    def make(path: Path) -> None:
        subprocess.run([*command, "-c", source, "-o", path], check=True)

    return kept(f"{source.stem}.o", [*command, read_by(command, source)], make)


def objects(by: str, sources: Sequence[Path], *flags: str) -> list[Path]:
    """Several, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda source: object_of(source, *flags, by=by), sources))


def core() -> Path:
    """The whole C core as one object, for libraries and programs whose speed does not matter."""
    return object_of(KERNELS / "tin_all.c", "-O1", "-fPIC", "-DTIN_SHARED")


def compiler() -> str:
    return os.environ.get("CC", "cc")


def read_by(command: Sequence[str], source: Path) -> str:
    """A digest of what a compiler compiles: its version, and the source with all that it includes."""
    text = subprocess.run([*command, "-E", source], capture_output=True, check=True).stdout
    return hashlib.sha256(version(command[0]) + text).hexdigest()


@cache
def version(program: str) -> bytes:
    return subprocess.run([program, "--version"], capture_output=True, check=True).stdout
