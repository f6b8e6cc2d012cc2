"""What the verbs that run a recipe have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.cli._command import Args, argument, option
from tinsmith.cli._types import File, Folder, Word
from tinsmith.train.options import LOGS, RETRAINS

if TYPE_CHECKING:
    from tinsmith.pipeline.recipe import Recipe
    from tinsmith.pipeline.run import Run


UPDATE = "Learning goes on (default: what the recipe's [update] says, if anything)"
PARAMETERS = [
    argument("recipe", "RECIPE", File(".toml"), help="a recipe, a TOML file"),
    option("--out", Folder(out=True), metavar="DIR", help="the run's folder (default: runs/<name>)"),
    option(
        "--from",
        Folder(),
        dest="adapter",
        group=UPDATE,
        metavar="ADAPTER",
        help="go on from this adapter's folder (default DIR: runs/<name>-updated)",
    ),
    option(
        "--data",
        File(".jsonl"),
        group=UPDATE,
        metavar="FILE",
        help="new examples for it; some of the recipe's are replayed beside them",
    ),
    option(
        "--retrain",
        Word(RETRAINS),
        group=UPDATE,
        metavar="WHEN",
        help="train on all from the start too, and keep the better: auto (where more than 1 % of the old "
        "validation examples are lost), always or never",
    ),
]

TRAINING = [
    *PARAMETERS,
    option("--log", Word(LOGS), metavar="KIND", help="write curves to logs/ as it trains: csv or tensorboard"),
]


def load(args: Args) -> Recipe:
    """The recipe, with what the command line says of an update."""
    from tinsmith.pipeline import recipe
    from tinsmith.system.files import resolved

    paths = {"adapter": args.adapter, "data": args.data}
    given = {key: str(resolved(path)) for key, path in paths.items() if path is not None}
    return recipe.load(args.recipe, update=given | ({"retrain": args.retrain} if args.retrain else {}))


def run_to(goal: str, args: Args) -> Run:
    """Brings one stage of the recipe, and the stages it needs, up to date."""
    return make(load(args), args.out, goal, getattr(args, "log", None))


def make(stated: Recipe, out: Path | None, goal: str, log: str | None = None) -> Run:
    """Of a recipe of one task or of several."""
    from tinsmith.pipeline import engine
    from tinsmith.system import progress

    return engine.make(stated, out, progress.display(), goal, log)
