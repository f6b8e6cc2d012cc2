"""The recipe's examples in splits: read from its files, and divided where it names none to validate or test on.

A file keeps the split of each input, so that it stays there in later runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith import tasks
from tinsmith.data.readers import Example
from tinsmith.data.shapes import open_examples
from tinsmith.data.splits import LEARNED, SPLITS, Division, divide
from tinsmith.errors import DataError
from tinsmith.pipeline.examples import DIVISION, checked, columns, division_before, split_paths
from tinsmith.pipeline.prepared import Divided
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.pipeline.stage import Reporter
from tinsmith.system import files, reading


@dataclass(frozen=True)
class Read:
    """examples: by split; paths: what each was read from; divided: None where no split was made."""

    examples: dict[str, list[Example]]
    paths: dict[str, Path]
    divided: Divided | None = None


def read(recipe: Recipe, folder: Path, reporter: Reporter) -> Read:
    """Reads every split, reports how its rows are read, and makes splits that the recipe has no file for."""
    paths = split_paths(recipe)
    found = {split: _read(recipe, split, path, reporter) for split, path in paths.items()}
    _note_system(recipe, found, reporter)
    missing = {split: recipe.data.shares[split] for split in ("test", "validation") if split not in paths}
    if not missing:
        return Read(found, paths)
    parts, divided = _divide(recipe, found[LEARNED], missing, folder, reporter)
    in_order = {split: {**found, **parts}[split] for split in SPLITS}
    return Read(in_order, {split: paths.get(split, paths[LEARNED]) for split in SPLITS}, divided)


def _read(recipe: Recipe, split: str, path: Path, reporter: Reporter) -> list[Example]:
    task = tasks.by_name(recipe.data.task)
    opened = open_examples(path, named=columns(recipe), task=task, split=split)
    said = opened.summary()
    for line in said if split == LEARNED else said[:1]:
        reporter.note(f"data: {line}")
    return checked(opened, task)


def _note_system(recipe: Recipe, found: Mapping[str, Sequence[Example]], reporter: Reporter) -> None:
    """Warns where every row has the same system message, and [data] system is not stated."""
    firsts = {row.turns[0] if row.turns else None for examples in found.values() for row in examples}
    first = firsts.pop() if len(firsts) == 1 and not recipe.data.system else None
    if first and first.role == "system":
        reporter.note(
            "data: warning: every row has the same system message; state it as [data] system, or the built "
            "files are asked without it"
        )


def _divide(
    recipe: Recipe, examples: Sequence[Example], shares: Mapping[str, float], folder: Path, reporter: Reporter
) -> tuple[dict[str, list[Example]], Divided]:
    data = recipe.data
    task = tasks.by_name(data.task)
    labels = [task.label(example.output) for example in examples]
    drawn = {"shares": dict(sorted(shares.items())), "near": data.near_duplicate}
    kept = _kept(recipe, drawn, folder, reporter)
    division = divide(examples, labels, shares, data.near_duplicate, 0, kept)
    counts = Counter(division.splits)
    for split in (*shares, LEARNED):
        if not counts[split]:
            together = f", {division.near:,} of them like others," if division.near else ""
            raise DataError(
                f"{recipe.path}: [data]: {len(examples):,} examples{together} leave none for {split}; give "
                "more, a file of its own, or near_duplicate = 1 to part what is only alike"
            )
    _write(folder, drawn, kept, division)
    parts: dict[str, list[Example]] = {split: [] for split in (LEARNED, *shares)}
    for example, split in zip(examples, division.splits, strict=True):
        parts[split].append(example)
    divided = Divided([LEARNED, *shares], division.kept, division.groups, division.near)
    told = ", ".join(f"{counts[split]:,} {split}" for split in divided.made)
    before = f", {divided.kept:,} where they were" if divided.kept else ""
    reporter.note(f"data: {len(examples):,} examples divided into {told}{before}; see {DIVISION}")
    return parts, divided


def _kept(recipe: Recipe, drawn: Mapping[str, Any], folder: Path, reporter: Reporter) -> dict[str, str]:
    """The splits, by key, of an earlier run in this folder, overruled by those of the run whose adapter
    continues; empty where these were drawn by other settings."""
    own, before = folder / DIVISION, division_before(recipe)
    splits = _splits(own, drawn) or {}
    if before is not None:
        earlier = _splits(before, drawn)
        if earlier is None:
            reporter.note(
                f"data: warning: {before} was divided by another split_shares or near_duplicate, so that "
                "examples that the adapter learned may be tested on"
            )
        splits |= earlier or {}
    return splits


def _splits(path: Path, drawn: Mapping[str, Any]) -> dict[str, str] | None:
    """The splits in a file, empty without one; None where they were drawn by other settings."""
    if not path.exists():
        return {}
    table = reading.read_table(path, DataError, advice="take the file away to divide anew")
    splits = table.get("splits")
    if not isinstance(splits, dict) or not set(map(str, splits.values())) <= set(SPLITS):
        raise DataError(f'{path}: "splits" is damaged; take the file away to divide anew')
    return splits if all(table.get(key) == value for key, value in drawn.items()) else None


def _write(folder: Path, drawn: Mapping[str, Any], kept: Mapping[str, str], division: Division) -> None:
    """Writes the splits. Inputs that are gone keep theirs, in case they come back."""
    splits = {**kept, **dict(zip(division.keys, division.splits, strict=True))}
    table = {**drawn, "splits": dict(sorted(splits.items()))}
    files.write_text(folder / DIVISION, json.dumps(table, indent=0, ensure_ascii=False) + "\n")
