"""`tinsmith eval RECIPE`: the built files on the test set; their table on stdout."""

from __future__ import annotations

from tinsmith.cli import _recipe
from tinsmith.cli._command import Args

HELP = "evaluate a recipe's files on its test set"
SECTION = "measure"
PARAMETERS = _recipe.PARAMETERS


def run(args: Args) -> int:
    from tinsmith.pipeline import engine_tasks as stages
    from tinsmith.pipeline.engine import EVALUATE
    from tinsmith.pipeline.stages import report_tasks as several
    from tinsmith.pipeline.stages.report import make as report

    run = _recipe.run_to(EVALUATE.name, args)
    if run.recipe.tasks:
        measured = run.done(stages.EVALUATE).facts
        print(several.tables(measured.tasks, measured.router))
    else:
        print(report.table(run.done(EVALUATE).facts.systems))
    return 0
