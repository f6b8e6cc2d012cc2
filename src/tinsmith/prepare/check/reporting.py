"""The report for a terminal, as JSON and as a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tinsmith.errors import MissingExtraError
from tinsmith.prepare.check import EXTRA, SEVERITIES, Finding, Report, Severity, by_name
from tinsmith.prepare.check.mending import Change

_SHOWN = 5  # findings per kind on a terminal
_LISTED = 200  # findings per kind on a page
PAGE = Path(__file__).with_name("page.html.j2")


def as_json(report: Report) -> dict[str, Any]:
    data = report.data
    counts = Counter((str(one.path), one.split) for one in data.places)
    return {
        "rows": len(data.rows) + len(data.faults),
        "files": [{"path": path, "split": split, "rows": rows} for (path, split), rows in counts.items()],
        "task": data.task.name,
        "counts": {severity: report.count(severity) for severity in SEVERITIES},
        "kinds": {
            kind: {
                "severity": _worst(found),
                "count": len(found),
                "title": by_name(kind).title,
                "advice": by_name(kind).advice,
                "findings": [one.as_json() for one in found],
            }
            for kind, found in _sorted(report)
        },
        "skipped": report.skipped,
        "seconds": round(report.seconds, 3),
    }


def summary(report: Report) -> str:
    counts = [(report.count(severity), severity) for severity in SEVERITIES]
    listed = ", ".join(f"{count:,} {severity}{'s' if count != 1 else ''}" for count, severity in counts)
    rows = len(report.data.rows) + len(report.data.faults)
    return f"{listed} in {rows:,} examples of the task {report.data.task.name} ({report.seconds:.1f} s)"


def lines(report: Report, show: Callable[[str], str]) -> list[str]:
    """show: escapes a text for a terminal."""
    made = [summary(report)]
    for kind, found in _sorted(report):
        check = by_name(kind)
        made += ["", f"{_worst(found):<7}  {kind} ({len(found):,}): {check.title}; {check.advice}"]
        made += [show(f"  {one.where}: {one.message}") for one in found[:_SHOWN]]
        more = len(found) - _SHOWN
        made += [f"  and {more:,} more; --json and --html list them"] if more > 0 else []
    if report.skipped:
        made += ["", *(f"skipped: {kind}: {reason}" for kind, reason in report.skipped.items())]
    return made


def fixed(made: Sequence[Path], changes: Sequence[Change]) -> list[str]:
    """The changes of --fix, and its files."""
    dropped = len({one.where for one in changes if one.done == "dropped"})
    changed = len({one.where for one in changes if one.done != "dropped"})
    kinds = Counter(one.kind for one in changes)
    listed = ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common())
    first = f"{dropped:,} examples were dropped, {changed:,} changed" + (f" ({listed})" if listed else "")
    return [first, *map(str, made)]


def page(report: Report) -> str:
    """A self-contained page without scripts. Raises MissingExtraError without jinja2."""
    try:
        import jinja2
    except ImportError:
        raise MissingExtraError("jinja2", EXTRA) from None
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found = as_json(report)
    return environment.from_string(PAGE.read_text("utf-8")).render(
        report=found, summary=summary(report), listed=_LISTED
    )


def _sorted(report: Report) -> list[tuple[str, list[Finding]]]:
    return sorted(
        report.findings.items(), key=lambda one: (SEVERITIES.index(_worst(one[1])), -len(one[1]), one[0])
    )


def _worst(found: Sequence[Finding]) -> Severity:
    return min((one.severity for one in found), key=SEVERITIES.index)
