"""`tinsmith quantize IN OUT --type q4_k_m`: a model in another weight format, as a GGUF file."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from tinsmith.recipe import FORMATS

HELP = "write a GGUF file in another weight format"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="IN", help="a GGUF file or a Hugging Face folder")
    parser.add_argument("out", metavar="OUT", type=Path, help="the GGUF file to write")
    parser.add_argument(
        "--type", required=True, metavar="T", help=f"one of {', '.join(f.lower() for f in FORMATS)}"
    )
    parser.add_argument("--imatrix", metavar="F", help="which inputs matter: by llama.cpp's llama-imatrix")
    parser.add_argument("--threads", type=int, default=0, help="how many convert at once (0: one a core)")


def run(args: argparse.Namespace) -> int:
    from tinsmith.errors import InputError
    from tinsmith.formats import imatrix
    from tinsmith.quant import presets

    preset = args.type.upper()
    presets.find(preset)
    if args.threads < 0:
        raise InputError(f"--threads {args.threads}: give a number of threads, or 0 for one a core")
    importance = imatrix.read(args.imatrix) if args.imatrix else {}
    source = Path(args.source)
    if source.is_dir():
        _folder(source, args.out, preset, importance, args.threads)
    else:
        _file(source, args.out, preset, importance, args.threads)
    print(args.out)
    return 0


def _file(source: Path, out: Path, preset: str, importance: dict[str, bytes], threads: int) -> None:
    from tinsmith import progress
    from tinsmith.quant import files

    display = progress.display()
    notes = files.quantize(
        source, out, preset, importance, threads=threads, progress=partial(progress.transfer, display, preset)
    )
    for note in notes:
        display.line(f"{preset}: {note}")


def _folder(source: Path, out: Path, preset: str, importance: dict[str, bytes], threads: int) -> None:
    from tinsmith import build, models, progress

    spec = models.load(source)
    build.write_gguf(spec, out, preset, progress.display(), build.by_role(spec, importance), threads)
