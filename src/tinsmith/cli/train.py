"""`tinsmith train RECIPE`: the adapter; its folder on stdout."""

from __future__ import annotations

import argparse

from tinsmith.cli import _recipe

HELP = "train a recipe's adapter on its base"

add_arguments = _recipe.add_arguments


def run(args: argparse.Namespace) -> int:
    print(_recipe.run_to("train", args).folder / "adapter")
    return 0
