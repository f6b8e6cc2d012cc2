"""A recipe's examples: the files that it names, and how their rows are read and written."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinsmith import tasks
from tinsmith.data.containers.folders import sources
from tinsmith.data.images import ImageSource
from tinsmith.data.readers import Example, as_row
from tinsmith.data.shapes import Named, Opened, open_examples
from tinsmith.data.shapes.own import Own
from tinsmith.data.splits import LEARNED, SPLITS
from tinsmith.errors import DataError
from tinsmith.pipeline.prepared import COPIES
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.system import files
from tinsmith.tasks import Task

IMAGES = "images"  # beside a run's examples
DIVISION = "data/splits.json"  # the split of each input, by its key
LOGGED = ("input", "output", "turns", "about")  # the keys of a row that `tinsmith run --log-unsure` writes


def named_paths(recipe: Recipe) -> dict[str, Path]:
    """The recipe's files by split."""
    return recipe.paths(recipe.data, SPLITS)


def split_paths(recipe: Recipe) -> dict[str, Path]:
    """The recipe's files by split, with those splits that the folder or file of `train` holds too."""
    paths = named_paths(recipe)
    held = sources(paths[LEARNED]) if LEARNED in paths else {}
    paths = {**{split: paths[LEARNED] for split in held}, **paths}
    return {split: paths[split] for split in SPLITS if split in paths}


def beside(recipe: Recipe) -> dict[str, Path]:
    """The other files that the recipe's method learns from, by the recipe's key."""
    return recipe.paths(recipe.data, COPIES)


def columns(recipe: Recipe) -> Named:
    data = recipe.data
    return Named(data.shape, data.input or (), data.output, data.group, data.author, data.image or ())


def logged(asked: str, answer: str, before: Sequence[Mapping[str, str]], probability: float) -> dict[str, Any]:
    """A row of `tinsmith run --log-unsure`. before: the messages before the question."""
    values = (asked, answer, list(before), {"probability": round(probability, 4)})
    return {key: value for key, value in zip(LOGGED, values, strict=True) if value != []}


def columns_of(recipe: Recipe, path: Path) -> Named:
    """The columns of a file of new examples: those in [data], or the usual ones for a file that `tinsmith run
    --log-unsure` wrote."""
    named = columns(recipe)
    if path.suffix == ".jsonl" and path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:
            first = next((line for line in file if line.strip()), "")
        try:
            row = json.loads(first)
        except ValueError:
            return named
        stated = {*named.input, named.output, named.group, named.author, *named.image} - {None}
        is_own = isinstance(row, dict) and {"input", "output"} <= row.keys() <= {*LOGGED}
        if is_own and (named.shape not in (None, Own.name) or not stated <= row.keys()):
            return Named()
    return named


def read_examples(path: Path, task: str, named: Named | None = None, split: str = LEARNED) -> list[Example]:
    """Raises DataError for a row that is no example, or whose output the task does not have."""
    kind = tasks.by_name(task)
    return checked(open_examples(path, named=named, task=kind, split=split), kind)


def checked(opened: Opened, task: Task) -> list[Example]:
    examples = list(opened)
    for example in examples:
        for output in (example.output, *example.accept):
            if not task.is_valid(task.parse(output), task.labels([output])):
                raise DataError(f"{example.where}: not a valid output of the task {task.name}: {output}")
    return examples


def division_before(recipe: Recipe) -> Path | None:
    """The splits of the run whose adapter training continues, where both runs divide their examples: what the
    adapter learned must not be tested on."""
    from tinsmith.train.update import FOLDER

    if recipe.update is None or all(split in named_paths(recipe) for split in SPLITS):
        return None
    adapter = files.resolved(recipe.resolve(recipe.update.adapter))
    is_kept = adapter.parent.parent.name == FOLDER  # as `update/continued/adapter`
    path = adapter.parents[2 if is_kept else 0] / DIVISION
    return path if path.exists() else None


def write_examples(path: Path, examples: Sequence[Example]) -> None:
    """As JSON lines. Images are copied to a folder beside the file, each once, under its SHA-256."""
    folder = path.parent
    if any(one.images for one in examples):
        files.claim(folder / IMAGES)
    own = (replace(one, images=tuple(_copied(shown, folder) for shown in one.images)) for one in examples)
    rows = [as_row(one, folder) for one in own]
    files.write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _copied(image: ImageSource, folder: Path) -> ImageSource:
    home = (folder / IMAGES).absolute()
    if image.path is not None and Path(image.path).parent == home:
        return image
    place = home / f"{image.digest}{image.suffix()}"
    if not place.exists() or files.sha256_file(place) != image.digest:
        image.pixels()  # what is damaged is no example
        _keep(place, image.bytes())
    return replace(image, path=str(place), data=None)


def _keep(place: Path, data: bytes) -> None:
    """Writes an image without waiting for the disk, which takes long for thousands. Its name is its digest,
    which is checked before the file is used again."""
    temporary = place.with_name(f"{place.name}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(place)
    except OSError as error:
        raise files.write_fault(place, error) from error


def images_digest(path: Path, named: Named) -> str | None:
    """SHA-256 of the images that a file's rows name; None where they name none, or one can't be read yet."""
    if not path.is_file():
        return None
    try:
        opened = open_examples(path, named=named)
        if not opened.reading.images:
            return None
        told = "".join(image.digest for example in opened for image in example.images)
    except DataError:
        return None  # said where the data is read
    return hashlib.sha256(told.encode()).hexdigest()


def digest(path: Path) -> str | None:
    """SHA-256 of a file, or of what a folder holds; None where there is neither."""
    if not path.is_dir():
        return files.sha256_file(path) if path.is_file() else None
    found = sorted(one for one in path.rglob("*") if one.is_file())
    told = (os.fsencode(one.relative_to(path)) + f" {files.sha256_file(one)}\n".encode() for one in found)
    return hashlib.sha256(b"".join(told)).hexdigest()
