"""`tinsmith eval RECIPE`: the built files on the test set; their table on stdout."""

from __future__ import annotations

import argparse

from tinsmith.cli import _recipe

HELP = "evaluate a recipe's files on its test set"

add_arguments = _recipe.add_arguments


def run(args: argparse.Namespace) -> int:
    from tinsmith.evaluate import report

    print(report.table(_recipe.run_to("evaluate", args).facts("evaluate")["systems"]))
    return 0
