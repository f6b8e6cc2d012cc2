#!/usr/bin/env python3
"""Makes docs/benchmarks.md from benchmarks/figures/*.json.

A file is one table: `title`, `note` and `records`. A record has `rows` (column to value) and what is known of
`machine`, `date`, `commit`, `command` and `seeds`. A benchmark writes it: `--out benchmarks/figures/NAME.json`.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FIGURES, PAGE = ROOT / "benchmarks" / "figures", ROOT / "docs" / "benchmarks.md"

SECTIONS = {
    "Answers": (
        "quality",
        "home",
        "home-default",
        "home-formats",
        "examples",
        "bfcl",
        "compare",
        "documents",
        "router",
    ),
    "Training": (
        "home-without",
        "originals-once",
        "continual",
        "learning-rate",
        "training",
        "data-check",
    ),
    "Speed": (
        "answers",
        "prompts",
        "masked-head",
        "adapters",
        "serving",
        "batch",
        "vision",
    ),
    "Devices": ("frames", "hosts", "plan", "cortex", "sealing"),
    "Weight formats": ("formats", "few-bits", "auto", "perplexity"),
}
TESTING = {"coverage", "fuzz", "mutants", "soak"}  # docs/testing.md has these
HEAD = """# Benchmarks

`scripts/figures.py` makes this page from `benchmarks/figures/`. The line below a table says where, when and by
which command it was measured, as far as that is known. To compare two ways, measure both in one run on your own
machine.

*Constrained* answers are those that the task's tools, labels or schema allow; *unconstrained* ones can be any
text. *Exact* means equal to the expected answer. A 95 % interval covers the chance in drawing the test items,
not in training."""


def table(records: list[dict[str, Any]]) -> str:
    rows = [row for record in records for row in record["rows"]]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, *([cell(row.get(name)) for name in columns] for row in rows)]
    head, *body = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, "|---" * len(columns) + "|", *body])


def cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)


def origin(record: dict[str, Any]) -> str:
    """A record's machine, date, commit, seeds and command, as far as they are known."""
    seeds = record.get("seeds", [])
    parts = [record.get("machine"), record.get("date"), record.get("commit") and f"commit {record['commit']}"]
    parts += [f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"] if seeds else []
    parts += [f"`{record['command']}`"] if "command" in record else []
    return "; ".join(part for part in parts if part)


def subject(figures: dict[str, Any]) -> str:
    origins = dict.fromkeys(filter(None, map(origin, figures["records"])))
    measured = wrapped(f"Measured: {' / '.join(origins)}.") if origins else ""
    parts = [f"### {figures['title']}", wrapped(figures["note"]), table(figures["records"]), measured]
    return "\n\n".join(part for part in parts if part)


def wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def page(folder: Path = FIGURES) -> str:
    listed = {name for names in SECTIONS.values() for name in names}
    found = {path.stem for path in folder.glob("*.json")} - TESTING
    if listed != found:
        raise SystemExit(
            f"{', '.join(sorted(listed ^ found))}: a file without a section, or a section without a file"
        )
    parts = [HEAD]
    for section, names in SECTIONS.items():
        parts.append(f"## {section}")
        parts += [subject(json.loads((folder / f"{name}.json").read_text("utf-8"))) for name in names]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
