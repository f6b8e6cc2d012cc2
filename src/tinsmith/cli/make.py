"""`tinsmith make RECIPE`: every stage; the systems' table and the report's path on stdout."""

from __future__ import annotations

from tinsmith.cli import _recipe
from tinsmith.cli._command import Args
from tinsmith.system import reading

HELP = "run a recipe: train, build, verify, evaluate and report"
SECTION = "train"
PARAMETERS = _recipe.TRAINING


def run(args: Args) -> int:
    from tinsmith.pipeline import pages

    run = _recipe.run_to("report", args)
    document = reading.read_table(run.folder / pages.JSON)
    if run.recipe.tasks:
        systems = {name: task["systems"] for name, task in document["tasks"].items()}
        print(pages.tables(systems, document["router"]))
    else:
        print(pages.table(document["systems"]))
    print(run.folder / pages.PAGE)
    return 0
