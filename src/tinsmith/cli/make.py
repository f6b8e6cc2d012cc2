"""`tinsmith make RECIPE`: every stage; the systems' table and the report's path on stdout."""

from __future__ import annotations

from tinsmith import reading
from tinsmith.cli import _recipe
from tinsmith.cli._command import Args

HELP = "run a recipe: train, build, verify, evaluate and report"
SECTION = "train"
PARAMETERS = _recipe.PARAMETERS


def run(args: Args) -> int:
    from tinsmith.pipeline import report

    done = _recipe.run_to("report", args)
    document = reading.read_table(done.folder / "report.json")
    print(report.table(document["systems"]))
    print(done.folder / "report.html")
    return 0
