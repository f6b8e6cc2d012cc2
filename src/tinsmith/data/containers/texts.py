"""A folder of texts or images: LABEL/name.txt; or name.txt beside name.json; or name.txt and a labels.csv.

In a folder with images, the images are the examples, and texts are not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinsmith.data import containers, images
from tinsmith.data.containers import Row
from tinsmith.data.readers import Where
from tinsmith.errors import DataError
from tinsmith.system import reading
from tinsmith.system.files import is_inside

SUFFIXES = (".txt", ".md")
BOTH = (*SUFFIXES, *images.SUFFIXES)
LISTS = ("labels", "metadata")  # names of the file that lists the texts or images
_FILE = ("file", "file_name", "filename", "path", "image", "name", "id")  # its column of file names


def files(folder: Path) -> list[Path]:
    """Its images, or else its texts, by name."""
    found = sorted(
        one for one in folder.iterdir() if one.suffix.lower() in BOTH and not one.name.startswith(".")
    )
    return [one for one in found if _is_image(one)] or found


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in images.SUFFIXES


def listing(folder: Path) -> Path | None:
    """The file that lists the texts or images, if any."""
    names = [f"{name}{suffix}" for name in LISTS for suffix in containers.suffixes()]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def title(folder: Path) -> str:
    found = [*files(folder), *(path for one in subfolders(folder) for path in files(one)[:1])]
    return "images" if any(map(_is_image, found)) else "texts"


def subfolders(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))


def is_texts(folder: Path) -> bool:
    """Whether the folder holds texts or images whose labels or answers are there too."""
    own = files(folder)
    inside = any(map(files, subfolders(folder)))
    if listing(folder) is not None:
        return bool(own) or inside
    return inside or any(one.with_suffix(".json").exists() for one in own)


def is_beside(path: Path) -> bool:
    """Whether a file holds labels or answers of texts or images, rather than rows."""
    return path.stem in LISTS or any(path.with_suffix(suffix).exists() for suffix in BOTH)


def check_links(folder: Path) -> None:
    """Raises DataError for a link in the folder that leads out of it."""
    for here, folders, names in os.walk(folder):
        for path in (Path(here, name) for name in (*folders, *names)):
            if path.is_symlink() and not is_inside(path, folder):
                raise DataError(f"{path}: is a link that leads out of {folder}; put what it leads to there")


def rows(folder: Path) -> Iterator[Row]:
    check_links(folder)
    listed = listing(folder)
    if listed is not None:
        yield from _listed(folder, listed)
    elif found := files(folder):
        for path in found:
            yield _row(path, None)
    else:
        for label in subfolders(folder):
            for path in files(label):
                yield _row(path, {"label": label.name})


def _beside(path: Path) -> dict[str, Any]:
    answer = path.with_suffix(".json")
    if not answer.exists():
        raise DataError(f"{path}: {answer.name} is missing; add a file with the answer")
    return {"output": reading.read_json(answer, DataError, most=reading.LINE, unique=True)}


def _row(path: Path, labels: dict[str, Any] | None, where: Where | None = None) -> Row:
    """labels: None for those in the file beside it."""
    where = where or Where(str(path))
    try:
        values = _beside(path) if labels is None else labels
        if _is_image(path):
            return Row(where, {"image": str(path.absolute()), **values})
        return Row(where, {"text": reading.read_text(path, DataError, most=reading.LINE), **values})
    except DataError as fault:
        return Row(where, fault)


def _listed(folder: Path, listed: Path) -> Iterator[Row]:
    for row in containers.of_file(listed).rows(listed):
        if isinstance(row.values, DataError):
            yield row
            continue
        column = next((name for name in _FILE if name in row.values), None)
        if column is None:
            raise DataError(f'{listed}: no column says which file a row is of; name it "{_FILE[0]}"')
        name = str(row.values[column])
        path = next((one for one in _named(folder, name) if one.is_file()), None)
        rest = {key: value for key, value in row.values.items() if key != column}
        if path is None:
            yield Row(row.where, DataError(f'{row.where}: "{column}": there is no file {name} in {folder}'))
        else:
            yield _row(path, rest, row.where)


def _named(folder: Path, name: str) -> list[Path]:
    """Candidates for the file of a name, none of them outside the folder."""
    if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
        return []
    return [folder / name, *(folder / f"{name}{suffix}" for suffix in BOTH)]
