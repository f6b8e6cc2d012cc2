"""What an adapter forgets when it goes on learning, and what that saves: functions that are added to a task.

    python benchmarks/continual.py examples/home/recipe-full.toml --work runs/continual
        [--functions A,B,C] [--old 1000] [--new 300] [--seeds 0,1,2] [--lever NAME='update.replay = 0.1' ...]

Of the recipe's examples those of the functions are new and the others old. For each seed an adapter is trained
on the first --old old examples, then it learns the first --new new ones, with old ones replayed, and beside it
another one is trained on all of them together. A lever is another way to go on from the first adapter: a name
and settings as benchmarks/quality.py takes them; with `update.retrain = "never"` it is not trained together
again. Every run is `tinsmith make --until train` in --work: interrupted runs resume, finished ones are skipped.

Prints one line of JSON: by lever the shares of exact answers of the float model, of each seed and as the mean,
to the old tests before and after, and to the new ones when it went on and trained together; the seconds of
both, and their ratio. `criteria`: whether the mean keeps the old tests within 1 point, is as good on the new
ones as together (within the 95 % interval of the pooled answers), and takes at most 30 % of the time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

from quality import AS_IT_IS, change, opened, toml
from report import add_out, percent, report

SPLITS = ("train", "validation", "test")
KEYS = ("data", "validation", "test")  # of [update], for the new ones of these


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--functions", default="HassSetVolumeRelative,HassTimerStatus,HassFanSetSpeed")
    parser.add_argument("--old", type=int, default=1000, help="old training examples")
    parser.add_argument("--new", type=int, default=300, help="new training examples")
    parser.add_argument("--seeds", default="0", help="such as 0,1,2")
    parser.add_argument("--settings", default="", help="of every run, as of a lever")
    parser.add_argument("--lever", action="append", default=[], help="NAME=SETTINGS; it may be given again")
    add_out(parser)
    args = parser.parse_args()
    recipe = opened(args.recipe)
    counts = divide(recipe["data"], args)
    levers = {AS_IT_IS: "", **dict(lever.split("=", 1) for lever in args.lever)}
    outcomes: dict[str, list[dict[str, Any]]] = {name: [] for name in levers}
    for seed in map(int, args.seeds.split(",")):
        first = train(args, "first", seed, "")
        for name, settings in levers.items():
            table = f"update.adapter = {json.dumps(str(first / 'adapter'))}; " + settings
            state = json.loads((train(args, name, seed, table) / "run.json").read_text(encoding="utf-8"))
            outcomes[name].append(state["stages"]["train"]["facts"]["update"])
    together = [outcome for outcome in outcomes[AS_IT_IS] if "retrained" in outcome["scores"]]
    results = {name: summary(each, together) for name, each in outcomes.items()}
    shown = {"recipe": str(args.recipe), "functions": args.functions.split(","), "examples": counts}
    rows = [
        {
            "Training": name,
            "Old before, %": percent(row["old_before"]["exact"]),
            "Old after, %": percent(row["old_after"]["exact"]),
            "New after, %": percent(row["new_after"]["exact"]),
            "Share of joint training": row.get("time"),
        }
        for name, row in results.items()
    ]
    report(args.out, {**shown, "levers": results}, rows, [int(seed) for seed in args.seeds.split(",")])
    return 0


def divide(data: dict[str, Any], args: argparse.Namespace) -> dict[str, dict[str, int]]:
    """Writes the old and the new examples of each split to --work/data; their counts."""
    functions, counts = args.functions.split(","), {}
    folder = args.work.resolve() / "data"
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        lines = Path(data[split]).read_text(encoding="utf-8").splitlines()
        parts: dict[str, list[str]] = {"old": [], "new": []}
        for line in filter(str.strip, lines):
            called = json.loads(json.loads(line)["output"])["name"]
            parts["new" if called in functions else "old"].append(line)
        if split == "train":
            parts = {"old": parts["old"][: args.old], "new": parts["new"][: args.new]}
        counts[split] = {age: len(rows) for age, rows in parts.items()}
        for age, rows in parts.items():
            path = folder / f"{age}-{split}.jsonl"
            text = "".join(f"{row}\n" for row in rows)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                path.write_text(text, encoding="utf-8")
    return counts


def train(args: argparse.Namespace, name: str, seed: int, settings: str) -> Path:
    """The folder of one run, brought up to date. settings: with an adapter, the new examples come on top."""
    recipe, data = opened(args.recipe), args.work.resolve() / "data"
    recipe["data"] |= {split: str(data / f"old-{split}.jsonl") for split in SPLITS}
    recipe["data"].pop("limit", None)
    recipe.setdefault("train", {})["seed"] = seed
    recipe.setdefault("build", {})["formats"] = ["Q8_0"]
    if settings:
        new = {key: str(data / f"new-{split}.jsonl") for key, split in zip(KEYS, SPLITS, strict=True)}
        recipe["update"] = {**new, "retrain": "always"}
    change(recipe, args.settings)
    change(recipe, settings)
    folder = args.work / f"{name.replace(' ', '-')}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.toml"
    path.write_text(toml(recipe), encoding="utf-8")
    words = ["make", "--until", "train", str(path), "--out", str(folder / "run")]
    subprocess.run([sys.executable, "-m", "tinsmith", *words], stdout=sys.stderr, check=True)
    return folder.resolve() / "run"


def summary(outcomes: list[dict[str, Any]], together: list[dict[str, Any]]) -> dict[str, Any]:
    """outcomes: of each seed; together: those that were trained together too."""

    def exact(rows: list[dict[str, Any]], adapter: str, tests: str) -> dict[str, Any]:
        each = [row["scores"][adapter][tests]["exact"] for row in rows]
        return {"exact": round(fmean(each), 4), "each": [round(one, 4) for one in each]}

    row: dict[str, Any] = {
        "old_before": exact(outcomes, "start", "old test"),
        "old_after": exact(outcomes, "continued", "old test"),
        "new_before": exact(outcomes, "start", "new test"),
        "new_after": exact(outcomes, "continued", "new test"),
        "kept": [outcome["kept"] for outcome in outcomes],
        "seconds": [round(outcome["seconds"]["continued"]) for outcome in outcomes],
    }
    lost = row["old_before"]["exact"] - row["old_after"]["exact"]
    row["old_points"] = round(-100 * lost, 1)
    if together:
        row["old_together"] = exact(together, "retrained", "old test")
        row["new_together"] = exact(together, "retrained", "new test")
        row["seconds_together"] = [round(outcome["seconds"]["retrained"]) for outcome in together]
        own, whole = (
            fmean(outcome["seconds"][name] for outcome in rows)
            for rows, name in ((outcomes, "continued"), (together, "retrained"))
        )
        row["time"] = round(own / whole, 3)
        short = row["new_together"]["exact"] - row["new_after"]["exact"]
        items = sum(one["scores"]["continued"]["new test"]["items"] for one in outcomes)
        share = row["new_together"]["exact"]
        row["new_margin"] = round(1.96 * (2 * share * (1 - share) / items) ** 0.5, 4)
        row["criteria"] = {
            "old within 1 point": lost <= 0.01,
            "new as together": short <= row["new_margin"],
            "at most 30 % of the time": row["time"] <= 0.3,
        }
    return row


if __name__ == "__main__":
    sys.exit(main())
