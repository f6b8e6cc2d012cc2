"""The layers of pyproject.toml hold, and what goes against them is caught."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

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


def lint_of_copy(folder: Path, added: dict[str, str]) -> tuple[int, str]:
    """The exit code and words of the linter on a copy of the package; added: code at the end of its modules."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for module, code in added.items():
        path = folder / "src/tinsmith" / module
        path.write_text(f"{path.read_text()}\n{code}")
    done = subprocess.run([sys.executable, "-c", LINT], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout


def test_every_folder_is_a_package() -> None:
    """The linter passes over others."""
    folders = {path.parent for path in (ROOT / "src/tinsmith").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_the_layers_hold(tmp_path: Path) -> None:
    code, said = lint_of_copy(tmp_path, {})
    assert code == 0, said
    assert "0 broken" in said


def test_imports_against_them_are_caught(tmp_path: Path) -> None:
    """One of each kind, each named under its contract; what only a type checker imports counts."""
    wings, rooms = "A wing imports those below it", "A room of training imports those below it"
    pipeline, stages = "A module of the pipeline imports", "No stage imports another"
    circles, private = "No circle of modules", "A private module is its"
    wrong = {
        "system/cores.py": ("runtime.model", wings),
        "models/llama.py": ("compiler.build", wings),
        "search/text.py": ("evaluate.metrics", wings),
        "spec.py": ("models.family", wings),
        "train/batches/packing.py": ("train.model.network", rooms),
        "pipeline/stages/seal.py": ("pipeline.engine", pipeline),
        "pipeline/stages/verify.py": ("pipeline.stages.merge", stages),
        "pipeline/stages/train/job.py": ("pipeline.run", pipeline),
        "runtime/generation.py": ("runtime.model", circles),
        "pipeline/recipe/values.py": ("cli._budget", private),
    }
    added = {}
    for module, (imported, _) in wrong.items():
        package, _, name = imported.rpartition(".")
        line = f"from tinsmith.{package} import {name}"
        added[module] = (
            f"from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    {line}\n"
            if module == "spec.py"
            else f"\ndef wrong() -> None:\n    {line}\n"
        )
    code, said = lint_of_copy(tmp_path, added)
    assert code != 0
    broken = said.partition("Broken contracts")[2]
    sections = re.split(r"\n(.+)\n-{20,}\n", broken)
    named = dict(zip(sections[1::2], sections[2::2], strict=True))
    for module, (imported, contract) in wrong.items():
        (text,) = [text for title, text in named.items() if title.startswith(contract)]
        importer = module.removesuffix(".py").replace("/", ".")
        if contract == circles:  # which says it by the modules' places in their package
            assert "- .generation -> .model (1 import)" in text, said
        else:
            assert f"- tinsmith.{importer} -> tinsmith.{imported} (l." in text, said
