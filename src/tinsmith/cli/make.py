"""`tinsmith make RECIPE`: every stage; the systems' table and the report's path on stdout."""

from __future__ import annotations

import argparse
import json

from tinsmith.cli import _recipe

HELP = "run a recipe: train, build, verify, evaluate and report"

add_arguments = _recipe.add_arguments


def run(args: argparse.Namespace) -> int:
    from tinsmith.evaluate import report

    done = _recipe.run_to("report", args)
    document = json.loads((done.folder / "report.json").read_text(encoding="utf-8"))
    print(report.table(document["systems"]))
    print(done.folder / "report.html")
    return 0
