"""tinsmith batch: a model answers every row of a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.cli import _asked, _model
from tinsmith.cli._command import Args, argument, flag, option
from tinsmith.cli._terminal import shown
from tinsmith.cli._types import File, Folder, Texts, Whole, Word, isas, tasks
from tinsmith.errors import InputError

if TYPE_CHECKING:
    from tinsmith.batch.executors import Executor, WorkerConfig
    from tinsmith.batch.settings import OutputConstraint, Settings
    from tinsmith.system.progress import Display

HELP = "answer every row of a file, and resume after a crash"
SECTION = "run"
CHECKED = 100  # answers that --check computes again, where --sample does not say
ROWS = "Rows and prompts"
WORK = "Computation"
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
    option(
        "--input",
        Texts(),
        group=ROWS,
        metavar="A,B",
        help="columns of the prompt (default: found by name)",
    ),
    option(
        "--where",
        group=ROWS,
        metavar="EXPR",
        help="rows for which this is true, such as lang == 'en' and len(text) < 200",
    ),
    option("--sample", Whole(1), group=ROWS, metavar="N", help="N of those rows, sampled by --seed"),
    option("--limit", Whole(1), group=ROWS, metavar="N", help="the first N of those rows"),
    *_asked.image_options("a row", ROWS),
    option(
        "--task",
        Word(tasks),
        metavar="T",
        help="an adapter of FILE, or a kind of answer, which parses answers into `value`",
    ),
    _asked.ADAPTER,
    _asked.SYSTEM,
    flag("--raw", help="continue the prompts, without chat template"),
    _asked.THINK,
    option("--date", metavar="D", help="today's date, for a chat template that writes it"),
    *_asked.SAMPLED,
    *_asked.CONSTRAINED,
    _asked.SEARCH,
    option(
        "--shape",
        Word(("rows", "openai")),
        metavar="S",
        help="format of OUT's lines: rows or openai (default: IN's)",
    ),
    flag("--unordered", help="write answers to OUT as they finish, not in IN's order"),
    option(
        "--retry",
        Whole(0),
        default=2,
        metavar="N",
        help="further tries of failed rows, also of a finished OUT (default: 2)",
    ),
    option("--cache", Folder(out=True), metavar="DIR", help="store answers in DIR, and reuse stored ones"),
    flag("--check", help=f"compute {CHECKED} of OUT's answers again, or --sample N, and compare them"),
    option("--workers", Whole(1), group=WORK, metavar="N", help="processes (default: one a core)"),
    option(
        "--slots",
        Whole(1),
        default=8,
        group=WORK,
        metavar="N",
        help="concurrent answers of each process (default: 8)",
    ),
    _model.duty_cycle(WORK),
    option(
        "--ray",
        group=WORK,
        metavar="ADDRESS",
        help="on a Ray cluster: host:port, ray://host:port, auto or local",
    ),
    option(
        "--isa", Word(isas), group=WORK, metavar="S", help="instruction set (default: the best that runs here)"
    ),
    option(
        "--kv", Word(("f16", "q8")), default="f16", group=WORK, metavar="T", help="keys and values: f16, or q8"
    ),
    _model.KEY,
]


def run(args: Args) -> int:
    from tinsmith.batch import run as engine
    from tinsmith.system import progress

    if args.check:
        return _check(args)
    job = _job(args)
    display = progress.display()
    shaping = {"kv": args.kv, "date": args.date}
    batch = engine.Batch(
        Path(args.file),
        args.given,
        args.out,
        job.settings,
        not args.unordered,
        shaping,
        args.retry,
        job.adapters,
    )
    with _merged(args.cache, display):
        counts = engine.run(batch, lambda settings: _crew(args, replace(job, settings=settings)), display)
    failed = f", {counts.failed:,} of them failed" if counts.failed else ""
    display.line(f"{args.out}: {counts.items:,} items{failed}, {counts.tokens:,} tokens")
    return int(counts.failed > 0)


def _check(args: Args) -> int:
    """0 where all answers that are computed again are equal, 1 where some are not."""
    from tinsmith.batch import executors
    from tinsmith.batch.replay import SHOWN, Replay, replay
    from tinsmith.system import progress
    from tinsmith.system.cores import usable_cores

    asked = Replay(args.out, Path(args.file), args.given, args.sample or CHECKED, args.seed)
    settings, header = asked.header()
    of_file = {name: value for name, value in header["file"].items() if name != "sha256"}
    more = {name: name for name in settings.adapters or {} if Path(name).exists()}
    job = executors.WorkerConfig(
        file=Path(args.file), settings=settings, loading={**opening(args), **of_file}, adapters=more
    )
    count = args.workers or usable_cores()
    result = replay(
        asked,
        lambda: job.engine(job.load()) if count == 1 else executors.ProcessPool(job, count),
        progress.display(),
    )
    for line in result.listed:
        print(shown(line))
    if result.differ > SHOWN:
        print(f"… and {result.differ - SHOWN} more")
    equal = "all equal" if not result.differ else f"{result.differ} differ"
    print(f"{args.out}: {result.items} answers computed again, {equal}")
    return int(result.differ > 0)


@contextmanager
def _merged(folder: Path | None, display: Display) -> Iterator[None]:
    """Takes what other machines put into the cache, and leaves it as one file."""
    if folder is None:
        yield
        return
    from tinsmith.batch.cache import Cache

    cache = Cache(folder)
    try:
        if taken := cache.merge():
            display.line(f"{folder}: {taken:,} answers of other machines")
        yield
    finally:
        cache.close()  # last, and so what is beside the file goes into it


def opening(args: Args) -> dict[str, Any]:
    """As tinsmith.load takes it."""
    return {"isa": args.isa, "kv": args.kv, "date": args.date, "key": args.key, "duty_cycle": args.duty_cycle}


def _job(args: Args) -> WorkerConfig:
    from tinsmith.batch.executors import WorkerConfig

    names, more = _adapters(args.adapter)
    settings = _settings(args, names)
    return WorkerConfig(
        file=Path(args.file),
        settings=settings,
        loading=opening(args),
        adapters=more,
        slots=args.slots,
        retry=args.retry,
        cache=args.cache,
    )


def _adapters(given: list[str]) -> tuple[dict[str, float] | None, dict[str, str]]:
    """Names and scales, and the paths of those that are none of the file's."""
    names = _model.scales(given)
    return names or None, {name: name for name in names if Path(name).exists()}


def _settings(args: Args, adapters: dict[str, float] | None) -> Settings:
    from tinsmith.batch.settings import Settings

    sampling = {name: getattr(args, name) for name in _asked.SAMPLING}
    return Settings(
        input=tuple(args.input or ()),
        where=args.where,
        sample=args.sample or 0,
        limit=args.limit or 0,
        seed=args.seed,
        shape=args.shape,
        task=args.task,
        adapters=adapters,
        system=args.system,
        images=_asked.image_limits(args),
        raw=args.raw,
        thinking=args.thinking,
        constraint=replace(_held(args), search=args.search),
        max_tokens=args.max_tokens,
        stop=tuple(args.stop),
        options=sampling,
    )


def _held(args: Args) -> OutputConstraint:
    from tinsmith.batch.settings import OutputConstraint

    if args.unconstrained:
        return OutputConstraint("unconstrained")
    for kind in ("regex", "choices"):
        if getattr(args, kind) is not None:
            return OutputConstraint(kind, getattr(args, kind))
    for kind in ("schema", "tools", "grammar"):
        if getattr(args, kind) is not None:
            return OutputConstraint.of_file(kind, getattr(args, kind))
    return OutputConstraint()


def _crew(args: Args, job: WorkerConfig) -> Executor:
    from tinsmith.batch import executors
    from tinsmith.system.cores import usable_cores

    if args.ray is not None:
        if args.cache is not None:
            raise InputError("--cache is a folder of this machine, and --ray computes on others; leave one out")
        from tinsmith.batch import ray

        return ray.RayExecutor(job, args.ray, args.workers)
    count = args.workers or usable_cores()
    return job.engine(job.load()) if count == 1 else executors.ProcessPool(job, count)
