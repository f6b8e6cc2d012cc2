"""What the verbs that run a recipe have in common."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinsmith.stages import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe, a TOML file")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run's folder (default: runs/<name>)")


def run_to(goal: str, args: argparse.Namespace) -> Run:
    """Brings one stage of the recipe, and the stages it needs, up to date."""
    from tinsmith import pipeline, progress, recipe

    return pipeline.make(recipe.load(args.recipe), args.out, progress.display(), goal)
