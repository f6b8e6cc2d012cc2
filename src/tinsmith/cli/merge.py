"""`tinsmith merge RECIPE`: base and adapter in one float32 model; its folder on stdout."""

from __future__ import annotations

from tinsmith.cli import _recipe
from tinsmith.cli._command import Args

HELP = "merge a recipe's adapter into its base, in float32"
SECTION = "train"
PARAMETERS = _recipe.PARAMETERS


def run(args: Args) -> int:
    from tinsmith.pipeline.stages import merge

    print(_recipe.run_to("merge", args).folder / merge.FOLDER)
    return 0
