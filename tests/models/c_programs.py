"""C programs of the tests: the objects that several are made of are compiled once for the tree as it is,
whichever test or process asks first."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "kernels"
HELD = ROOT / "build" / "test-objects"
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off")
_LINKING = ("-I", "-pthread", "-shared")  # no matter to the kernels' sources
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


def object_of(source: Path, *flags: str) -> Path:
    """One of the kernels' sources, compiled."""
    own = [flag for flag in flags if not flag.startswith(_LINKING) and not flag.endswith(".c")]
    command = [compiler(), *STRICT, *own, "-c", str(source)]
    name = hashlib.sha256("\0".join(command).encode()).hexdigest()[:16]
    made = _folder() / f"{source.stem}-{name}.o"
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            part = made.with_suffix(".part")
            subprocess.run([*command, "-o", part], check=True)
            part.replace(made)
    return made


def core() -> Path:
    """The whole C core as one object, for libraries and programs whose speed does not matter."""
    return object_of(KERNELS / "tin_all.c", "-O1", "-fPIC", "-DTIN_SHARED")


def compiler() -> str:
    return os.environ.get("CC", "cc")


@cache
def _folder() -> Path:
    """Of this tree's objects; those of others go."""
    digest = hashlib.sha256()
    for path in sorted(path for path in KERNELS.rglob("*") if path.is_file()):
        digest.update(f"{path}\0".encode() + path.read_bytes())
    digest.update(subprocess.run([compiler(), "--version"], capture_output=True, check=True).stdout)
    folder = HELD / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    for other in HELD.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return folder
