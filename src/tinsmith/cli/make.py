"""`tinsmith make RECIPE`: all stages, or those up to one; their result on stdout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.cli._command import Args, argument, grouped, option
from tinsmith.cli._types import File, Folder, Word
from tinsmith.errors import InputError
from tinsmith.system import progress
from tinsmith.train.options import LOGS, RETRAINS

if TYPE_CHECKING:
    from tinsmith.pipeline.recipe import Recipe
    from tinsmith.pipeline.run import Run

HELP = "run a recipe: train, build, verify, evaluate and report"
SECTION = "train"
UNTIL = ("train", "merge", "build", "evaluate", "report")
PARAMETERS = [
    argument("recipe", "RECIPE", File(".toml"), help="a recipe, a TOML file"),
    option("--out", Folder(out=True), help="the run's folder (default: runs/<name>)"),
    option(
        "--until",
        Word(UNTIL),
        default="report",
        metavar="STAGE",
        help="run this stage and those it needs: train (prints the adapter's folder, or a new model's), merge, "
        "build, evaluate (prints the table) or report",
    ),
    option("--log", Word(LOGS), help="write training curves to logs/: csv or tensorboard"),
    *grouped(
        "Continuing an adapter (default: the recipe's [update], if any)",
        option(
            "--from",
            Folder(),
            dest="adapter",
            help="continue training this adapter (default of --out: runs/<name>-updated)",
        ),
        option("--data", File(".jsonl"), help="new examples; some of the recipe's are replayed with them"),
        option(
            "--retrain",
            Word(RETRAINS),
            metavar="WHEN",
            help="also train on all examples from the start, and keep the better model: always, never, or auto "
            "(if more than 1 % of the old validation examples are lost)",
        ),
    ),
]


def run(args: Args) -> int:
    from tinsmith.pipeline import engine, recipe
    from tinsmith.system.files import resolved

    if args.until not in UNTIL:
        raise InputError(f"--until {args.until}: unknown stage; give one of {', '.join(UNTIL)}")
    paths = {"adapter": args.adapter, "data": args.data}
    update = {key: str(resolved(path)) for key, path in paths.items() if path is not None}
    stated = recipe.load(args.recipe, update=update | ({"retrain": args.retrain} if args.retrain else {}))
    if args.until == "train":
        return _train(args, stated)
    run = engine.make(stated, args.out, progress.display(), args.until, args.log)
    print(*results(run, args.until), sep="\n")
    return 0


def results(run: Run, goal: str) -> list[str | Path]:
    """The lines that a stage prints."""
    from tinsmith.pipeline import pages
    from tinsmith.pipeline.engine import BUILD, EVALUATE, EVALUATE_TASKS
    from tinsmith.pipeline.stages import merge
    from tinsmith.system import reading

    if goal == "merge":
        return [run.folder / merge.FOLDER]
    if goal == "build":
        built = run.done(BUILD).facts
        return [run.folder / file for name in built.tins for file in (built.ggufs[name], built.tins[name])]
    if goal == "evaluate":
        if not run.recipe.tasks:
            return [pages.table(run.done(EVALUATE).facts.systems)]
        measured = run.done(EVALUATE_TASKS).facts
        return [pages.tables(measured.tasks, measured.router)]
    document = reading.read_table(run.folder / pages.JSON)
    if not run.recipe.tasks:
        return [pages.table(document["systems"]), run.folder / pages.PAGE]
    systems = {name: task["systems"] for name, task in document["tasks"].items()}
    return [pages.tables(systems, document["router"]), run.folder / pages.PAGE]


def _train(args: Args, stated: Recipe) -> int:
    """Alone, or as one of the processes that a launcher started."""
    from tinsmith.pipeline import engine
    from tinsmith.pipeline.stages import merge
    from tinsmith.train.steps import together

    together.join(stated.train.device)
    try:
        if stated.tasks and together.count() > 1:
            raise InputError(f"{args.recipe}: a recipe of several tasks is trained by one process")
        if together.number():
            engine.help_train(stated, args.out, progress.Silent())
            return 0
        goal = "merge" if stated.scratch else "train"
        run = engine.make(stated, args.out, progress.display(), goal, args.log)
    finally:
        together.leave()
    # A new model is merged with nothing: the merged model is the result.
    name = merge.FOLDER if stated.scratch else engine.train_folder(stated)
    for folder in [engine.task_folder(run.folder, task) for task in stated.tasks] or [run.folder]:
        print(folder / name)
    return 0
