"""Several tasks on one base: how often the router is right, and what an adapter beside it costs in accuracy.

    python benchmarks/skills.py RECIPE --work DIR

RECIPE: one with [[task]], such as examples/skills/four.toml. The run is one of `tinsmith make`: what was
interrupted goes on, what is finished is skipped.

Prints one line of JSON. By format: of all test prompts the share that the router sends right, with its 95 %
interval, by task too, and of those off topic the share that it refuses; of each task the share of exact answers
by the adapter beside the base, routed, by the task's own tin and by one adapter for all tasks, constrained
where the task has a constraint (the last is free). `criteria`: at least 99 % right and 95 % refused, and every
task, routed, within a point of its own tin.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

KINDS = ("adapter", "routed", "own", "joint")
RIGHT, REFUSED, POINT = 0.99, 0.95, 0.01


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="the run's folder")
    args = parser.parse_args()
    command = [sys.executable, "-m", "tinsmith", "make", str(args.recipe), "--out", str(args.work)]
    subprocess.run(command, stdout=sys.stderr, check=True)
    report = json.loads((args.work / "report.json").read_text(encoding="utf-8"))
    print(json.dumps({weights: figures(report, weights) for weights in report["formats"]}))
    return 0


def figures(report: dict[str, Any], weights: str) -> dict[str, Any]:
    router = report["router"][weights]
    tasks = {name: exact(task["systems"], weights.lower()) for name, task in report["tasks"].items()}
    off = router["off_topic"]
    return {
        "router": {
            "prompts": router["prompts"],
            "right": router["right"],
            "interval": router["interval"],
            "tasks": {name: share["right"] for name, share in router["tasks"].items()},
            "off_topic": off
            and {"prompts": off["prompts"], "refused": off["right"], "interval": off["interval"]},
        },
        "exact": tasks,
        "criteria": {
            "right": router["right"] >= RIGHT,
            "refused": bool(off) and off["right"] >= REFUSED,
            "within a point": all(
                of["routed"] >= of["own"] - POINT for of in tasks.values() if of.get("own") is not None
            ),
        },
    }


def exact(systems: dict[str, Any], weights: str) -> dict[str, float]:
    """By kind, constrained where there is such a system."""
    found = {}
    for kind in KINDS:
        name = f"{kind}_{weights}"
        one = systems.get(f"{name}_constrained") or systems.get(name)
        if one:
            found[kind] = one["exact"]
    return found


if __name__ == "__main__":
    sys.exit(main())
