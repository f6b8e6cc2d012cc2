"""Finds faults in examples: each with its file and line, its severity, and advice.

Each module of this package lists its checks in CHECKS; the command line, the page and --fix use all of them."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tinsmith.data.readers import Example
from tinsmith.errors import MissingExtraError, UnsupportedError
from tinsmith.system.plugins import exported

if TYPE_CHECKING:
    from tinsmith.prepare.check.rows import Data

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
EXTRA = "check"
NAMED = 20  # other rows in a finding, at most


@dataclass(frozen=True)
class Mend:
    """A change that --fix makes. done: its description. apply: the new example, or None to drop it."""

    done: str
    apply: Callable[[Example], Example | None]


DROP = Mend("dropped", lambda example: None)


@dataclass(frozen=True)
class Finding:
    """row: index of the example; None for a finding about a file, or a row that can't be read. where: its file
    and line. also: other rows of the finding."""

    kind: str
    severity: Severity
    where: str
    message: str
    row: int | None = None
    also: tuple[str, ...] = ()
    mend: Mend | None = field(default=None, compare=False)

    def as_json(self) -> dict[str, Any]:
        also = {"also": list(self.also)} if self.also else {}
        fix = {"fix": self.mend.done} if self.mend else {}
        return {"severity": self.severity, "where": self.where, "message": self.message, **also, **fix}


class Check(ABC):
    """A kind of fault. explained_by: checks whose finding on a row hides this one's. repeats: whether it finds
    rows that repeat others."""

    name: ClassVar[str]
    severity: ClassVar[Severity]
    title: ClassVar[str]
    advice: ClassVar[str]
    explained_by: ClassVar[tuple[str, ...]] = ()
    repeats: ClassVar[bool] = False

    def needs(self, data: Data) -> str:
        """Why the check can't run on this data; empty if it can."""
        return ""

    @abstractmethod
    def find(self, data: Data) -> Iterator[Finding]: ...

    def at(
        self,
        data: Data,
        row: int,
        message: str,
        mend: Mend | None = None,
        *,
        also: tuple[str, ...] = (),
        severity: Severity | None = None,
    ) -> Finding:
        where = data.rows[row].where
        return Finding(self.name, severity or self.severity, where, message, row, also, mend)


@cache
def checks() -> tuple[Check, ...]:
    """Every check, the most severe first. Raises MissingExtraError for a library that one needs."""
    try:
        found = exported(__name__, "CHECKS")
    except ImportError as error:
        raise MissingExtraError(error.name or "a library", EXTRA) from None
    return tuple(sorted(found, key=lambda check: (SEVERITIES.index(check.severity), check.name)))


def by_name(name: str) -> Check:
    """Raises UnsupportedError for an unknown name, listing the known ones."""
    for check in checks():
        if check.name == name:
            return check
    raise UnsupportedError(f'check "{name}" does not exist; there are {", ".join(c.name for c in checks())}')


@dataclass(frozen=True)
class Report:
    """findings: by check, without empty ones. skipped: why a check did not run."""

    data: Data
    findings: dict[str, list[Finding]]
    skipped: dict[str, str]
    seconds: float

    def count(self, severity: Severity) -> int:
        return sum(one.severity == severity for found in self.findings.values() for one in found)


def run(data: Data, chosen: Sequence[Check] | None = None) -> Report:
    """Runs the chosen checks, or all."""
    begun = time.monotonic()
    skipped, findings = {}, {}
    chosen = checks() if chosen is None else chosen
    for check in chosen:
        if reason := check.needs(data):
            skipped[check.name] = reason
        elif found := list(check.find(data)):
            findings[check.name] = found
    for check in chosen:
        explained = {one.row for name in check.explained_by for one in findings.get(name, ())} - {None}
        kept = [one for one in findings.pop(check.name, ()) if one.row not in explained]
        if kept:
            findings[check.name] = kept
    return Report(data, findings, skipped, time.monotonic() - begun)
