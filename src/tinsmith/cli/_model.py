"""The options of the verbs that load one model file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith.cli._command import Args, argument, option, values
from tinsmith.cli._types import File, Whole, Word, isas

if TYPE_CHECKING:
    from tinsmith.runtime import Model


KEY = option(
    "--key",
    File(".pub"),
    envvar="TINSMITH_KEY",
    show_envvar=True,
    metavar="KEY",
    help="refuse a .tin without this minisign key's signature: RW…, or a .pub file",
)
DUTY_CYCLE = option("--duty-cycle", Whole(), default=100, help="CPU duty cycle, in percent")
KV = option(
    "--kv", Word(("f16", "q8")), default="f16", help="type of keys and values: f16, or q8 in half the memory"
)
THREADS = option("--threads", Whole(), help="threads (default: the cores)")
ISA = option(
    "--isa", Word(isas), help="instruction set (default: TIN_FORCE_ISA, or the best of this processor)"
)
COMPUTING = [DUTY_CYCLE, ISA, KV]
PARAMETERS = [
    argument(
        "file",
        "FILE",
        File(".tin", ".gguf", ".onnx"),
        help="a .tin, a .gguf, an .onnx or a Hugging Face folder",
    ),
    THREADS,
    *COMPUTING,
    option(
        "--backend",
        Word("tinsmith.runtime.engine:BACKENDS"),
        help="native, llama.cpp or onnxruntime (default: native for .tin and .gguf)",
    ),
    KEY,
    option("--gpu-layers", Whole(), default=0, help="layers that llama.cpp puts on a GPU (-1: all)"),
]


def open_model(args: Args, date: str | None = None) -> Model:
    from tinsmith.runtime import load

    options = values(args, "threads", "duty_cycle", "isa", "kv", "backend", "gpu_layers", "key")
    return load(args.file, date=date, **options)


def adapters(model: Model, given: Sequence[str] | None) -> dict[str, float] | None:
    """Scales by name, of NAME or NAME:SCALE each; None for none. A folder, or a file of `export --native`, is
    added to the model."""
    chosen = scales(given)
    for name in chosen:
        if name not in model.adapters and Path(name).exists():
            model.adapters.add(name, Path(name))
    return chosen or None


def scales(given: Sequence[str] | None) -> dict[str, float]:
    """By name, of NAME or NAME:SCALE each."""
    found: dict[str, float] = {}
    for one in given or ():
        name, colon, scale = one.rpartition(":")
        try:
            number = float(scale) if colon else 1.0
        except ValueError:
            name, number = one, 1.0  # the colon is the name's
        found[name or one] = number
    return found
