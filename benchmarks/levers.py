"""What each lever of training is worth: a recipe with its own settings, and with one of them changed at a time.

    python benchmarks/levers.py examples/home/recipe.toml --work runs/levers
        [--format Q8_0] [--seeds 0,1,2] [--lever NAME='train.epochs = 3; data.augment = false' ...]

Each lever and seed is a run of its own in --work, without baselines: `tinsmith make` goes on with the runs that
were interrupted and skips the finished ones, and so does this. A lever is a name and settings `table.key =
value` in TOML, separated by `;`, their paths absolute. `as it is` is measured first. Prints one line of JSON:
by lever the exact answers of the shipped file, free and constrained, as the mean over the seeds and of each, by
part of the test set, the seconds of training, and the difference to the recipe as it is, in points.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

AS_IT_IS = "as it is"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--format", default="Q8_0", help="the weight format that is built and measured")
    parser.add_argument("--seeds", default="0", help="such as 0,1,2")
    parser.add_argument("--lever", action="append", default=[], help="NAME=SETTINGS; it may be given again")
    args = parser.parse_args()
    levers = {AS_IT_IS: "", **dict(lever.split("=", 1) for lever in args.lever)}
    results: dict[str, Any] = {}
    for name, settings in levers.items():
        reports = [run(args, name, settings, int(seed)) for seed in args.seeds.split(",")]
        results[name] = summary(reports, args.format.lower())
    for name, row in results.items():
        if name != AS_IT_IS:
            row["points"] = {
                way: round(100 * (row[way]["exact"] - results[AS_IT_IS][way]["exact"]), 1)
                for way in ("free", "constrained")
                if way in row and way in results[AS_IT_IS]
            }
    print(json.dumps({"recipe": str(args.recipe), "format": args.format, "levers": results}))
    return 0


def run(args: argparse.Namespace, name: str, settings: str, seed: int) -> dict[str, Any]:
    """The report of one run, brought up to date."""
    recipe = opened(args.recipe)
    change(recipe, settings)
    recipe.setdefault("train", {})["seed"] = seed
    recipe.setdefault("build", {})["formats"] = [args.format]
    recipe.setdefault("eval", {})["baselines"] = []
    folder = args.work / f"{name.replace(' ', '-')}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.toml"
    path.write_text(toml(recipe), encoding="utf-8")
    words = [sys.executable, "-m", "tinsmith", "make", str(path), "--out", str(folder / "run")]
    subprocess.run(words, stdout=sys.stderr, check=True)
    report: dict[str, Any] = json.loads((folder / "run" / "report.json").read_text(encoding="utf-8"))
    return report


def opened(path: Path) -> dict[str, dict[str, Any]]:
    """The recipe's tables, its paths absolute, with its data there."""
    recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    home = path.resolve().parent
    # The data is made beside the recipe, once, and not beside each copy of it.
    command = recipe["data"].pop("command", None)
    made = [recipe["data"][key] for key in ("train", "augment_exclude") if key in recipe["data"]]
    if command and not all((home / path).exists() for path in made):
        subprocess.run([sys.executable if word == "python" else word for word in command], cwd=home, check=True)
    # Paths in a recipe are relative to its folder.
    for keys in recipe.values():
        keys.update({key: str(home / one) for key, one in keys.items() if is_path(one, home)})
    return recipe


def change(recipe: dict[str, dict[str, Any]], settings: str) -> None:
    """settings: such as `train.epochs = 3; data.augment = false`; their paths are absolute, or the recipe's."""
    for line in filter(None, (part.strip() for part in settings.split(";"))):
        for table, keys in tomllib.loads(line).items():
            recipe.setdefault(table, {}).update(keys)


def is_path(value: Any, home: Path) -> bool:
    return isinstance(value, str) and value != "" and (home / value).exists()


def toml(recipe: dict[str, dict[str, Any]]) -> str:
    """JSON's texts, numbers, truths and lists are TOML's too."""
    return "\n".join(
        f"[{table}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        for table, keys in recipe.items()
    )


def summary(reports: list[dict[str, Any]], weights: str) -> dict[str, Any]:
    systems = {"free": f"shipped_{weights}", "constrained": f"shipped_{weights}_constrained"}
    row: dict[str, Any] = {
        way: exactness([report["systems"][system] for report in reports])
        for way, system in systems.items()
        if system in reports[0]["systems"]
    }
    row["training_seconds"] = [round(report["train"]["seconds"]) for report in reports]
    return row


def exactness(systems: list[dict[str, Any]]) -> dict[str, Any]:
    def mean(values: list[float]) -> float:
        return round(sum(values) / len(values), 4)

    return {
        "exact": mean([system["exact"] for system in systems]),
        "each": [system["exact"] for system in systems],
        # None of a task without labels.
        "function": None if systems[0]["function"] is None else mean([one["function"] for one in systems]),
        "parts": {
            part: mean([system["parts"][part]["exact"] for system in systems]) for part in systems[0]["parts"]
        },
    }


if __name__ == "__main__":
    sys.exit(main())
