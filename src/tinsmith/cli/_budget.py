"""The options of the type `auto`, which quantize and build share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.cli._command import Args, flag, grouped, option, refuse, values
from tinsmith.cli._types import File, Folder, Number, Size
from tinsmith.errors import InputError
from tinsmith.format_names import AUTO
from tinsmith.pipeline.recipe.tables import ACCURACIES, BITS
from tinsmith.system import reading

if TYPE_CHECKING:
    from tinsmith.search.auto import Chosen
    from tinsmith.search.budget import Budget
    from tinsmith.spec import Spec
    from tinsmith.system.progress import Display
    from tinsmith.targets import Target
    from tinsmith.train.batches.sequences import TokenSequence


BUDGETS = ("max_size", "bits", "memory", "speed", "min_accuracy")
NAMES = (*BUDGETS, "bandwidth", "calibration", "images", "thorough", "work")
SPEEDS = (0.001, 1_000_000)  # tokens a second, least and most
PARAMETERS = grouped(
    "Type auto: the best format of each tensor within a budget",
    option("--calibration", File(), help="a text like those the model will see"),
    option("--images", File(".jsonl", ".parquet"), help="examples with images, to measure a vision model on"),
    option("--max-size", Size(), help="budget: size of the GGUF file, such as 90MB or 85MiB"),
    option("--bits", Number(*BITS), help="budget: bits a weight, on average"),
    option("--memory", Size(), help="budget: memory of the weights when the model runs"),
    option("--speed", Number(*SPEEDS), help="budget: tokens a second, at --bandwidth"),
    option("--bandwidth", Size(), needs="--speed", help="memory bandwidth of the device, in bytes a second"),
    option(
        "--min-accuracy",
        Number(*ACCURACIES),
        help="find the smallest file whose most likely token is the float model's in this share, such as 0.98",
    ),
    flag("--thorough", help="measure every format of every tensor"),
    option("--work", Folder(out=True), help="folder of the measurements, from which a search resumes"),
)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def flags(args: Args, *names: str) -> list[str]:
    """The flags of those that were given."""
    return [_flag(name) for name in names if getattr(args, name)]


def check(args: Args, formats: Sequence[str]) -> None:
    """Raises InputError for options that exclude or need each other."""
    budgets = [_flag(name) for name in BUDGETS if getattr(args, name) is not None]
    named, auto = hasattr(args, "targets"), AUTO in formats  # build has targets, quantize has none
    devices = named and args.targets
    calibrated = getattr(args, "gptq", False) or "IMATRIX" in formats
    other = [*budgets, *(["--images"] if args.images else [])][-1:]
    refuse(
        (auto and not args.calibration, "auto measures the formats on a text; give --calibration"),
        (auto and not budgets and not devices, f"auto needs a budget; give {', '.join(map(_flag, BUDGETS))}"),
        (
            auto and args.speed is not None and not args.bandwidth and not devices,
            f"--speed needs a bandwidth; give --bandwidth{' or --target' if named else ''}",
        ),
        (
            auto and args.imatrix and len(formats) == 1,
            "auto measures importance on the calibration text; leave out --imatrix",
        ),
        (other and not auto, f"{' '.join(other)} is for the type auto; give that, or leave it out"),
        (
            calibrated and not args.calibration,
            "--gptq and --type imatrix run the model on a text; give --calibration",
        ),
        (
            args.calibration and not calibrated and not auto,
            "--calibration is for --gptq and the types auto and imatrix; give one of them",
        ),
    )


def budget(args: Args, room: int | None, devices: Sequence[Target]) -> Budget:
    """devices: the targets; room: bytes that the matrices may take in them."""
    from tinsmith.search import auto
    from tinsmith.search.budget import Budget

    return Budget(
        **values(args, "max_size", "bits", "speed", "min_accuracy"),
        memory=auto.least(args.memory, room),
        bandwidth=args.bandwidth or auto.bandwidth(devices),
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
    """Finds the formats, and prints the Pareto front. overhead: as for Search; room, devices: as for budget;
    gguf: as in its Options."""
    from tinsmith.search import auto, text

    shown = _shown(args, spec) if args.images else []
    wanted = budget(args, room, devices)
    ids = text.tokens(spec, reading.read_text(args.calibration))
    options = auto.Options(thorough=args.thorough, gguf=gguf or args.max_size is not None)
    measured = auto.Search(spec, ids, folder, display, options, overhead=overhead)
    chosen = auto.of_search(measured, wanted, display)
    if shown:
        from tinsmith.search import vision

        chosen = replace(chosen, mix=vision.choose(spec, chosen.mix, shown, folder, display))
    return chosen


def _shown(args: Args, spec: Spec) -> list[TokenSequence]:
    """The examples of --images. Raises InputError if the model or all rows have no images."""
    from tinsmith import tasks
    from tinsmith.data.shapes import open_examples
    from tinsmith.search import vision

    if spec.vision is None:
        raise InputError(
            "--images measures a vision model, and this model has none; give a folder that has one, or build "
            "its GGUF file with --mmproj, or leave out --images"
        )
    shown = vision.read(spec, open_examples(args.images), tasks.DEFAULT, "")
    if not shown:
        raise InputError(
            f"{args.images}: no example has an image and fits the context of {spec.hyper.context} tokens; "
            'give rows such as {"image": "a.png", "input": "…", "output": "…"}'
        )
    return shown
