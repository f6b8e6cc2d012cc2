#!/usr/bin/env python3
"""Prints, as Markdown, host by case of integrations/conformance and what addons take, as the last runs had it.

    scripts/conformance_table.py FOLDER     reads FOLDER/*/conformance.json and weight.json

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


def weights(found: dict[str, dict[str, int]]) -> str:
    """Kilobytes and mebibytes. found: by host, what integrations/weigh.py keeps."""
    lines = [
        "| addon | beside the library, KB | memory beside the file, MiB | a session as planned, MiB |",
        "| --- | --- | --- | --- |",
    ]
    for name, weight in sorted(found.items()):
        cells = [
            f"{weight[key] / unit:.1f}" if key in weight else "–"
            for key, unit in (("beside", 1000), ("added", 1 << 20), ("planned", 1 << 20))
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


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
    weighed = {
        path.parent.name: json.loads(path.read_text("utf-8"))
        for path in Path(sys.argv[1]).glob("*/weight.json")
    }
    if weighed:
        print(f"\n{weights(weighed)}")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
