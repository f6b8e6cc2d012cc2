"""tinsmith export: a model in another form."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "write a model in another form: ONNX"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .gguf or a Hugging Face folder")
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--onnx", metavar="OUT", help="a folder for onnxruntime and onnxruntime-genai")
    parser.add_argument(
        "--precision",
        metavar="P",
        help="of --onnx: int4 (default), int8, fp16 or fp32; blocks are of 32 weights",
    )


def run(args: argparse.Namespace) -> int:
    out = Path(args.onnx)
    _onnx(args, out)
    print(out)
    return 0


def _onnx(args: argparse.Namespace, out: Path) -> None:
    from tinsmith import models
    from tinsmith.backends.onnx_export import export

    export(models.load(args.file), out, args.precision or "int4")
