"""`tinsmith imatrix MODEL TEXT --out F`: which inputs of a model's matrices matter, in llama.cpp's format."""

from __future__ import annotations

from pathlib import Path

from tinsmith.cli._command import Args, argument, option
from tinsmith.cli._types import File, Whole, base_names

HELP = "see which inputs of each matrix matter on a text"
SECTION = "build"
PARAMETERS = [
    argument(
        "model", "MODEL", File(".gguf", names=base_names), help="a GGUF file, a Hugging Face folder or a name"
    ),
    argument("text", "TEXT", File(), help="a text such as the model will see"),
    option(
        "--out",
        File(".gguf", ".dat", path=True, out=True),
        required=True,
        metavar="F",
        help="GGUF; the older format where it ends in .dat",
    ),
    option(
        "--tokens",
        Whole(),
        default=16_384,
        metavar="N",
        help="of the text that are seen at most (default: 16384)",
    ),
]


def run(args: Args) -> int:
    from tinsmith import hub, models
    from tinsmith.errors import InputError
    from tinsmith.formats import imatrix
    from tinsmith.search import grams, text
    from tinsmith.system import progress

    if args.tokens < text.WINDOW:
        raise InputError(f"--tokens {args.tokens}: give at least {text.WINDOW}")
    spec = models.load(hub.pull(args.model))
    ids = text.tokens(spec, text.read(args.text))
    model, seen = grams.of_text(spec, ids, progress.display(), args.tokens)
    chunk = min(text.WINDOW, len(ids))
    sums = {
        part.gguf: seen_by for role, seen_by in seen.sums().items() for part in model.names[role].gguf_parts
    }
    imatrix.write(args.out, sums, text=Path(args.text).name, chunks=max(1, seen.count // chunk), chunk=chunk)
    print(args.out)
    return 0
