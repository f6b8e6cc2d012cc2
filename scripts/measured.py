"""What scripts/coverage and scripts/mutants share: a build of its own in a virtual environment, and figures."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "benchmarks" / "figures"


def install(tree: Path, folder: Path, environment: Mapping[str, str]) -> Path:
    """Builds a checkout into a virtual environment in `folder` that has this one's packages; its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    # The .pth files of a folder that a .pth file names are not read, so an editable tinsmith there is not seen.
    (site(folder) / "packages.pth").write_text("".join(f"{path}\n" for path in packages), "utf-8")
    command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    command += ["--no-build-isolation", "--no-deps", "--editable", ".", "--config-settings"]
    command += [
        f"build-dir={folder.parent}/cmake",
        "--config-settings",
        "cmake.define.CMAKE_COMPILE_WARNING_AS_ERROR=OFF",
    ]
    tools = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    subprocess.run(command, cwd=tree, env={**environment, "PATH": tools}, check=True)
    return python


def site(folder: Path) -> Path:
    (found,) = folder.glob("lib/python3*/site-packages")
    return found


def digest(paths: Iterable[Path]) -> str:
    """Of files' names and contents."""
    hasher = hashlib.sha256()
    for path in sorted(paths):
        hasher.update(f"{path}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return hasher.hexdigest()


def sources(*folders: str) -> list[Path]:
    """Every file that git knows or would add in these folders of the checkout."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *folders]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def record(name: str, figures: Any) -> None:
    """Prints figures, and writes them where the documentation takes them from."""
    text = json.dumps(figures, indent=2) + "\n"
    FIGURES.mkdir(parents=True, exist_ok=True)
    (FIGURES / f"{name}.json").write_text(text, "utf-8")
    print(text, end="")
