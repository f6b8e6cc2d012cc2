"""`tinsmith train RECIPE`: the adapter, or a whole new model; its folder on stdout."""

from __future__ import annotations

from tinsmith.cli import _recipe
from tinsmith.cli._command import Args, flag
from tinsmith.errors import InputError

HELP = "train a recipe's adapter on its base, or a small model from scratch"
SECTION = "train"
PARAMETERS = [
    *_recipe.TRAINING,
    flag("--from-scratch", help="the recipe has [scratch]: a new model; an error if not"),
]


def run(args: Args) -> int:
    from tinsmith.pipeline import engine
    from tinsmith.pipeline.stages import merge
    from tinsmith.system import progress
    from tinsmith.train.steps import together

    stated = _recipe.load(args)
    if args.from_scratch and not stated.scratch:
        raise InputError(
            f"{args.recipe}: --from-scratch: the recipe starts from a base; state [scratch] instead of [base]"
        )
    together.join(stated.train.device)
    try:
        if stated.tasks and together.count() > 1:
            raise InputError(f"{args.recipe}: a recipe of several tasks is trained by one process")
        if together.number():
            engine.help_train(stated, args.out, progress.Silent())
            return 0
        run = _recipe.run_to("merge" if stated.scratch else "train", args)
    finally:
        together.leave()
    for name in stated.tasks:
        print(engine.task_folder(run.folder, name) / engine.train_folder(stated))
    if stated.tasks:
        return 0
    # A new model is merged with nothing: what is printed is the model itself.
    print(run.folder / (merge.FOLDER if stated.scratch else engine.train_folder(stated)))
    return 0
