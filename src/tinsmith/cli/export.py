"""tinsmith export: a model in another form."""

from __future__ import annotations

import sys
from pathlib import Path

from tinsmith.cli._command import Args, argument, one_of, option, refuse
from tinsmith.cli._types import File, Folder, Word
from tinsmith.system import progress

HELP = "convert a model to ONNX or GGUF, or an adapter to one file"
SECTION = "build"
PARAMETERS = [
    argument(
        "file", "FILE", File(".gguf", ".tin"), required=False, help="a .gguf, a .tin or a Hugging Face folder"
    ),
    *one_of(
        option("--onnx", Folder(out=True), metavar="OUT", help="folder for onnxruntime and onnxruntime-genai"),
        option(
            "--gguf",
            File(".gguf", out=True),
            metavar="OUT",
            help="the exact GGUF file of a .tin, or of --adapter",
        ),
        option(
            "--native",
            File(".adapter", out=True),
            needs="--adapter",
            metavar="OUT",
            help="file of --adapter for tin_adapter_open in C and model.adapters.add in Python",
        ),
        required=True,
    ),
    option(
        "--precision",
        Word(("int4", "int8", "fp16", "fp32", "same")),
        needs="--onnx",
        help="of --onnx: int4 (default), int8, fp16, fp32, or same: Q4_0 and Q8_0 blocks unchanged",
    ),
    option(
        "--adapter",
        Folder(),
        needs="--base",
        excludes="FILE --onnx",
        help="in place of FILE: an adapter's folder (peft or prefix); needs --base",
    ),
    option(
        "--base",
        File(".gguf", ".tin"),
        needs="--adapter",
        metavar="MODEL",
        help="the model that the adapter was trained on",
    ),
]


def run(args: Args) -> int:
    refuse((args.adapter is None and args.file is None, "give either FILE or --adapter DIR"))
    out = Path(args.gguf or args.onnx or args.native)
    (_native if args.native else _adapter if args.adapter else _gguf if args.gguf else _onnx)(args, out)
    print(out)
    return 0


def _native(args: Args, out: Path) -> None:
    import tinsmith
    from tinsmith.system import files
    from tinsmith.train.adapters import bin as adapter_bin

    with files.atomic_write(out) as file:
        file.write(adapter_bin.compiled(args.adapter, tinsmith.load(args.base).tin))


def _adapter(args: Args, out: Path) -> None:
    from tinsmith import models
    from tinsmith.train.adapters import gguf as adapter_gguf

    for note in adapter_gguf.write(args.adapter, models.load(args.base), out):
        print(note, file=sys.stderr)


def _onnx(args: Args, out: Path) -> None:
    from tinsmith.backends.files import as_spec
    from tinsmith.backends.onnx_export import export
    from tinsmith.backends.onnx_vision import why_not

    spec = as_spec(Path(args.file))
    export(spec, out, args.precision or "int4")
    if spec.vision is not None and (reason := why_not(spec.vision)):
        print(f"ONNX: without the vision model: {reason}", file=sys.stderr)


def _gguf(args: Args, out: Path) -> None:
    from tinsmith.compiler.program import read_program
    from tinsmith.compiler.unpack import write_gguf, write_mmproj
    from tinsmith.formats.tin import Tin
    from tinsmith.quant.presets import notes_of_gguf
    from tinsmith.quant.shipping import mmproj_of

    tin, display = Tin(args.file), progress.display()
    with progress.transfer(display, "unpack", tin.entry("weights.bin").nbytes) as advance:
        write_gguf(args.file, out, advance)
    tensors = read_program(tin.entry("program.bin")).tensors
    for note in notes_of_gguf([tensor.format for tensor in tensors.values()]):
        display.line(note)
    if write_mmproj(args.file, mmproj_of(out)):
        display.line(f"vision model: {mmproj_of(out)}")
