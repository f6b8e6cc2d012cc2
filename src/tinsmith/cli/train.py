"""`tinsmith train RECIPE`: the adapter, or a whole new model; its folder on stdout."""

from __future__ import annotations

from tinsmith.cli import _recipe
from tinsmith.cli._command import Args, flag
from tinsmith.errors import InputError

HELP = "train a recipe's adapter on its base, or a small model from scratch"
SECTION = "train"
PARAMETERS = [
    *_recipe.PARAMETERS,
    flag("--from-scratch", help="the recipe has [scratch]: a new model; an error if not"),
]


def run(args: Args) -> int:
    from tinsmith.pipeline import recipe

    scratch = recipe.load(args.recipe).scratch
    if args.from_scratch and not scratch:
        raise InputError(
            f"{args.recipe}: --from-scratch: the recipe starts from a base; state [scratch] instead of [base]"
        )
    # A new model is merged with nothing: what is printed is the model itself.
    done = _recipe.run_to("merge" if scratch else "train", args)
    print(done.folder / ("merged" if scratch else "adapter"))
    return 0
