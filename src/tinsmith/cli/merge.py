"""`tinsmith merge RECIPE`: base and adapter in one float32 model; its folder on stdout."""

from __future__ import annotations

import argparse

from tinsmith.cli import _recipe

HELP = "merge a recipe's adapter into its base, in float32"

add_arguments = _recipe.add_arguments


def run(args: argparse.Namespace) -> int:
    print(_recipe.run_to("merge", args).folder / "merged")
    return 0
