"""docs/benchmarks.md is made of benchmarks/figures/, into which the benchmarks write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import figures
import pytest

from tests.docs.blocks import ROOT

SCRIPT = """
import argparse
from report import add_out, report
parser = argparse.ArgumentParser()
parser.add_argument("file")
add_out(parser)
args = parser.parse_args()
report(args.out, {"rate": 2}, [{"Model": args.file, "Rate": 2, "Peer": None}], [0, 1])
"""


def test_the_page_is_up_to_date() -> None:
    assert figures.PAGE.read_text("utf-8") == figures.page(), "run scripts/figures.py"


def test_rows_of_the_page_are_at_most_200_characters_wide() -> None:
    assert [line for line in figures.page().splitlines() if line.startswith("|") and len(line) > 200] == []


def test_a_file_without_a_section_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "new.json").write_text("{}", "utf-8")
    with pytest.raises(SystemExit, match="new"):
        figures.page(tmp_path)


def test_a_run_replaces_what_its_script_measured_at_other_commits(tmp_path: Path) -> None:
    (tmp_path / "speed.py").write_text(SCRIPT, "utf-8")
    other = {"command": "tinsmith bench FILE", "rows": [{"Model": "a"}]}
    old = {"command": "python benchmarks/speed.py old.tin", "commit": "0", "rows": [{"Model": "old"}]}
    out = tmp_path / "speed.json"
    out.write_text(json.dumps({"title": "Speed", "note": "Kept.", "records": [other, old]}), "utf-8")

    def run(file: str) -> list[dict[str, Any]]:
        command = [sys.executable, str(tmp_path / "speed.py"), str(tmp_path / file), "--out", str(out)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "benchmarks")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == {"rate": 2}
        written: dict[str, Any] = json.loads(out.read_text("utf-8"))
        assert (written["title"], written["note"]) == ("Speed", "Kept.")
        first, *own = written["records"]
        assert first == other
        return own

    (new,) = run("new.tin")
    assert new["command"] == "python benchmarks/speed.py new.tin"
    assert (new["rows"][0]["Rate"], new["seeds"]) == (2, [0, 1])
    assert {"machine", "date"} <= set(new)
    # Another command at the same commit adds its rows; the same one replaces them.
    assert [one["command"].split()[-1] for one in run("b.tin")] == ["new.tin", "b.tin"]
    assert [one["command"].split()[-1] for one in run("b.tin")] == ["new.tin", "b.tin"]


def test_a_subject_has_its_note_its_table_and_where_it_was_measured() -> None:
    rows = [{"Model": "a", "Bytes": 12345, "Peer": None}, {"Model": "b", "Bytes": 2, "Peer": "1.0"}]
    record = {
        "machine": "a machine",
        "date": "2026-12-01",
        "seeds": [1, 2],
        "command": "tinsmith bench",
        "rows": rows,
    }
    told = figures.subject({"title": "Speed", "note": "A note.", "records": [record]})
    assert told.splitlines() == [
        "### Speed",
        "",
        "A note.",
        "",
        "| Model | Bytes | Peer |",
        "|---|---|---|",
        "| a | 12,345 |  |",
        "| b | 2 | 1.0 |",
        "",
        "Measured: a machine; 2026-12-01; seeds 1, 2; `tinsmith bench`.",
    ]
