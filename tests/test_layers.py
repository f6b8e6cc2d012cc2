"""The layers of pyproject.toml hold, and what goes against them is caught."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The package as it lies in the current folder, wherever tinsmith is installed.
LINT = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__.lower()
                 and "ScikitBuild" not in type(finder).__name__]
sys.path.insert(0, "src")
from importlinter.cli import lint_imports
sys.exit(lint_imports(no_cache=True))
"""


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", LINT], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_folder_is_a_package() -> None:
    """The linter passes over others."""
    folders = {path.parent for path in (ROOT / "src/tinsmith").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_the_layers_hold(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("system/cores.py", "from tinsmith.runtime import model", "A wing imports those below it"),
        ("models/llama.py", "from tinsmith.compiler import build", "A wing imports those below it"),
        ("search/text.py", "from tinsmith.evaluate import metrics", "A wing imports those below it"),
        ("runtime/generation.py", "from tinsmith.runtime import model", "No circle of modules"),
        ("pipeline/recipe.py", "from tinsmith.cli import _budget", "A private module is its package"),
    ],
)
def test_an_import_against_them_is_caught(copy: Path, module: str, line: str, contract: str) -> None:
    path = copy / "src/tinsmith" / module
    path.write_text(f"{path.read_text()}\n\ndef wrong() -> None:\n    {line}\n")
    done = lint(copy)
    assert done.returncode != 0
    assert contract in done.stdout.partition("Broken contracts")[2], done.stdout


def test_what_only_a_type_checker_imports_counts(copy: Path) -> None:
    path = copy / "src/tinsmith/spec.py"
    path.write_text(
        f"{path.read_text()}\nfrom typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n"
        "    from tinsmith.models import family\n"
    )
    assert lint(copy).returncode != 0
