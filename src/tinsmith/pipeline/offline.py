"""A pack of all that a recipe trains with, for a site without a network: wheels, base, data and the recipe.

wheels/        tinsmith with what training and measuring need
recipe/        the recipe, and the files that it names, as they lie beside it
cache/         the models that it names, as `tinsmith pull` keeps them
recipe.txt     the recipe's name in recipe/
install.py     checks the folder, makes an environment of Python's venv, and says what is ready
CHECK.md       what the operator checks"""

from __future__ import annotations

import hashlib
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tinsmith import __version__, airgap, hub
from tinsmith.airgap import check, wheel
from tinsmith.airgap.install import RECIPE
from tinsmith.airgap.tar import Source
from tinsmith.airgap.wheel import check_folder
from tinsmith.cross import needed
from tinsmith.data.containers import arrow_rows
from tinsmith.errors import InputError, TinsmithError
from tinsmith.formats import minisign, sbom
from tinsmith.pipeline import engine
from tinsmith.pipeline import recipe as recipes
from tinsmith.pipeline.recipe.file import RecipeFile
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.system import children, reading
from tinsmith.system.files import is_inside, sha256_file
from tinsmith.system.progress import Display
from tinsmith.train.options import BASE_TEACHER

EXTRAS = ("train", "eval", "gguf")
# What of them is imported at a site before it is called ready.
MODULES = ("torch", "transformers", "tokenizers", "peft", "safetensors", "numpy", "jinja2", "bm25s", "sklearn")
_BILL = b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1}'


def pack(
    path: Path, out: Path, key: minisign.SecretKey | None, display: Display, wheels: Path | None, form: str
) -> list[Path]:
    """Makes the folder `out` and, where the form has one, the archive beside it. Returns their paths.

    path: the recipe, whose data is read as `tinsmith make` does, so that what is wrong shows here. wheels: a
    folder of those to install, for this Python; None makes them of what is installed here. Raises InputError
    where `out` is there already, a file lies outside of the recipe's folder, or wheels are missing."""
    recipe = recipes.load(path)
    airgap.check_out(out, form)
    with tempfile.TemporaryDirectory() as read:
        engine.make(recipe, Path(read) / "run", display, "data")

    def files(scratch: Path) -> dict[str, Source]:
        own = {f"recipe/{name}": path for name, path in named(recipe).items()}
        bases = {f"cache/{name}": source for name, source in hub.carried(models(recipe)).items()}
        display.line("wheels, some minutes where they are made" if wheels is None else "wheels")
        tables = any(path.suffix.lower() in arrow_rows.SUFFIXES for path in own.values())
        folder = _wheels(wheels, (*EXTRAS, "data") if tables else EXTRAS, scratch / "wheels")
        packages = wheel.beside(folder)
        digests = {name: _digest(source) for name, source in {**own, **bases}.items()}
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        page = check.training(recipe.path.name, python, digests, check.Keys(key.public if key else None))
        return {
            **{f"wheels/{one.name}": one for one in folder.iterdir()},
            **own,
            **bases,
            RECIPE: f"{recipe.path.name}\n".encode(),
            "install.py": Path(airgap.__file__).with_name("install.py"),
            "sbom.cdx.json": sbom.with_packages(_BILL, [source for source, _ in packages]),
            "LICENSES/tinsmith.txt": wheel.license_text().encode(),
            **{f"LICENSES/{source.name}.txt": text for source, text in packages if text},
            **airgap.public_file(key),
            check.NAME: page.encode(),
        }

    return airgap.make(out, form, key, f"{recipe.path.name} for training", files)


def named(recipe: Recipe) -> dict[str, Path]:
    """The recipe and the files that it names, by their places beside it. Raises InputError for others."""
    folder = recipe.path.parent
    packed = {recipe.path.name: recipe.path}
    for place, text in reading.leaves(RecipeFile(recipe.path).given):
        if not isinstance(text, str) or not text or place.startswith("a key"):
            continue
        found = recipe.resolve(text.rpartition(":")[0] if ".py:" in text else text)
        if not _exists(found) or found == folder:
            continue
        if not is_inside(found, folder):
            if place.startswith("data.command"):
                continue  # a program of the system's; the data is there, so that nobody runs it
            raise InputError(f"{recipe.path}: {place}: {text} lies outside of the recipe's folder; put it in")
        for file in [found] if found.is_file() else sorted(one for one in found.rglob("*") if one.is_file()):
            if not is_inside(file, folder):
                raise InputError(f"{file}: is a link that leads out of {folder}; put what it leads to there")
            packed[file.relative_to(folder).as_posix()] = file
    return packed


def _exists(path: Path) -> bool:
    """Of a text that may be no path at all."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def models(recipe: Recipe) -> Iterator[tuple[str, str | None]]:
    """Names of those that are not files beside the recipe, and no revision beside."""
    if recipe.base is None:
        return
    teachers = [one.train.teacher for one in (recipe, *recipe.tasks.values())]
    others = [name for name in (*teachers, *recipe.compare.bases) if name and name != BASE_TEACHER]
    for name in (recipe.base.model, *others):
        if not recipe.resolve(name).exists():
            yield name, None


def _wheels(given: Path | None, extras: tuple[str, ...], folder: Path) -> Path:
    """The folder, with the wheels to install: those given, or made again of what is installed here."""
    folder.mkdir()
    if given is None:
        wheel.this_wheel(folder)
        for extra in extras:
            needed.write_extra(extra, folder)
    else:
        for path in sorted(check_folder(given).glob("*.whl")):
            (folder / path.name).symlink_to(path.resolve())
        if not any(folder.glob("tinsmith-*")):
            wheel.this_wheel(folder)
    wanted = f"tinsmith[{','.join(extras)}]"
    command = ["install", "--dry-run", "--ignore-installed", "--no-index", "--find-links", str(folder), wanted]
    done = subprocess.run(
        children.python("-m", "pip", "--disable-pip-version-check", *command),
        env=children.environment(),
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [
            f"pip ended with {done.returncode}"
        ]
        raise InputError(f"{given or 'wheels'}: do not install {wanted}: {lines[-1].removeprefix('ERROR: ')}")
    return folder


def _digest(source: Source) -> str:
    return hashlib.sha256(source).hexdigest() if isinstance(source, bytes) else sha256_file(source)


def main(path: str) -> None:
    """At the site, once it is installed: prints what is ready, or ends with a line that says what is wrong."""
    try:
        recipe = recipes.load(path)
        for name in MODULES:
            importlib.import_module(name)
        for name, revision in models(recipe):
            print(f"base: {name}: {hub.pull(name, offline=True, revision=revision)}")
    except ImportError as error:
        sys.exit(f"{error.name}: is not installed")
    except TinsmithError as error:
        sys.exit(str(error))
    torch = importlib.import_module("torch").__version__
    print(f"ready: {recipe.path}, by tinsmith {__version__} and torch {torch}")
