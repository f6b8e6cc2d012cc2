"""`tinsmith make RECIPE`: every stage; the systems' table and the report's path on stdout."""

from __future__ import annotations

import argparse

from tinsmith import reading
from tinsmith.cli import _recipe

HELP = "run a recipe: train, build, verify, evaluate and report"

add_arguments = _recipe.add_arguments


def run(args: argparse.Namespace) -> int:
    from tinsmith.evaluate import report

    done = _recipe.run_to("report", args)
    document = reading.read_table(done.folder / "report.json")
    print(report.table(document["systems"]))
    print(done.folder / "report.html")
    return 0
