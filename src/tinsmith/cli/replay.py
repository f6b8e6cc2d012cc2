"""tinsmith replay: the receipts of a batch's answers, computed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinsmith.cli import _model
from tinsmith.cli._command import Args, argument, option
from tinsmith.cli._terminal import shown
from tinsmith.cli._types import File, Whole, Word, isas

HELP = "compute a batch's answers again, and say where they differ"
SECTION = "run"
PARAMETERS = [
    argument(
        "out",
        "OUT",
        File(".jsonl", ".csv", ".parquet", path=True),
        help="what tinsmith batch made, its .journal beside it",
    ),
    option("--file", File(".tin", ".gguf"), required=True, metavar="FILE", help="the model's file"),
    option(
        "--in",
        File(".jsonl", ".csv", ".parquet", ".txt", path=True),
        dest="given",
        required=True,
        metavar="IN",
        help="the rows that were answered",
    ),
    option("--sample", Whole(1), default=0, metavar="N", help="so many of the rows at random (default: all)"),
    option("--seed", Whole(0), default=0, metavar="N", help="which rows --sample draws"),
    option("--workers", Whole(1), metavar="N", help="processes (default: one a core)"),
    option("--isa", Word(isas), metavar="S", help="instruction set (default: the best that runs here)"),
    _model.KEY,
]


def run(args: Args) -> int:
    opening = {"isa": args.isa, "key": args.key}
    return compared(args.out, args.file, args.given, args.sample, args.seed, opening, args.workers)


def compared(
    out: Path, file: str, given: Path, sample: int, seed: int, opening: dict[str, Any], workers: int | None
) -> int:
    """0 where all are equal, 1 where some are not."""
    from tinsmith.batch import executors
    from tinsmith.batch.replay import SHOWN, Replay, replay
    from tinsmith.system import progress
    from tinsmith.system.cores import usable_cores

    asked = Replay(out, Path(file), given, sample, seed)
    settings, header = asked.header()
    of_file = {name: value for name, value in header["file"].items() if name != "sha256"}
    more = {name: name for name in settings.adapters or {} if Path(name).exists()}
    job = executors.WorkerConfig(
        file=Path(file), settings=settings, loading={**opening, **of_file}, adapters=more
    )
    count = workers or usable_cores()
    display = progress.display()
    result = replay(
        asked, lambda: executors.InProcess(job) if count == 1 else executors.ProcessPool(job, count), display
    )
    for line in result.said:
        print(shown(line))
    if result.differ > SHOWN:
        print(f"… and {result.differ - SHOWN} more")
    equal = "all equal" if not result.differ else f"{result.differ} differ"
    print(f"{out}: {result.items} answers computed again, {equal}")
    return int(result.differ > 0)
