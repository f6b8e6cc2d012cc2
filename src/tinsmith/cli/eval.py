"""`tinsmith eval RECIPE`: the built files on the test set; their table on stdout."""

from __future__ import annotations

from tinsmith.cli import _recipe
from tinsmith.cli._command import Args

HELP = "evaluate a recipe's files on its test set"
SECTION = "measure"
PARAMETERS = _recipe.PARAMETERS


def run(args: Args) -> int:
    from tinsmith.pipeline import report
    from tinsmith.pipeline.stages import EVALUATE

    measured = _recipe.run_to(EVALUATE.name, args).done(EVALUATE)
    print(report.table(measured.facts.systems))
    return 0
