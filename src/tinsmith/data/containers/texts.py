"""A folder of texts: LABEL/name.txt; or name.txt beside name.json; or name.txt and a labels.csv of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinsmith.data import containers
from tinsmith.data.containers import Row
from tinsmith.data.readers import Where
from tinsmith.errors import DataError
from tinsmith.system import reading

SUFFIXES = (".txt", ".md")
LISTS = ("labels", "metadata")  # names of the file that lists the texts
_FILE = ("file", "file_name", "filename", "path", "name", "id")  # its column that names them


def files(folder: Path) -> list[Path]:
    """The texts that lie in it, by name."""
    return sorted(
        one for one in folder.iterdir() if one.suffix.lower() in SUFFIXES and not one.name.startswith(".")
    )


def listing(folder: Path) -> Path | None:
    """The file that lists the texts; None where there is none."""
    names = [f"{name}{suffix}" for name in LISTS for suffix in containers.suffixes()]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def is_texts(folder: Path) -> bool:
    """Whether the folder holds texts whose labels or answers are there too."""
    own = files(folder)
    inside = any(files(one) for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))
    if listing(folder) is not None:
        return bool(own) or inside
    return inside or any(one.with_suffix(".json").exists() for one in own)


def is_beside(path: Path) -> bool:
    """Whether a file says of texts what their labels or answers are, and holds no rows of its own."""
    return path.stem in LISTS or any(path.with_suffix(suffix).exists() for suffix in SUFFIXES)


def rows(folder: Path) -> Iterator[Row]:
    listed = listing(folder)
    if listed is not None:
        yield from _listed(folder, listed)
    elif found := files(folder):
        for path in found:
            yield _row(path, _beside(path))
    else:
        for label in sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")):
            for path in files(label):
                yield _row(path, {"label": label.name})


def _beside(path: Path) -> dict[str, Any] | DataError:
    answer = path.with_suffix(".json")
    if not answer.exists():
        return DataError(f"{path}: {answer.name} is missing; put the answer beside its text")
    try:
        return {"output": reading.read_json(answer, DataError, most=reading.LINE, unique=True)}
    except DataError as fault:
        return fault


def _row(path: Path, values: dict[str, Any] | DataError, where: Where | None = None) -> Row:
    where = where or Where(str(path))
    try:
        if isinstance(values, DataError):
            raise values
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
            raise DataError(f'{listed}: no column says which text a row is of; name it "{_FILE[0]}"')
        name = str(row.values[column])
        path = next((one for one in _named(folder, name) if one.is_file()), None)
        rest = {key: value for key, value in row.values.items() if key != column}
        if path is None:
            yield Row(row.where, DataError(f'{row.where}: "{column}": there is no text {name} in {folder}'))
        else:
            yield _row(path, rest, row.where)


def _named(folder: Path, name: str) -> list[Path]:
    """Where the text of a name may be: in the folder, never outside it."""
    if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
        return []
    return [folder / name, *(folder / f"{name}{suffix}" for suffix in SUFFIXES)]
