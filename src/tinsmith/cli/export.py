"""tinsmith export: a model in another form."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tinsmith.errors import InputError

HELP = "write a model in another form: ONNX, or an adapter as GGUF"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", nargs="?", help="a .gguf or a Hugging Face folder")
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--onnx", metavar="OUT", help="a folder for onnxruntime and onnxruntime-genai")
    form.add_argument("--gguf", metavar="OUT", help="a .gguf for llama.cpp, of --adapter")
    parser.add_argument(
        "--precision",
        metavar="P",
        help="of --onnx: int4 (default), int8, fp16 or fp32; blocks are of 32 weights",
    )
    parser.add_argument(
        "--adapter", metavar="DIR", help="instead of FILE: an adapter, a folder in peft's format; with --base"
    )
    parser.add_argument("--base", metavar="MODEL", help="what the adapter was trained on, as FILE")


def run(args: argparse.Namespace) -> int:
    if (args.adapter is None) == (args.file is None):
        raise InputError("give either FILE or --adapter DIR")
    if (args.adapter is None) != (args.base is None):
        raise InputError("--adapter and --base go together: an adapter, and the model it was trained on")
    if (args.adapter is None) != (args.gguf is None):
        raise InputError("an adapter is exported as --gguf, a model as --onnx")
    out = Path(args.gguf or args.onnx)
    (_adapter if args.adapter else _onnx)(args, out)
    print(out)
    return 0


def _adapter(args: argparse.Namespace, out: Path) -> None:
    from tinsmith import models
    from tinsmith.train import adapter_gguf

    for note in adapter_gguf.write(args.adapter, models.load(args.base), out):
        print(note, file=sys.stderr)


def _onnx(args: argparse.Namespace, out: Path) -> None:
    from tinsmith import models
    from tinsmith.backends.onnx_export import export

    export(models.load(args.file), out, args.precision or "int4")
