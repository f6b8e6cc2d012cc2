"""tinsmith perplexity: how well a model predicts a text."""

from __future__ import annotations

import argparse
import json

from tinsmith import reading
from tinsmith.cli._model import add_model_arguments, open_model

HELP = "how well a model file predicts a text, natively or in another runtime"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument("text", metavar="TEXT_FILE", help="UTF-8 text")
    parser.add_argument(
        "--context", type=int, default=512, metavar="N", help="tokens of a window, half of them scored (512)"
    )
    parser.add_argument("--json", action="store_true", help="print perplexity, tokens … as JSON")


def run(args: argparse.Namespace) -> int:
    from tinsmith import progress
    from tinsmith.evaluate.perplexity import perplexity

    text = reading.read_text(args.text)
    model = open_model(args)
    found = perplexity(model, text, args.context, progress.display())
    if args.json:
        print(json.dumps({**found, "backend": args.backend or model.info.backend}))
    else:
        print(f"perplexity {found['perplexity']:.4f} over {found['tokens']} tokens, {model.info.backend}")
    return 0
