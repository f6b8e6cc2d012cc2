"""tinsmith export: a model in another form."""

from __future__ import annotations

import sys
from pathlib import Path

from tinsmith.cli._command import Args, argument, one_of, option
from tinsmith.cli._types import File, Folder, Word
from tinsmith.errors import InputError

HELP = "write a model in another form: ONNX, the GGUF file in a .tin, or an adapter as one file"
SECTION = "build"
PARAMETERS = [
    argument(
        "file",
        "FILE",
        File(".gguf", ".tin"),
        required=False,
        help="a .gguf, a .tin or a Hugging Face folder; for --gguf a .tin",
    ),
    *one_of(
        option(
            "--onnx", Folder(out=True), metavar="OUT", help="a folder for onnxruntime and onnxruntime-genai"
        ),
        option(
            "--gguf",
            File(".gguf", out=True),
            metavar="OUT",
            help="a .gguf: the one of a .tin's model, every block as it is, or of --adapter",
        ),
        option(
            "--native",
            File(".adapter", out=True),
            metavar="OUT",
            help="of --adapter: what tin_adapter_open in C takes, and model.adapters.add in Python",
        ),
        required=True,
    ),
    option(
        "--precision",
        Word(("int4", "int8", "fp16", "fp32", "same")),
        metavar="P",
        help="of --onnx: int4 (default), int8, fp16, fp32, or same: its Q4_0 and Q8_0 blocks as they are",
    ),
    option(
        "--adapter",
        Folder(),
        metavar="DIR",
        help="instead of FILE: an adapter's folder, in peft's format or (--native) a prefix's; with --base",
    ),
    option("--base", File(".gguf", ".tin"), metavar="MODEL", help="what the adapter was trained on, as FILE"),
]


def run(args: Args) -> int:
    if (args.adapter is None) == (args.file is None):
        raise InputError("give either FILE or --adapter DIR")
    if (args.adapter is None) != (args.base is None):
        raise InputError("--adapter and --base go together: an adapter, and the model it was trained on")
    if args.adapter and args.onnx:
        raise InputError("an adapter is exported as --gguf or --native, or merged and then as --onnx")
    if args.native and not args.adapter:
        raise InputError("--native is of an adapter; give --adapter DIR and --base MODEL in place of FILE")
    if not args.onnx and args.precision:
        raise InputError("--precision goes with --onnx: a GGUF file's weights stay as they are; leave it out")
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
        print(f"ONNX: without its vision half: {reason}", file=sys.stderr)


def _gguf(args: Args, out: Path) -> None:
    from tinsmith.compiler.program import read_tensors
    from tinsmith.compiler.unpack import write_gguf, write_mmproj
    from tinsmith.formats.tin import Tin
    from tinsmith.quant.presets import notes_of_gguf
    from tinsmith.quant.shipping import mmproj_of
    from tinsmith.system import progress

    size, display = Tin(args.file).entry("weights.bin").nbytes, progress.display()
    with progress.transfer(display, "unpack", size) as advance:
        write_gguf(args.file, out, advance)
    tensors = read_tensors(Tin(args.file).entry("program.bin"))
    for note in notes_of_gguf([held.format for held in tensors.values()]):
        display.line(note)
    if write_mmproj(args.file, mmproj_of(out)):
        display.line(f"the vision half: {mmproj_of(out)}")
