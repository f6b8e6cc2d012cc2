"""What a benchmark found: JSON on stdout, and with `--out FILE` a record in a file of benchmarks/figures/."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from tinsmith.system.machine import cpu

ROOT = Path(__file__).resolve().parents[1]
Row = Mapping[str, Any]  # column to value


def add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="FILE", help="of benchmarks/figures/")


def report(out: Path | None, result: Any, rows: Iterable[Row], seeds: Sequence[int] = ()) -> None:
    """Prints the result, and makes the rows a record of the file.

    The record replaces this script's records from other commits, and the same command's. So several commands at
    one commit make one table.
    """
    print(json.dumps(result))
    if out is None:
        return
    figures: dict[str, Any] = {"title": out.stem, "note": "", "records": []}
    if out.exists():
        figures = json.loads(out.read_text("utf-8"))
    new = record(rows, seeds)

    def stays(old: dict[str, Any]) -> bool:
        if script(old) != script(new):
            return True
        return old.get("commit") == new.get("commit") and old["command"] != new["command"]

    figures["records"] = [*filter(stays, figures["records"]), new]
    out.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def record(rows: Iterable[Row], seeds: Sequence[int]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "machine": f"{cpu()}, {os.cpu_count()} cores",
        "date": date.today().isoformat(),
        "commit": commit(),
        "command": command(sys.argv),
        "seeds": list(seeds),
        "rows": [dict(row) for row in rows],
    }
    return {name: value for name, value in made.items() if value}


def percent(share: float) -> float:
    return round(100 * share, 1)


def commit() -> str:
    """The checkout's, or "" where git does not say."""
    told = subprocess.run(["git", "rev-parse", "--short=8", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return told.stdout.strip()


def command(words: Sequence[str]) -> str:
    """As it was called, without --out and without the folders of this machine."""
    kept = list(words[1:])
    if "--out" in kept:
        del kept[kept.index("--out") : kept.index("--out") + 2]
    kept = [Path(word).name if Path(word).is_absolute() else word for word in kept]
    return shlex.join(["python", f"benchmarks/{Path(words[0]).name}", *kept])


def script(record: Mapping[str, Any]) -> str:
    """The benchmark that a record's command runs, or ""."""
    words = record.get("command", "").split()
    return Path(words[1]).name if len(words) > 1 and words[0] == "python" else ""
