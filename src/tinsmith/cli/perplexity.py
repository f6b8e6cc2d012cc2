"""tinsmith perplexity: the perplexity of a model on a text."""

from __future__ import annotations

import json

from tinsmith.cli import _model
from tinsmith.cli._command import Args, argument, flag, option
from tinsmith.cli._types import File, Whole
from tinsmith.system import progress, reading

HELP = "measure the perplexity of a model file on a text"
SECTION = "measure"
PARAMETERS = [
    *_model.PARAMETERS,
    argument("text", "TEXT_FILE", File(), help="UTF-8 text"),
    option("--context", Whole(), default=512, help="tokens of a window, of which the second half is scored"),
    flag("--json", help="print perplexity and tokens as JSON"),
]


def run(args: Args) -> int:
    from tinsmith.evaluate.perplexity import perplexity

    text = reading.read_text(args.text)
    model = _model.open_model(args)
    result = perplexity(model, text, args.context, progress.display())
    if args.json:
        print(json.dumps({**result, "backend": args.backend or model.info.backend}))
    else:
        print(f"perplexity {result['perplexity']:.4f} over {result['tokens']} tokens, {model.info.backend}")
    return 0
