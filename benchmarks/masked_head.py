"""What computing only the logits that may be chosen spares: constrained decoding, the whole head or not.

    python benchmarks/masked_head.py FILE [--threads 1] [--rounds 5]

FILE: a .tin or .gguf. Three constraints: `labels`, 64 colours of eight in a list, where each token is one of
a few; `record`, such fields and a free text; `text`, free text, which is what the mask can cost. The same
session answers by each in turns, without drafts: `whole`, where tin_session_want_logits asks for all logits,
and `masked`.

Prints one line of JSON: tokens chosen by an evaluation a second, medians over the rounds, and `ratio` of each
pair in the same round, as the median; `same`: whether both gave the same tokens.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from report import add_out, report

import tinsmith
from tinsmith import _core

COLOURS = ["red", "green", "blue", "yellow", "black", "white", "orange", "purple"]
LABELS = {"type": "array", "items": {"enum": COLOURS}, "minItems": 64, "maxItems": 64}
FIELDS = {
    f"{name} {kind}": {"enum": COLOURS} for name in ("wall", "door", "roof") for kind in ("inside", "outside")
}
RECORD = {
    "type": "object",
    "properties": {**FIELDS, "street": {"type": "string", "maxLength": 24}, "number": {"type": "integer"}},
    "required": [*FIELDS, "street", "number"],
    "additionalProperties": False,
}
PROMPT = "Describe a house, its colours and where it stands."
TOKENS = 128


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    add_out(parser)
    args = parser.parse_args()
    model = tinsmith.load(args.file, threads=args.threads)
    kinds = {
        "labels": tinsmith.schema(LABELS),
        "record": tinsmith.schema(RECORD),
        "text": tinsmith.regex(r"[\s\S]*"),
    }
    prompt = model.tokenize(PROMPT, bos=True)
    session = _core.Session(model.core, context=1024, logit_rows=1, threads=args.threads)
    found: dict[str, Any] = {}
    for name, constraint in kinds.items():
        held, rates, ratios, same = (
            _core.Constraint(model.core, constraint.data),
            {False: [], True: []},
            [],
            True,
        )
        for _ in range(args.rounds + 1):  # the first warms up
            pair = {whole: answered(session, prompt, held, whole) for whole in (False, True)}
            same &= pair[False][1] == pair[True][1]
            for whole, (rate, _tokens) in pair.items():
                rates[whole].append(rate)
            ratios.append(pair[False][0] / pair[True][0])
        found[name] = {
            "masked": statistics.median(rates[False][1:]),
            "whole": statistics.median(rates[True][1:]),
            "ratio": statistics.median(ratios[1:]),
            "same": same,
        }
    ratios = {name: round(one["ratio"], 2) for name, one in found.items()}
    facts = {"file": args.file.name, "isa": model.info.isa, "threads": args.threads, **found}
    report(args.out, facts, [{"Model": args.file.name, **ratios}])
    return 0


def answered(
    session: _core.Session, prompt: list[int], held: _core.Constraint, whole: bool
) -> tuple[float, list[int]]:
    """Evaluations a second behind the prompt, and the tokens."""
    session.rewind(0)
    session.constrain(held)
    session.append(prompt)
    session.want_logits(len(prompt) - 1 if whole else 2**32 - 1)
    session.generate(TOKENS, 0)
    session.step()
    begun, before = time.perf_counter(), session.passes()
    while session.step() != _core.STEP_DONE:
        pass
    seconds = time.perf_counter() - begun
    return (session.passes() - before) / seconds, session.tokens()[1][len(prompt) :]


if __name__ == "__main__":
    sys.exit(main())
