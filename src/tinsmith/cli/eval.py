"""`tinsmith eval RECIPE`: the built files on the test set; their table on stdout."""

from __future__ import annotations

from tinsmith.cli import _recipe
from tinsmith.cli._command import Args

HELP = "evaluate a recipe's files on its test set"
SECTION = "measure"
PARAMETERS = _recipe.PARAMETERS


def run(args: Args) -> int:
    from tinsmith.pipeline import pages
    from tinsmith.pipeline.engine import EVALUATE, EVALUATE_TASKS

    run = _recipe.run_to(EVALUATE.name, args)
    if run.recipe.tasks:
        measured = run.done(EVALUATE_TASKS).facts
        print(pages.tables(measured.tasks, measured.router))
    else:
        print(pages.table(run.done(EVALUATE).facts.systems))
    return 0
