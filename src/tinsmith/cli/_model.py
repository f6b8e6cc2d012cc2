"""Arguments and opening that the verbs on one model file share."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinsmith.runtime import Model


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .tin, a .gguf, an .onnx or a Hugging Face folder")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads that work on one step (default: the cores)"
    )
    parser.add_argument(
        "--isa", metavar="S", help="instruction set (default: TIN_FORCE_ISA, or the best this processor runs)"
    )
    parser.add_argument(
        "--kv",
        default="f16",
        metavar="T",
        help="keys and values: f16 (default), or q8 in half the memory",
    )
    parser.add_argument(
        "--backend", metavar="B", help="what computes: native, llama.cpp or onnxruntime (default: as FILE is)"
    )
    add_key_argument(parser)
    parser.add_argument(
        "--gpu-layers", type=int, default=0, metavar="N", help="layers that llama.cpp puts on a GPU (-1: all)"
    )


def add_key_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--key",
        default=os.environ.get("TINSMITH_KEY") or None,
        metavar="K",
        help="refuse a .tin that the owner of this minisign key did not sign: RW…, or a .pub file (default: "
        "the environment's TINSMITH_KEY, if set)",
    )


def open_model(args: argparse.Namespace, date: str | None = None) -> Model:
    from tinsmith.runtime import load

    return load(
        args.file,
        threads=args.threads,
        isa=args.isa,
        kv=args.kv,
        backend=args.backend,
        gpu_layers=args.gpu_layers,
        date=date,
        key=args.key,
    )
