"""tinsmith batch: a model answers every row of a file."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.cli import _generation, _model
from tinsmith.cli._command import Args, argument, flag, grouped, option, values
from tinsmith.cli._terminal import shown
from tinsmith.cli._types import File, Folder, Texts, Whole, Word, tasks
from tinsmith.errors import InputError
from tinsmith.system import progress

if TYPE_CHECKING:
    from tinsmith.batch.executors import Executor, WorkerConfig
    from tinsmith.batch.settings import Settings

HELP = "answer every row of a file, and resume after a crash"
SECTION = "run"
CHECKED = 100  # answers that --check computes again, where --sample does not say
LOADING = ("isa", "kv", "date", "key", "duty_cycle")  # options of tinsmith.load
PARAMETERS = [
    argument("file", "FILE", File(".tin", ".gguf"), help="a .tin, a .gguf or a Hugging Face folder"),
    argument(
        "given",
        "IN",
        File(".jsonl", ".csv", ".parquet", ".txt", path=True),
        help="rows: .jsonl (OpenAI's batch lines, messages, examples), .csv, .parquet, .txt (a prompt a line)",
    ),
    argument(
        "out",
        "OUT",
        File(".jsonl", ".csv", ".parquet", path=True, out=True),
        help="the answers: .jsonl, .csv or .parquet",
    ),
    *grouped(
        "Rows and prompts",
        option("--input", Texts(), default=[], help="columns of the prompt (default: found by name)"),
        option(
            "--where",
            metavar="EXPR",
            help="rows for which this is true, such as lang == 'en' and len(text) < 200",
        ),
        option("--sample", Whole(1), help="N of those rows, sampled by --seed"),
        option("--limit", Whole(1), help="the first N of those rows"),
        *_generation.image_options("a row"),
    ),
    option(
        "--task",
        Word(tasks),
        help="an adapter of FILE, or a kind of answer, which parses answers into `value`",
    ),
    _generation.ADAPTER,
    _generation.SYSTEM,
    flag("--raw", help="continue the prompts, without chat template"),
    *_generation.PARAMETERS,
    option("--shape", Word(("rows", "openai")), help="format of OUT's lines: rows or openai (default: IN's)"),
    flag("--unordered", help="write answers to OUT as they finish, not in IN's order"),
    option("--retry", Whole(0), default=2, help="further tries of failed rows, also of a finished OUT"),
    option("--cache", Folder(out=True), help="store answers in DIR, and reuse stored ones"),
    flag("--check", help=f"compute {CHECKED} of OUT's answers again, or --sample N, and compare them"),
    *grouped(
        "Computation",
        option("--workers", Whole(1), help="processes (default: one a core)"),
        option("--slots", Whole(1), default=8, help="concurrent answers of each process"),
        option("--ray", metavar="ADDRESS", help="on a Ray cluster: host:port, ray://host:port, auto or local"),
    ),
    *_model.COMPUTING,
    _model.KEY,
]


def run(args: Args) -> int:
    from tinsmith.batch import run as engine
    from tinsmith.batch.cache import Cache
    from tinsmith.batch.executors import WorkerConfig

    if args.check:
        return _check(args)
    display, adapters = progress.display(), _model.scales(args.adapter)
    job = WorkerConfig(
        file=Path(args.file),
        settings=_settings(args, adapters or None),
        loading=values(args, *LOADING),
        adapters=_paths(adapters),
        **values(args, "slots", "retry", "cache"),
    )
    batch = engine.Batch(
        job.file,
        args.given,
        args.out,
        job.settings,
        not args.unordered,
        values(args, "kv", "date"),
        args.retry,
        job.adapters,
    )
    # Closed after the workers' caches, which leaves one file.
    with closing(Cache(args.cache)) if args.cache else nullcontext() as cache:
        if cache and (taken := cache.merge()):
            display.line(f"{args.cache}: {taken:,} answers of other machines")
        counts = engine.run(batch, lambda settings: _executor(args, replace(job, settings=settings)), display)
    failed = f", {counts.failed:,} of them failed" if counts.failed else ""
    display.line(f"{args.out}: {counts.items:,} items{failed}, {counts.tokens:,} tokens")
    return int(counts.failed > 0)


def _check(args: Args) -> int:
    """0 where all answers that are computed again are equal, 1 where some are not."""
    from tinsmith.batch.executors import WorkerConfig
    from tinsmith.batch.replay import SHOWN, Replay

    replay = Replay(args.out, Path(args.file), args.given)
    job = WorkerConfig(
        file=Path(args.file),
        settings=replay.settings,
        loading=values(args, *LOADING) | replay.file_options,
        adapters=_paths(replay.settings.adapters or {}),
    )
    sample = args.sample or CHECKED
    replay.run(sample, args.seed, lambda: _local(job, args.workers), progress.display())
    for line in replay.listed:
        print(shown(line))
    if replay.differ > SHOWN:
        print(f"… and {replay.differ - SHOWN} more")
    equal = "all equal" if not replay.differ else f"{replay.differ} differ"
    print(f"{args.out}: {replay.items} answers computed again, {equal}")
    return int(replay.differ > 0)


def _paths(names: Iterable[str]) -> dict[str, str]:
    """The adapters that are files or folders beside the model file."""
    return {name: name for name in names if Path(name).exists()}


def _settings(args: Args, adapters: dict[str, float] | None) -> Settings:
    from tinsmith.batch.settings import OutputConstraint, Settings

    return Settings(
        **values(args, "where", "seed", "shape", "task", "system", "raw", "thinking", "max_tokens"),
        input=tuple(args.input),
        sample=args.sample or 0,
        limit=args.limit or 0,
        adapters=adapters,
        images=_generation.image_limits(args),
        constraint=OutputConstraint(*_generation.constraint(args), search=args.search),
        stop=tuple(args.stop),
        options=values(args, *_generation.SAMPLING),
    )


def _executor(args: Args, job: WorkerConfig) -> Executor:
    if args.ray is None:
        return _local(job, args.workers)
    if args.cache is not None:
        raise InputError("--cache is a folder of this machine, and --ray computes on others; leave one out")
    from tinsmith.batch import ray

    return ray.RayExecutor(job, args.ray, args.workers)


def _local(job: WorkerConfig, workers: int | None) -> Executor:
    from tinsmith.batch import executors
    from tinsmith.system.cores import usable_cores

    count = workers or usable_cores()
    return job.engine(job.load()) if count == 1 else executors.ProcessPool(job, count)
