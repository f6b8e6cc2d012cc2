"""`tinsmith quantize IN OUT --type q4_k_m`: a model in another weight format, as a GGUF file."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from tinsmith.cli import _budget
from tinsmith.recipe import AUTO, FORMATS

HELP = "write a GGUF file in another weight format"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="IN", help="a GGUF file or a Hugging Face folder")
    parser.add_argument("out", metavar="OUT", type=Path, help="the GGUF file to write")
    parser.add_argument(
        "--type", required=True, metavar="T", help=f"one of {', '.join(f.lower() for f in FORMATS)}, auto"
    )
    parser.add_argument("--imatrix", metavar="F", help="which inputs matter: by tinsmith imatrix")
    parser.add_argument("--gptq", action="store_true", help="make up for errors; needs --calibration")
    parser.add_argument("--threads", type=int, default=0, help="how many convert at once (0: one a core)")
    _budget.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from tinsmith.errors import InputError
    from tinsmith.formats import imatrix
    from tinsmith.quant import presets

    preset = args.type.upper()
    if preset != AUTO:
        presets.find(preset)
    _budget.check(args, [preset])
    if args.threads < 0:
        raise InputError(f"--threads {args.threads}: give a number of threads, or 0 for one a core")
    importance = imatrix.read(args.imatrix) if args.imatrix else {}
    source = Path(args.source)
    if args.calibration:
        _calibrated(source, preset, importance, args)
    elif source.is_dir():
        _folder(source, args.out, preset, importance, args.threads)
    else:
        _file(source, args.out, preset, importance, args.threads)
    print(args.out)
    return 0


def _calibrated(source: Path, preset: str, importance: dict[str, bytes], args: argparse.Namespace) -> None:
    """With a float model at hand: auto, or error feedback."""
    from tinsmith import models, progress
    from tinsmith.formats import gguf
    from tinsmith.models import family
    from tinsmith.quant import files
    from tinsmith.search import grams, text

    spec, display = models.load(source), progress.display()
    overhead = None if source.is_dir() else files.overhead(gguf.read(source))
    if preset == AUTO:
        made = _budget.search(args, spec, _budget.work_folder(args, args.out), display, overhead)
        chosen: Any = made.mix
        feedback = made.feedback
    else:
        ids = text.tokens(spec, text.read(args.calibration))
        chosen, feedback = preset, grams.Feedback(*grams.of_text(spec, ids, display)).by_role
    if source.is_dir():
        _folder(source, args.out, chosen, importance, args.threads, feedback)
    else:
        roles = {name.gguf: name.role for name in family.by_name(spec.family).tensors(spec.hyper)}
        _file(source, args.out, chosen, importance, args.threads, feedback and (lambda n: feedback(roles[n])))


def _file(
    source: Path, out: Path, preset: Any, importance: dict[str, bytes], threads: int, feedback: Any = None
) -> None:
    from tinsmith import progress
    from tinsmith.quant import files

    display, label = progress.display(), getattr(preset, "name", preset)
    notes = files.quantize(
        source,
        out,
        preset,
        importance,
        threads=threads,
        feedback=feedback,
        progress=partial(progress.transfer, display, label),
    )
    for note in notes:
        display.line(f"{label}: {note}")


def _folder(
    source: Path, out: Path, preset: Any, importance: dict[str, bytes], threads: int, feedback: Any = None
) -> None:
    from tinsmith import build, models, progress

    spec = models.load(source)
    build.write_gguf(spec, out, preset, progress.display(), build.by_role(spec, importance), threads, feedback)
