"""tinsmith export: a model in another form."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinsmith.errors import InputError

HELP = "write a model in another form: ONNX, or the GGUF file in a .tin"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .gguf or a Hugging Face folder; for --gguf a .tin")
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--onnx", metavar="OUT", help="a folder for onnxruntime and onnxruntime-genai")
    form.add_argument("--gguf", metavar="OUT", help="the GGUF file of the same model, every block as it is")
    parser.add_argument(
        "--precision",
        metavar="P",
        help="of --onnx: int4 (default), int8, fp16 or fp32; blocks are of 32 weights",
    )


def run(args: argparse.Namespace) -> int:
    out = Path(args.onnx or args.gguf)
    if args.gguf and args.precision:
        raise InputError("--precision goes with --onnx: a GGUF file's weights stay as they are; leave it out")
    if args.onnx:
        _onnx(args, out)
    else:
        _gguf(Path(args.file), out)
    print(out)
    return 0


def _onnx(args: argparse.Namespace, out: Path) -> None:
    from tinsmith import models
    from tinsmith.backends.onnx_export import export

    export(models.load(args.file), out, args.precision or "int4")


def _gguf(source: Path, out: Path) -> None:
    from tinsmith import progress
    from tinsmith.compiler.unpack import write_gguf
    from tinsmith.formats.tin import Tin

    with progress.transfer(progress.display(), "unpack", Tin(source).entry("weights.bin").nbytes) as advance:
        write_gguf(source, out, advance)
