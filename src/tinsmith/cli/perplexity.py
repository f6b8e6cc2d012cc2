"""tinsmith perplexity: how well a model predicts a text."""

from __future__ import annotations

import json

from tinsmith.cli import _model
from tinsmith.cli._command import Args, argument, flag, option
from tinsmith.cli._types import File, Whole
from tinsmith.system import reading

HELP = "how well a model file predicts a text, natively or in another runtime"
SECTION = "measure"
PARAMETERS = [
    *_model.PARAMETERS,
    argument("text", "TEXT_FILE", File(), help="UTF-8 text"),
    option(
        "--context", Whole(), default=512, metavar="N", help="tokens of a window, half of them scored (512)"
    ),
    flag("--json", help="print perplexity, tokens … as JSON"),
]


def run(args: Args) -> int:
    from tinsmith.evaluate.perplexity import perplexity
    from tinsmith.system import progress

    text = reading.read_text(args.text)
    model = _model.open_model(args)
    result = perplexity(model, text, args.context, progress.display())
    if args.json:
        print(json.dumps({**result, "backend": args.backend or model.info.backend}))
    else:
        print(f"perplexity {result['perplexity']:.4f} over {result['tokens']} tokens, {model.info.backend}")
    return 0
