"""A run's examples: read from what the recipe names, in whatever shape, and divided where it names no file to
validate or to test on. What was divided once stays so: the run's folder keeps which input is in which split."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import tasks
from tinsmith.data.splits import LEARNED, SPLITS, Division, divide
from tinsmith.errors import DataError
from tinsmith.system import files, reading

if TYPE_CHECKING:
    from tinsmith.data.images import ImageSource
    from tinsmith.data.readers import Example
    from tinsmith.data.shapes import Named, Opened
    from tinsmith.pipeline.recipe import Recipe
    from tinsmith.pipeline.run import Run
    from tinsmith.tasks import Task

PICTURES = "pictures"  # beside a run's examples
DIVISION = "data/splits.json"  # the split of each input, by its key
LOGGED = ("input", "output", "turns", "about")  # the keys of a row that `tinsmith run --log-unsure` writes


@dataclass(frozen=True)
class Divided:
    """Splits that were made. made: their names, and the training split's; kept: examples whose split an earlier
    run in this folder had chosen; groups: of examples that stay together; near: of the examples, those in a
    group with others."""

    made: list[str]
    kept: int
    groups: int
    near: int


@dataclass(frozen=True)
class Read:
    """examples: by split; paths: what each was read from; divided: None where no split was made."""

    examples: dict[str, list[Example]]
    paths: dict[str, Path]
    divided: Divided | None = None


def named_paths(recipe: Recipe) -> dict[str, Path]:
    """What the recipe names, by split."""
    named = {split: getattr(recipe.data, split) for split in SPLITS}
    return {split: recipe.resolve(path) for split, path in named.items() if path}


def columns(recipe: Recipe) -> Named:
    from tinsmith.data.shapes import Named

    data = recipe.data
    return Named(data.shape, data.input or (), data.output, data.group, data.author, data.image or ())


def logged(asked: str, answer: str, before: Sequence[Mapping[str, str]], probability: float) -> dict[str, Any]:
    """What `tinsmith run --log-unsure` writes of an answer. before: the messages that were before what was
    asked."""
    values = (asked, answer, list(before), {"probability": round(probability, 4)})
    return {key: value for key, value in zip(LOGGED, values, strict=True) if value != []}


def columns_of(recipe: Recipe, path: Path) -> Named:
    """Of a file of new examples: those that [data] names, or the usual ones of what `tinsmith run --log-unsure`
    wrote."""
    from tinsmith.data.shapes import Named
    from tinsmith.data.shapes.own import Own

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


def read(run: Run) -> Read:
    """Reads every split, says what its rows were taken for, and makes those that the recipe has no file for."""
    from tinsmith.data.containers.folders import sources

    recipe = run.recipe
    paths = named_paths(recipe)
    if LEARNED in paths:
        held = sources(paths[LEARNED])
        paths |= {split: paths[LEARNED] for split in SPLITS if split in held and split not in paths}
    found = {split: _read(run, split, path) for split, path in paths.items()}
    _say_system(run, found)
    missing = {split: recipe.data.shares[split] for split in ("test", "validation") if split not in paths}
    if not missing:
        return Read(found, paths)
    parts, divided = _divide(run, found[LEARNED], missing)
    in_order = {split: {**found, **parts}[split] for split in SPLITS}
    return Read(in_order, {split: paths.get(split, paths[LEARNED]) for split in SPLITS}, divided)


def _read(run: Run, split: str, path: Path) -> list[Example]:
    from tinsmith.data.shapes import open_examples

    task = tasks.by_name(run.recipe.data.task)
    opened = open_examples(path, named=columns(run.recipe), task=task, split=split)
    said = opened.said()
    for line in said if split == LEARNED else said[:1]:
        run.display.line(f"data: {line}")
    return _checked(opened, task)


def read_examples(path: Path, task: str, named: Named | None = None, split: str = LEARNED) -> list[Example]:
    """Raises DataError for a row that is no example, or whose output the task does not have."""
    from tinsmith.data.shapes import open_examples

    kind = tasks.by_name(task)
    return _checked(open_examples(path, named=named, task=kind, split=split), kind)


def _checked(opened: Opened, task: Task) -> list[Example]:
    examples = list(opened)
    for example in examples:
        for output in (example.output, *example.accept):
            if not task.is_valid(task.parse(output), task.labels([output])):
                raise DataError(f"{example.where}: not a valid output of the task {task.name}: {output}")
    return examples


def _say_system(run: Run, found: Mapping[str, Sequence[Example]]) -> None:
    """What the rows' own system messages do."""
    rows = [row for examples in found.values() for row in examples]
    own = {row.turns[0].content for row in rows if row.turns and row.turns[0].role == "system"}
    count = sum(bool(row.turns) and row.turns[0].role == "system" for row in rows)
    if own == {run.recipe.data.system} or not own:
        return
    if len(own) == 1 and count == len(rows) and not run.recipe.data.system:
        run.display.line(
            "data: warning: every row has the same system message; state it as [data] system, or the built "
            "files are asked without it"
        )
    else:
        run.display.line(
            f"data: {count:,} of {len(rows):,} rows have a system message, in place of [data] system"
        )


def _divide(
    run: Run, examples: Sequence[Example], shares: Mapping[str, float]
) -> tuple[dict[str, list[Example]], Divided]:
    data = run.recipe.data
    task = tasks.by_name(data.task)
    labels = [task.label(example.output) for example in examples]
    drawn = {"shares": dict(sorted(shares.items())), "near": data.near_duplicate}
    kept = _kept(run, drawn)
    division = divide(examples, labels, shares, data.near_duplicate, 0, kept)
    counts = Counter(division.splits)
    for split in (*shares, LEARNED):
        if not counts[split]:
            together = f", {division.near:,} of them like others," if division.near else ""
            raise DataError(
                f"{run.recipe.path}: [data]: {len(examples):,} examples{together} leave none for {split}; give "
                "more, a file of its own, or near_duplicate = 1 to part what is only alike"
            )
    _write(run, drawn, kept, division)
    parts: dict[str, list[Example]] = {split: [] for split in (LEARNED, *shares)}
    for example, split in zip(examples, division.splits, strict=True):
        parts[split].append(example)
    divided = Divided([LEARNED, *shares], division.kept, division.groups, division.near)
    told = ", ".join(f"{counts[split]:,} {split}" for split in divided.made)
    before = f", {divided.kept:,} where they were" if divided.kept else ""
    run.display.line(f"data: {len(examples):,} examples divided into {told}{before}; see {DIVISION}")
    return parts, divided


def _kept(run: Run, drawn: Mapping[str, Any]) -> dict[str, str]:
    """The splits that an earlier run in this folder chose, by key, and before those the ones of the run whose
    adapter is gone on from; none where it was told otherwise."""
    own, before = run.folder / DIVISION, division_before(run.recipe)
    splits = _splits(own, drawn) or {}
    if before is not None:
        earlier = _splits(before, drawn)
        if earlier is None:
            run.display.line(
                f"data: warning: {before} was divided by another split_shares or near_duplicate, so that "
                "examples that the adapter learned may be tested on"
            )
        splits |= earlier or {}
    return splits


def _splits(path: Path, drawn: Mapping[str, Any]) -> dict[str, str] | None:
    """As a run chose them, none where there was none; None where it was told otherwise."""
    if not path.exists():
        return {}
    table = reading.read_table(path, DataError, advice="take the file away to divide anew")
    splits = table.get("splits")
    if not isinstance(splits, dict) or not set(map(str, splits.values())) <= set(SPLITS):
        raise DataError(f'{path}: "splits" is damaged; take the file away to divide anew')
    return splits if all(table.get(key) == value for key, value in drawn.items()) else None


def division_before(recipe: Recipe) -> Path | None:
    """Of the run that made the adapter which training goes on from, where that and this one divide their
    examples: what it learned is not to be tested on."""
    from tinsmith.train.update import FOLDER

    if recipe.update is None or all(split in named_paths(recipe) for split in SPLITS):
        return None
    adapter = files.resolved(recipe.resolve(recipe.update.adapter))
    is_kept = adapter.parent.parent.name == FOLDER  # as `update/continued/adapter`
    path = adapter.parents[2 if is_kept else 0] / DIVISION
    return path if path.exists() else None


def _write(run: Run, drawn: Mapping[str, Any], kept: Mapping[str, str], division: Division) -> None:
    """Inputs that are gone stay in it, so that they come back to where they were."""
    splits = {**kept, **dict(zip(division.keys, division.splits, strict=True))}
    table = {**drawn, "splits": dict(sorted(splits.items()))}
    files.write_text(run.folder / DIVISION, json.dumps(table, indent=0, ensure_ascii=False) + "\n")


def write_examples(path: Path, examples: Sequence[Example]) -> None:
    """As JSON lines. Pictures are copied to a folder beside the file, each once, under its SHA-256."""
    from tinsmith.data.readers import as_row

    folder = path.parent
    if any(one.images for one in examples):
        files.claim(folder / PICTURES)
    own = (replace(one, images=tuple(_copied(shown, folder) for shown in one.images)) for one in examples)
    rows = [as_row(one, folder) for one in own]
    files.write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _copied(picture: ImageSource, folder: Path) -> ImageSource:
    home = (folder / PICTURES).absolute()
    if picture.path is not None and Path(picture.path).parent == home:
        return picture
    place = home / f"{picture.digest}{picture.suffix()}"
    if not place.exists() or files.sha256_file(place) != picture.digest:
        picture.pixels()  # what is damaged is no example
        _keep(place, picture.bytes())
    return replace(picture, path=str(place), data=None)


def _keep(place: Path, data: bytes) -> None:
    """Writes a picture without waiting for the disk, which for thousands takes long: its name says what its
    bytes must be, and whoever takes it again looks."""
    temporary = place.with_name(f"{place.name}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(place)
    except OSError as error:
        raise files.write_fault(place, error) from error


def pictures_digest(path: Path, named: Named) -> str | None:
    """SHA-256 of the pictures that a file's rows name; None where they name none, or one can't be read yet."""
    import hashlib

    from tinsmith.data.shapes import open_examples

    if not path.is_file():
        return None
    try:
        opened = open_examples(path, named=named)
        if not opened.reading.images:
            return None
        told = "".join(picture.digest for example in opened for picture in example.images)
    except DataError:
        return None  # said where the data is read
    return hashlib.sha256(told.encode()).hexdigest()


def digest(path: Path) -> str | None:
    """SHA-256 of a file, or of what a folder holds; None where there is neither."""
    if not path.is_dir():
        return files.sha256_file(path) if path.is_file() else None
    import hashlib

    found = sorted(one for one in path.rglob("*") if one.is_file())
    told = (os.fsencode(one.relative_to(path)) + f" {files.sha256_file(one)}\n".encode() for one in found)
    return hashlib.sha256(b"".join(told)).hexdigest()
