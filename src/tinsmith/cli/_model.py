"""Arguments and opening that the verbs on one model file share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.cli._command import Args, Option, argument, option
from tinsmith.cli._types import File, Whole, Word, backends, isas

if TYPE_CHECKING:
    from tinsmith.runtime import Model


KEY = option(
    "--key",
    File(".pub"),
    envvar="TINSMITH_KEY",
    metavar="K",
    help="refuse a .tin that the owner of this minisign key did not sign: RW…, or a .pub file (default: the "
    "environment's TINSMITH_KEY, if set)",
)


def pace(group: str = "") -> Option:
    """After the option that says how many work."""
    return option(
        "--pace",
        Whole(),
        default=100,
        group=group,
        metavar="P",
        help="percent of the time that they work at most, asleep for the rest (default: 100)",
    )


PACE = pace()
PARAMETERS = [
    argument(
        "file",
        "FILE",
        File(".tin", ".gguf", ".onnx"),
        help="a .tin, a .gguf, an .onnx or a Hugging Face folder",
    ),
    option("--threads", Whole(), metavar="N", help="threads that work on one step (default: the cores)"),
    PACE,
    option(
        "--isa",
        Word(isas),
        metavar="S",
        help="instruction set (default: TIN_FORCE_ISA, or the best this processor runs)",
    ),
    option(
        "--kv",
        Word(("f16", "q8")),
        default="f16",
        metavar="T",
        help="keys and values: f16 (default), or q8 in half the memory",
    ),
    option(
        "--backend",
        Word(backends),
        metavar="B",
        help="what computes: native, llama.cpp or onnxruntime (default: as FILE is)",
    ),
    KEY,
    option(
        "--gpu-layers", Whole(), default=0, metavar="N", help="layers that llama.cpp puts on a GPU (-1: all)"
    ),
]


def open_model(args: Args, date: str | None = None) -> Model:
    from tinsmith.runtime import load

    return load(
        args.file,
        threads=args.threads,
        duty_cycle=args.pace,
        isa=args.isa,
        kv=args.kv,
        backend=args.backend,
        gpu_layers=args.gpu_layers,
        date=date,
        key=args.key,
    )


def adapters(model: Model, given: Sequence[str] | None) -> dict[str, float] | None:
    """Those of a command line, each NAME or NAME:SCALE, and their scales; None for none. A name that is a
    folder's, or a file's of `export --native`, is added to the model."""
    chosen = scales(given)
    for name in chosen:
        if name not in model.adapters and Path(name).exists():
            model.adapters.add(name, Path(name))
    return chosen or None


def scales(given: Sequence[str] | None) -> dict[str, float]:
    """By name, of each NAME or NAME:SCALE."""
    found: dict[str, float] = {}
    for one in given or ():
        name, colon, scale = one.rpartition(":")
        try:
            number = float(scale) if colon else 1.0
        except ValueError:
            name, number = one, 1.0  # the colon is the name's
        found[name or one] = number
    return found
