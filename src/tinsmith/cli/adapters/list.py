"""tinsmith adapters list: the adapters in a .tin."""

from __future__ import annotations

import json

from tinsmith.cli._command import Args, flag
from tinsmith.cli.adapters._out import FILE

HELP = "the adapters in a .tin, and what they are"
PARAMETERS = [FILE, flag("--json", help="print what the manifest says of each, and its own rank, as JSON")]
_BROUGHT = {
    "template": "chat template",
    "constraint": "constraint",
    "abstention": "thresholds",
    "metrics": "metrics",
    "license": "licence",
}


def run(args: Args) -> int:
    from tinsmith.train.adapters import tin as adapter_tin

    known, ranks = adapter_tin.listed(args.file), adapter_tin.own_ranks(args.file)
    for name, rank in ranks.items():
        known[name]["own_rank"] = rank
    if args.json:
        print(json.dumps(known, indent=1))
    else:
        width = max(map(len, known), default=0)
        for name, facts in known.items():
            size = f"{facts.get('factor_bytes')} bytes"
            told = f"rank {facts.get('own_rank')}, {facts.get('matrices')} matrices, {size}"
            if facts.get("own_rank") != facts.get("rank"):
                told += f" (takes {facts.get('rank')} of a session's adapter_rank)"
            if facts.get("prefix"):
                told = f"a prefix of {facts['prefix']} tokens, {size}"
            brings = [word for key, word in _BROUGHT.items() if key in facts]
            told += f"; with its {', '.join(brings)}" if brings else ""
            print(f"{name:<{width}}  {told}")
    return 0
