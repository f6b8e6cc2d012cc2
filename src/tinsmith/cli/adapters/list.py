"""tinsmith adapters list: the adapters in a .tin."""

from __future__ import annotations

import json

from tinsmith.cli._command import Args, flag
from tinsmith.cli.adapters._out import FILE

HELP = "the adapters in a .tin, and what they are"
PARAMETERS = [FILE, flag("--json", help="print what the manifest says of each as JSON")]
_BROUGHT = {
    "template": "chat template",
    "constraint": "constraint",
    "sure": "thresholds",
    "metrics": "metrics",
    "license": "licence",
}


def run(args: Args) -> int:
    from tinsmith.train import adapter_tin

    known = adapter_tin.listed(args.file)
    if args.json:
        print(json.dumps(known, indent=1))
    else:
        width = max(map(len, known), default=0)
        for name, facts in known.items():
            told = (
                f"rank {facts.get('rank')}, {facts.get('matrices')} matrices, {facts.get('factor_bytes')} bytes"
            )
            brings = [word for key, word in _BROUGHT.items() if key in facts]
            told += f"; with its {', '.join(brings)}" if brings else ""
            print(f"{name:<{width}}  {told}")
    return 0
