"""What the verbs that run a recipe have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinsmith.cli._command import Args, argument, option
from tinsmith.cli._types import File, Folder, Word
from tinsmith.train.options import LOGS

if TYPE_CHECKING:
    from tinsmith.pipeline.run import Run


PARAMETERS = [
    argument("recipe", "RECIPE", File(".toml"), help="a recipe, a TOML file"),
    option("--out", Folder(), metavar="DIR", help="the run's folder (default: runs/<name>)"),
]

TRAINING = [
    *PARAMETERS,
    option("--log", Word(LOGS), metavar="KIND", help="write curves to logs/ as it trains: csv or tensorboard"),
]


def run_to(goal: str, args: Args) -> Run:
    """Brings one stage of the recipe, and the stages it needs, up to date."""
    from tinsmith.pipeline import recipe, stages
    from tinsmith.system import progress

    return stages.make(recipe.load(args.recipe), args.out, progress.display(), goal, getattr(args, "log", None))
