"""The rows of a file, or of a folder, which may have several splits.

A folder is one of: a dataset that Hugging Face's `datasets` saved (state.json, or dataset_dict.json with a
folder per split); files of rows named or placed by split, as on the hub (train.csv,
data/train-00000-of-00002.parquet); a folder of texts or images, or one per split.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tinsmith.data import containers
from tinsmith.data.containers import Row, texts
from tinsmith.errors import DataError
from tinsmith.system import reading
from tinsmith.system.names import is_inside

# File names by split, as on the hub.
_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SPLIT = re.compile(rf"({'|'.join(word for words in _WORDS.values() for word in words)})(?![a-z])")
_NOT_ROWS = ("dataset_infos.json", "dataset_info.json", "state.json", "dataset_dict.json")


@dataclass(frozen=True)
class Source:
    """title: its format in messages; paths: its files, or its folder of texts or images."""

    title: str
    paths: tuple[Path, ...]

    def rows(self) -> Iterator[Row]:
        for path in self.paths:
            yield from texts.rows(path) if path.is_dir() else containers.of_file(path).rows(path)


def sources(path: str | Path) -> dict[str, Source]:
    """By split ("train", "validation", "test"); without splits, under "". Raises DataError for a path without
    rows."""
    path = Path(path)
    if path.is_dir():
        texts.check_links(path)
        return _folder(path)
    if not path.exists():
        raise DataError(f"{path}: no such file; check the path")
    kind = containers.of_file(path)
    if not path.is_file():
        raise DataError(f"{path}: not a regular file, whose rows can be read more than once; save them to one")
    return {"": Source(kind.title, (path,))}


def _folder(folder: Path) -> dict[str, Source]:
    splits_file = folder / "dataset_dict.json"
    if splits_file.is_file():
        names = reading.read_table(splits_file, DataError).get("splits")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DataError(f'{splits_file}: lists no "splits"; save the dataset again')
        if any(Path(name).name != name for name in names):
            raise DataError(f"{splits_file}: names a split elsewhere; save it again")
        return _merged({name: _saved(folder / name) for name in names}, folder)
    if (folder / "state.json").is_file():
        return {"": _saved(folder)}
    found = _row_files(folder)
    names_images = found and texts.listing(folder) is None and texts.title(folder) == "images"
    if names_images or any(_split_of_file(path) for path in found):
        return _files(folder, found)
    is_texts = texts.is_texts(folder)
    by_split = [one for one in texts.subfolders(folder) if split_of(one.name) and texts.is_texts(one)]
    if by_split and not (is_texts and texts.listing(folder)):
        return _merged({one.name: Source(texts.title(one), (one,)) for one in by_split}, folder)
    return {"": Source(texts.title(folder), (folder,))} if is_texts else _files(folder, found)


def split_of(name: str) -> str | None:
    """The split that a file or folder name begins with."""
    match = _SPLIT.match(name.lower())
    return next((split for split, words in _WORDS.items() if match and match.group() in words), None)


def _saved(folder: Path) -> Source:
    """A dataset that `datasets` saved to disk."""
    path = folder / "state.json"
    state = reading.read_table(path, DataError)
    try:
        names = [str(entry["filename"]) for entry in state["_data_files"]]
    except (KeyError, TypeError):
        raise DataError(f'{path}: lists no "_data_files"; save the dataset again') from None
    if not all(is_inside(name) and "/" not in name for name in names):
        raise DataError(f"{path}: names a file outside of its folder; save the dataset again")
    return Source("a saved dataset", tuple(folder / name for name in names))


def _row_files(folder: Path) -> list[Path]:
    """Files of rows, up to two folders below."""
    return sorted(
        one
        for pattern in ("*", "*/*", "*/*/*")
        for one in folder.glob(pattern)
        if one.suffix.lower() in containers.suffixes()
        and not one.name.startswith((".", *_NOT_ROWS))
        and not texts.is_beside(one)
    )


def _split_of_file(path: Path) -> str:
    """By its name or its folder's; empty where neither names a split."""
    return split_of(path.name) or split_of(path.parent.name) or ""


def _files(folder: Path, found: list[Path]) -> dict[str, Source]:
    if not found:
        raise DataError(
            f"{folder}: holds no rows; they are read from {', '.join(containers.suffixes())} files, from texts "
            "or images in a folder of each label, and from these with a .json of each or a labels.csv"
        )
    groups: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in found:
        split = _split_of_file(path)
        own = path.parent.parent if split and not split_of(path.name) else path.parent
        groups[own, split].append(path)
    homes = sorted({home for home, _ in groups})
    if len(homes) > 1:
        listed = ", ".join(str(home.relative_to(folder)) or "." for home in homes)
        raise DataError(f"{folder}: holds several data sets; give the folder of one: {listed}")
    if len({path.suffix.lower() for path in found}) > 1:
        listed = ", ".join(path.name for path in found[:5])
        raise DataError(f"{folder}: holds files of several kinds ({listed}); give one of them")
    title = containers.of_file(found[0]).title
    return {split: Source(title, tuple(paths)) for (_, split), paths in groups.items()}


def _merged(named: dict[str, Source], folder: Path) -> dict[str, Source]:
    """By split, instead of by name."""
    found: dict[str, Source] = {}
    for name, source in named.items():
        split = split_of(name)
        if split is None or split in found:
            raise DataError(f"{folder}: which split is {name}? give its folder, {folder / name}")
        found[split] = source
    return found
