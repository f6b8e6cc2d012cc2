#!/usr/bin/env python3
"""Prints, as Markdown, host by case of integrations/conformance, as each host's last run found it.

    scripts/conformance_table.py FOLDER     reads FOLDER/*/conformance.json

A case that did not pass has a number, and its line below the table; one that a host did not report has a dash.
Exits with 1 where any is not passed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def table(reports: list[dict[str, Any]]) -> tuple[str, bool]:
    """The text, and whether all is passed. reports: what conformance.json holds; cases stand in the order in
    which they first come."""
    names = list(dict.fromkeys(name for report in reports for name in report["cases"]))
    lines = [f"| host | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    faults: list[str] = []
    whole = True
    for report in sorted(reports, key=lambda report: str(report["host"])):
        cells = []
        for name in names:
            found = report["cases"].get(name)
            whole = whole and found == "passed"
            if found not in (None, "passed"):
                faults.append(f"{len(faults) + 1}. {report['host']}, {name}: {found}")
            cells.append({"passed": "✓", None: "–"}.get(found, str(len(faults))))
        lines.append(
            f"| {report['host']} {report.get('version', '')} | {' | '.join(cells)} |".replace("  ", " ")
        )
    return "\n".join([*lines, *(["", *faults] if faults else [])]), whole


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    found = sorted(Path(sys.argv[1]).glob("*/conformance.json"))
    if not found:
        print(f"{sys.argv[1]}: no host has left a conformance.json; run scripts/hosts NAME", file=sys.stderr)
        return 2
    text, whole = table([json.loads(path.read_text("utf-8")) for path in found])
    print(text)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
