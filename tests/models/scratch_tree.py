"""A copy of the package with further files in it, as somebody has it who adds to it."""

from __future__ import annotations

import functools
import importlib.machinery
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tinsmith import _core

ROOT = Path(__file__).parents[2]
USE = """\
import sys

# An editable install would find the other tree first.
sys.meta_path[:] = [one for one in sys.meta_path if "tinsmith" not in getattr(one, "known_source_files", ())]
sys.path.insert(0, sys.argv[1])
import tinsmith

assert tinsmith.__file__.startswith(sys.argv[1]), tinsmith.__file__
exec(sys.argv[2])
"""


def copy(folder: Path, added: dict[str, str]) -> Path:
    """folder/src/tinsmith, and what it is built of. added: further files of the tree, by their path in it."""
    source = folder / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("targets", "kernels", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    extension = Path(_core.__file__)
    assert extension.name.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))
    shutil.copy(extension, source / "tinsmith" / extension.name)
    for path, text in added.items():
        assert not (folder / path).exists()
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    return source


def build_extension(folder: Path, *flags: str) -> None:
    """The copy's extension, built from its own C in the place of the other; flags: the compiler's."""
    run = functools.partial(subprocess.run, check=True)
    run([sys.executable, str(folder / "scripts" / "amalgamate.py"), "--list"])
    kernels, built = folder / "kernels", folder / "src" / "tinsmith" / Path(_core.__file__).name
    sources = [path for part in ("pack", "train", "writer", "python") for path in kernels.glob(f"{part}/*.c")]
    includes = [f"-I{path}" for path in (sysconfig.get_path("include"), kernels)]
    strict = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off"]
    kind = ["-shared", "-fPIC", "-pthread", "-DPy_LIMITED_API=0x030b0000"]
    files = map(str, [kernels / "tin_all.c", *sources])
    run(["cc", *strict, *kind, *flags, *includes, *files, "-o", str(built)])


def python(source: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs code by that package; its arguments are sys.argv[3:]."""
    command = [sys.executable, "-c", USE, str(source), code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def shell(source: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return python(source, "from tinsmith import cli; sys.exit(cli.main(sys.argv[3:]))", *words)
