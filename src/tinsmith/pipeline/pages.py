"""The files of report pages, and their figures in a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinsmith.evaluate.naming import title
from tinsmith.evaluate.page import figure, percent, size
from tinsmith.system import files

JSON, PAGE = "report.json", "report.html"


def write_report(folder: Path, document: Mapping[str, Any], page: str) -> list[Path]:
    """report.json for programs, report.html for people."""
    files.write_text(folder / JSON, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    files.write_text(folder / PAGE, page)
    return [folder / JSON, folder / PAGE]


def table(systems: dict[str, Any]) -> str:
    """The systems as aligned text, for a terminal."""
    head = "system|exact %|95 %|equiv. %|function %|valid %|ms/item|size|memory|items"
    rows = [tuple(head.split("|"))]
    for name, s in systems.items():
        low, high = s["exact_interval"]
        shares = [percent(s[key]) for key in ("equivalent", "function", "valid")]
        costs = figure(s["ms_per_item"]), size(s.get("bytes")), size(s["peak_memory"]), str(s["items"])
        rows.append((title(name), percent(s["exact"]), f"{percent(low)}–{percent(high)}", *shares, *costs))
    return "\n".join(aligned(rows))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines


def tables(systems: Mapping[str, dict[str, Any]], router: Mapping[str, Any]) -> str:
    """What several tasks' systems and the router do, as aligned text, for a terminal."""
    parts = [f"{name}\n{table(found)}" for name, found in systems.items()]
    for weights, chosen in router.items():
        low, high = chosen["interval"]
        said = f"router {weights}: {percent(chosen['right'])} % of {chosen['prompts']} prompts right"
        said += f" ({percent(low)}–{percent(high)})"
        if off := chosen["off_topic"]:
            said += f", {percent(off['right'])} % of {off['prompts']} off topic refused"
        parts.append(said)
    return "\n\n".join(parts)
