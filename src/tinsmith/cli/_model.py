"""Arguments and opening that the verbs on one model file share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinsmith.runtime import Model


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .tin, a .gguf or a Hugging Face folder")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads that work on one step (default: the cores)"
    )
    parser.add_argument(
        "--isa", metavar="S", help="instruction set (default: the best one this processor runs)"
    )


def open_model(args: argparse.Namespace) -> Model:
    from tinsmith.runtime import load

    return load(args.file, threads=args.threads, isa=args.isa)
