"""A copy of the package with further files in it, as somebody has it who adds to it."""

from __future__ import annotations

import importlib.machinery
import shutil
import subprocess
import sys
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
    """folder/src/tinsmith and folder/targets. added: further files of the tree, by their path in it."""
    source = folder / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "targets", folder / "targets")
    extension = Path(_core.__file__)
    assert extension.name.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))
    shutil.copy(extension, source / "tinsmith" / extension.name)
    for path, text in added.items():
        assert not (folder / path).exists()
        (folder / path).write_text(text)
    return source


def python(source: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs code by that package; its arguments are sys.argv[3:]."""
    command = [sys.executable, "-c", USE, str(source), code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def shell(source: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return python(source, "from tinsmith import cli; sys.exit(cli.main(sys.argv[3:]))", *words)
