"""The quality matrix: exact answers of the shipped file, for bases x tasks x languages x seeds x settings.

    python benchmarks/quality.py --work runs/quality [--bases smollm2-135m-instruct,NAME=PATH]
        [--tasks home,home-300,extract] [--languages en,de] [--seeds 0,1,2]
        [--lever NAME='train.epochs = 3; data.augment = false' ...] [--budget-minutes 60] [--format Q8_0]

A task is one of TASKS, or the path of a recipe. A base without a chat template gets the first format whose
tokens its vocabulary has. A lever is a name and settings `table.key = value` in TOML, separated by `;`, their
paths absolute; each cell is measured as it is and with each lever.

Each cell is a run of its own in --work, without baselines: `tinsmith make` resumes a run that was interrupted
and skips a finished one, so the matrix can be stopped and continued; once the budget is spent, no cell begins.
The test set of a task in TASKS is frozen by its digest, except that of documents, which each machine makes of
its packages. Prints one line of JSON with a row a cell; the row of a cell that is not measured has no figures.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report import add_out, percent, report

from tinsmith import models
from tinsmith.chat import own_templates

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
AS_IT_IS = "as it is"
PARTS = "Exact by part, %"
WAYS = {"": "unconstrained", "_constrained": "constrained"}  # by the end of a system's name in report.json


@dataclass(frozen=True)
class Task:
    recipe: str  # under examples/
    # By language: the first eight digits of the SHA-256 of the test set; None where each machine has its own.
    digests: Mapping[str, str | None]
    settings: str = ""


HOME = {"en": "02d37a95", "de": "1a637d55", "es": "a1b2c542", "fr": "d83ce6d8", "nl": "a80f655c"}
TASKS = {
    "home": Task("home/recipe.toml", HOME),
    "home-300": Task("home/recipe.toml", HOME, "data.limit = 300"),
    "home-100": Task("home/recipe.toml", HOME, "data.limit = 100"),
    "extract": Task("extract/recipe.toml", {"en": "21d1c31d"}),
    "documents": Task("documents/recipe.toml", {"en": None}),
    "classify": Task("classify/recipe.toml", {"en": "645dd5e5"}),
    "api": Task("api/recipe.toml", {"en": "ce5c3653"}),
    "code": Task("code/recipe.toml", {"en": "8d412993"}),
}


@dataclass(frozen=True)
class Cell:
    base: str  # NAME or NAME=PATH
    task: str
    language: str
    seed: int
    lever: str

    @property
    def folder(self) -> str:
        names = (self.base.partition("=")[0], self.task, self.language, str(self.seed), self.lever)
        return "-".join(name.replace("/", "-").replace(" ", "-") for name in names)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--bases", default="smollm2-135m-instruct")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--languages", default="en")
    parser.add_argument("--seeds", default="0", help="such as 0,1,2")
    parser.add_argument("--lever", action="append", default=[], help="NAME=SETTINGS; it may be given again")
    parser.add_argument("--budget-minutes", type=float, default=math.inf)
    parser.add_argument("--format", default="Q8_0", help="the weight format that is built and measured")
    add_out(parser)
    args = parser.parse_args()
    levers = {AS_IT_IS: "", **dict(lever.split("=", 1) for lever in args.lever)}
    end = time.monotonic() + 60 * args.budget_minutes
    rows = []
    for cell in cells(args, levers):
        recipe = stated(cell, levers[cell.lever], args.format)
        folder = args.work / cell.folder
        if time.monotonic() < end:
            measure(recipe, folder)
        rows.append(row(cell, recipe, folder, args.format.lower()))
    seeds = [int(seed) for seed in args.seeds.split(",")]
    report(args.out, {"format": args.format, "cells": rows}, map(shown, rows), seeds)
    return 0


def cells(args: argparse.Namespace, levers: dict[str, str]) -> Iterator[Cell]:
    """A task comes in the languages that it has."""
    lists = (text.split(",") for text in (args.seeds, args.tasks, args.languages, args.bases))
    for seed, task, language, base in itertools.product(*lists):
        if language in (TASKS[task].digests if task in TASKS else ("en",)):
            yield from (Cell(base, task, language, int(seed), lever) for lever in levers)


def stated(cell: Cell, settings: str, weights: str) -> dict[str, dict[str, Any]]:
    """The cell's recipe."""
    task = TASKS.get(cell.task, Task(cell.task, {}))
    recipe = opened(EXAMPLES / task.recipe if cell.task in TASKS else Path(cell.task), cell.language)
    frozen, found = task.digests.get(cell.language), digest(recipe)
    if frozen not in (None, found):
        sys.exit(f"{cell.task}, {cell.language}: the test set is {found}, not the frozen {frozen}")
    change(recipe, task.settings)
    change(recipe, settings)
    if "base" in recipe:  # a recipe with [scratch] has none
        name, _, path = cell.base.partition("=")
        recipe["base"] |= {"model": str(Path(path).resolve()) if path else name}
        if path and (base := models.load(Path(path))).chat_template is None:
            recipe["base"].setdefault("template", own_templates.fitting(base.tokenizer)[0])
    recipe.setdefault("train", {})["seed"] = cell.seed
    recipe.setdefault("build", {})["formats"] = [weights]
    recipe.setdefault("eval", {})["baselines"] = []
    return recipe


def measure(recipe: dict[str, dict[str, Any]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.toml"
    path.write_text(toml(recipe), encoding="utf-8")
    words = [sys.executable, "-m", "tinsmith", "make", str(path), "--out", str(folder / "run")]
    subprocess.run(words, stdout=sys.stderr, check=True)


def row(cell: Cell, recipe: dict[str, dict[str, Any]], folder: Path, weights: str) -> dict[str, Any]:
    """Percentages with 95 % intervals; "same" counts answers with the expected values in any spelling."""
    found: dict[str, Any] = {
        "Base": cell.base.partition("=")[0],
        "Task": cell.task,
        "Language": cell.language,
        "Seed": cell.seed,
        "Setting": cell.lever,
        "Test set": digest(recipe),
    }
    written, finished = folder / "recipe.toml", folder / "run" / "report.json"
    if not finished.exists() or written.read_text(encoding="utf-8") != toml(recipe):
        return found
    document = json.loads(finished.read_text(encoding="utf-8"))
    for end, way in WAYS.items():
        if system := document["systems"].get(f"shipped_{weights}{end}"):
            low, high = system["exact_interval"]
            found["Items"] = system["items"]
            found[f"Exact, {way}, %"] = percent(system["exact"])
            found[f"95 % interval, {way}"] = f"{percent(low)}–{percent(high)}"
            if system["equivalent"] is not None:
                found[f"Same, {way}, %"] = percent(system["equivalent"])
            if parts := {name: percent(part["exact"]) for name, part in system["parts"].items()}:
                found.setdefault(PARTS, {})[way] = parts
    return {**found, "Training, s": round(document["train"]["seconds"])}


def shown(cell: dict[str, Any]) -> dict[str, Any]:
    """The cell's row in the table."""
    found = {name: cell[name] for name in ("Base", "Task", "Language", "Seed", "Setting", "Test set")}
    if found["Setting"] == AS_IT_IS:
        del found["Setting"]
    if "Items" in cell:
        found["Items"] = cell["Items"]
        for way in WAYS.values():
            if (exact := cell.get(f"Exact, {way}, %")) is not None:
                found[f"{way.capitalize()}, %"] = f"{exact} ({cell[f'95 % interval, {way}']})"
        found["Training, s"] = cell["Training, s"]
    return found


def opened(path: Path, language: str = "en") -> dict[str, dict[str, Any]]:
    """A recipe's tables, its paths absolute, with its data there; in another language, from data-LANGUAGE."""
    text = path.read_text(encoding="utf-8")
    recipe = tomllib.loads(text if language == "en" else text.replace('"data/', f'"data-{language}/'))
    home = path.resolve().parent
    # The data is made beside the recipe, once, and not beside each copy of it.
    command = recipe["data"].pop("command", None)
    if command and language != "en":
        command = [*command, "--language", language, "--out", f"data-{language}"]
    made = [recipe["data"][key] for key in ("train", "augment_exclude") if key in recipe["data"]]
    if command and not all((home / path).exists() for path in made):
        words = [sys.executable if word == "python" else word for word in command]
        subprocess.run(words, cwd=home, check=True, stdout=sys.stderr)
    # Paths in a recipe are relative to its folder.
    for keys in recipe.values():
        keys.update({key: str(home / one) for key, one in keys.items() if is_path(one, home)})
    return recipe


def digest(recipe: dict[str, dict[str, Any]]) -> str:
    return hashlib.sha256(Path(recipe["data"]["test"]).read_bytes()).hexdigest()[:8]


def change(recipe: dict[str, dict[str, Any]], settings: str) -> None:
    """settings: such as `train.epochs = 3; data.augment = false`; their paths are absolute, or the recipe's."""
    for line in filter(None, (part.strip() for part in settings.split(";"))):
        for table, keys in tomllib.loads(line).items():
            recipe.setdefault(table, {}).update(keys)


def is_path(value: Any, home: Path) -> bool:
    return isinstance(value, str) and value != "" and (home / value).exists()


def toml(recipe: dict[str, dict[str, Any]]) -> str:
    """JSON's strings, numbers, booleans and lists are TOML's too."""
    return "\n".join(
        f"[{table}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        for table, keys in recipe.items()
    )


if __name__ == "__main__":
    sys.exit(main())
