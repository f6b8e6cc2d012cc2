"""`tinsmith imatrix MODEL TEXT --out F`: which inputs of a model's matrices matter, in llama.cpp's format."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "see which inputs of each matrix matter on a text"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a GGUF file, a Hugging Face folder or a name")
    parser.add_argument("text", metavar="TEXT", help="a text such as the model will see")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="F", help="GGUF; the older format where it ends in .dat"
    )
    parser.add_argument("--tokens", type=int, default=16_384, help="of the text that are seen at most")


def run(args: argparse.Namespace) -> int:
    from tinsmith import hub, models, progress
    from tinsmith.errors import InputError
    from tinsmith.formats import imatrix
    from tinsmith.search import grams, text

    if args.tokens < text.WINDOW:
        raise InputError(f"--tokens {args.tokens}: give at least {text.WINDOW}")
    spec = models.load(hub.pull(args.model))
    ids = text.tokens(spec, text.read(args.text))
    model, seen = grams.of_text(spec, ids, progress.display(), args.tokens)
    names = {role: name.gguf for role, name in model.names.items()}
    chunk = min(text.WINDOW, len(ids))
    imatrix.write(
        args.out, seen.sums(names), text=Path(args.text).name, chunks=max(1, seen.count // chunk), chunk=chunk
    )
    print(args.out)
    return 0
