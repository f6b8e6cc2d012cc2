"""A cleaned copy of the data: faults are mended or dropped, and every change is listed."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tinsmith.data.readers import Example, as_row
from tinsmith.errors import InputError
from tinsmith.prepare.check import Finding, Report, checks, run
from tinsmith.prepare.check.rows import Data, Row
from tinsmith.system import files

_ROUNDS = 4  # a mended row may have another fault: two spellings of a label become duplicates
SUFFIX = ".changes.jsonl"


@dataclass(frozen=True)
class Change:
    """before, after: the example's row; None for a row that was no example, or was dropped."""

    where: str
    kind: str
    done: str
    message: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def mend(report: Report, kept: Collection[str] = ()) -> tuple[list[Row], list[Change]]:
    """The remaining rows, and the changes. kept: kinds of findings to ignore.

    Notes are ignored too. Repeated rows are dropped last, so that the remaining one is without faults."""
    changes = [
        Change(one.where, one.kind, one.mend.done, one.message, None, None)
        for found in report.findings.values()
        for one in found
        if one.row is None and one.mend and one.kind not in kept
    ]
    data, found = replace(report.data, faults=[]), report.findings
    for repeats in (False, True):
        chosen = [check for check in checks() if check.repeats == repeats and check.name not in kept]
        for _ in range(_ROUNDS):
            if found is not report.findings:
                found = run(data, chosen).findings
            rows, done = _once(data, [one for check in chosen for one in found.get(check.name, ())])
            found = {}
            if not done:
                break
            changes += done
            data = replace(data, rows=rows)
    return data.rows, changes


def _once(data: Data, findings: Iterable[Finding]) -> tuple[list[Row], list[Change]]:
    by_row: dict[int, list[Finding]] = {}
    for one in findings:
        if one.row is not None and one.mend and one.severity != "note":
            by_row.setdefault(one.row, []).append(one)
    rows, changes = [], []
    for i, row in enumerate(data.rows):
        example: Example | None = row.example
        for one in by_row.get(i, ()):
            assert one.mend
            before, example = example, one.mend.apply(example) if example else None
            if before is not None and before != example:
                done = one.mend.done if example else "dropped"
                after = written(example) if example else None
                changes.append(Change(row.where, one.kind, done, one.message, written(before), after))
        if example is not None:
            rows.append(replace(row, example=example))
    return rows, changes


def written(example: Example, folder: Path | None = None) -> dict[str, Any]:
    """An example's row in a file. folder: the file's."""
    return {key: value for key, value in as_row(example, folder).items() if value != {}}


def write(report: Report, out: Path, kept: Collection[str] = ()) -> tuple[list[Path], list[Change]]:
    """Writes the cleaned copy as JSON lines, and the changes beside it. out: a file, or for several checked
    files a folder.

    Raises InputError for an output that would replace a checked file, or two outputs of one name."""
    copies = outputs(report.data, out)
    rows, changes = mend(report, kept)
    made = []
    for path, place in copies.items():
        own = (written(row.example, place.parent) for row in rows if row.path == path)
        made += [place, _changes(place)]
        files.write_text(place, json_lines(own))
        files.write_text(made[-1], json_lines(asdict(one) for one in changes if _is_of(one, path)))
    return made, changes


def outputs(data: Data, out: Path) -> dict[Path, Path]:
    """The output of each checked file."""
    paths = list(dict.fromkeys(one.path for one in data.places))
    single = len(paths) == 1 and not out.is_dir()
    made = {path: out if single else out / f"{path.stem}.jsonl" for path in paths}
    for place in made.values():
        files.check_begins(_changes(place), b'{"where": ')
    given = {files.resolved(path) for path in paths}
    written_to = [*made.values(), *map(_changes, made.values())]
    for place in written_to:
        if files.resolved(place) in given:
            raise InputError(f"--fix {out}: {place} is an input, which --fix keeps; give another path")
    if len(set(written_to)) < len(written_to):
        raise InputError(f"--fix {out}: two of the files have the same name; check them one by one")
    return made


def _changes(place: Path) -> Path:
    return place.with_name(place.stem + SUFFIX)


def _is_of(change: Change, path: Path) -> bool:
    return change.where == str(path) or change.where.startswith(f"{path}:")


def json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
