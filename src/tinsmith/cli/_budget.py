"""The flags of `auto`, which quantize and build share, and what they ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.cli._command import Args, flag, option
from tinsmith.cli._types import File, Folder, Number, Size
from tinsmith.errors import InputError
from tinsmith.format_names import AUTO
from tinsmith.pipeline.recipe.tables import ACCURACIES, BITS

if TYPE_CHECKING:
    from tinsmith.search.budget import Budget
    from tinsmith.search.choice import Chosen
    from tinsmith.spec import Spec
    from tinsmith.system.progress import Display
    from tinsmith.targets import Target
    from tinsmith.train.batches.sequences import TokenSequence


BUDGETS = ("max_size", "bits", "memory", "speed", "min_accuracy")
SPEEDS = (0.001, 1_000_000)  # tokens a second, least and most
GROUP = "Auto, the best choice of formats within a budget, tensor by tensor"
PARAMETERS = [
    option("--calibration", File(), group=GROUP, metavar="TEXT", help="a text such as the model will see"),
    option(
        "--pictures",
        File(".jsonl", ".parquet"),
        group=GROUP,
        metavar="ROWS",
        help="examples with pictures, as a recipe's data are: a vision half is measured on their answers",
    ),
    option("--max-size", Size(), group=GROUP, metavar="SIZE", help="of the GGUF file, such as 90MB or 85MiB"),
    option("--bits", Number(*BITS), group=GROUP, metavar="B", help="a weight, on average"),
    option("--memory", Size(), group=GROUP, metavar="SIZE", help="that weights take when the model runs"),
    option("--speed", Number(*SPEEDS), group=GROUP, metavar="N", help="tokens a second, at --bandwidth"),
    option("--bandwidth", Size(), group=GROUP, metavar="SIZE", help="bytes a second that the device reads"),
    option(
        "--min-accuracy",
        Number(*ACCURACIES),
        group=GROUP,
        metavar="A",
        help="the smallest file whose likeliest tokens are the float model's so often, such as 0.98",
    ),
    flag("--thorough", group=GROUP, help="measure every format of every tensor"),
    option(
        "--work", Folder(out=True), group=GROUP, metavar="DIR", help="keeps what was measured, to go on from"
    ),
]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def given(args: Args) -> list[str]:
    """The flags of this group that were given."""
    names = (*BUDGETS, "bandwidth", "calibration", "pictures", "thorough", "work")
    return [_flag(name) for name in names if getattr(args, name)]


def check(args: Args, formats: Sequence[str]) -> None:
    """Raises InputError for flags that do not go together."""
    budgets = [_flag(name) for name in BUDGETS if getattr(args, name) is not None]
    gptq = getattr(args, "gptq", False)
    if AUTO in formats:
        if not args.calibration:
            raise InputError("auto measures what each format costs; give a text with --calibration")
        if not budgets and not getattr(args, "targets", None):
            raise InputError("auto needs a budget; give " + ", ".join(map(_flag, BUDGETS)))
        if args.speed is None and args.bandwidth is not None:
            raise InputError("--bandwidth is for --speed; give it, or leave out --bandwidth")
        if args.speed is not None and not args.bandwidth and not getattr(args, "targets", None):
            device = ", or a --target" if hasattr(args, "targets") else ""
            raise InputError(f"--speed follows from --bandwidth; give that{device}")
        if args.imatrix and len(formats) == 1:
            raise InputError("auto finds what matters in the calibration text; leave out --imatrix")
    elif args.pictures:
        raise InputError("--pictures is for the type auto; give it, or leave out --pictures")
    elif budgets:
        raise InputError(f"{budgets[0]} is for the type auto; give it, or leave out {budgets[0]}")
    elif gptq and not args.calibration:
        raise InputError("--gptq needs a text to see the model's inputs on; give --calibration")
    elif args.calibration and not gptq:
        raise InputError("--calibration is for the type auto and for --gptq; give one of them")


def budget(args: Args, room: int | None, devices: Sequence[Target]) -> Budget:
    """devices: that are built for; room: bytes that the matrices may take in them."""
    from tinsmith.search import choice
    from tinsmith.search.budget import Budget

    return Budget(
        max_size=args.max_size,
        bits=args.bits,
        memory=choice.least(args.memory, room),
        speed=args.speed,
        bandwidth=args.bandwidth or choice.bandwidth(devices),
        min_accuracy=args.min_accuracy,
    )


def work_folder(args: Args, out: Path) -> Path:
    return args.work or out.with_name(out.stem + ".search")


def search(
    args: Args,
    spec: Spec,
    folder: Path,
    display: Display,
    overhead: int | None,
    room: int | None = None,
    devices: Sequence[Target] = (),
    gguf: bool = False,
) -> Chosen:
    """Finds what the flags ask for, and shows the front. overhead: as for Search; room, devices: as for
    budget; gguf: as in its Options."""
    from tinsmith.search import auto, choice, text

    shown = _shown(args, spec) if args.pictures else []
    wanted = budget(args, room, devices)
    ids = text.tokens(spec, text.read(args.calibration))
    options = auto.Options(thorough=args.thorough, gguf=gguf or args.max_size is not None)
    measured = auto.Search(spec, ids, folder, display, options, overhead=overhead)
    chosen = choice.of_search(measured, wanted, display)
    if shown:
        from tinsmith.search import vision

        chosen = replace(chosen, mix=vision.choose(spec, chosen.mix, shown, folder, display))
    return chosen


def _shown(args: Args, spec: Spec) -> list[TokenSequence]:
    """What --pictures gives. Raises InputError for a model without a vision half, and rows without pictures."""
    from tinsmith import tasks
    from tinsmith.data.shapes import open_examples
    from tinsmith.search import vision

    if spec.vision is None:
        raise InputError(
            "--pictures measures a vision half, and this model has none; give a folder that has one, or build "
            "its GGUF file with --mmproj, or leave out --pictures"
        )
    shown = vision.read(spec, open_examples(args.pictures), tasks.DEFAULT, "")
    if not shown:
        raise InputError(
            f"{args.pictures}: no example shows a picture and fits the context of {spec.hyper.context} tokens; "
            'give rows such as {"image": "a.png", "input": "…", "output": "…"}'
        )
    return shown
