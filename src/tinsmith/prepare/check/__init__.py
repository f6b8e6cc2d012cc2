"""Faults in examples: each with its file and line, how bad it is, and what to do.

A check is one module of this folder with an instance of a Check subclass named `check`. Adding a module adds
the check: the command line, the page and the mending ask it; no table lists them.
"""

from __future__ import annotations

import pkgutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tinsmith.errors import MissingExtraError, UnsupportedError

if TYPE_CHECKING:
    from tinsmith.data.readers import Example
    from tinsmith.prepare.check.rows import Data

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
EXTRA = "check"
NAMED = 20  # other rows that a finding names, where there may be thousands


@dataclass(frozen=True)
class Mend:
    """What --fix does to an example. done: in words; apply: the new example, None where it is dropped."""

    done: str
    apply: Callable[[Example], Example | None]


def drop(done: str = "dropped") -> Mend:
    return Mend(done, lambda example: None)


@dataclass(frozen=True)
class Finding:
    """row: the example's number among the data's rows, None for what is of a file or could not be read; where:
    its file and line; also: the other rows it has to do with, of many the first."""

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
    """A kind of fault. title: in words; advice: what to do; explained_by: the checks whose finding on a row
    says why this one finds something there too, which is then left out; repeats: whether it is about rows
    that repeat others."""

    name: ClassVar[str]
    severity: ClassVar[Severity]
    title: ClassVar[str]
    advice: ClassVar[str]
    explained_by: ClassVar[tuple[str, ...]] = ()
    repeats: ClassVar[bool] = False

    def needs(self, data: Data) -> str:
        """Why this data can't be checked for it; empty where it can."""
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
    """Every check there is, the worst kinds first. Raises MissingExtraError for a library that one needs."""
    try:
        modules = [import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    except ImportError as error:
        raise MissingExtraError(error.name or "a library", EXTRA) from None
    found = [one for module in modules if isinstance(one := getattr(module, "check", None), Check)]
    return tuple(sorted(found, key=lambda check: (SEVERITIES.index(check.severity), check.name)))


def by_name(name: str) -> Check:
    """Raises UnsupportedError for an unknown one, listing those there are."""
    for check in checks():
        if check.name == name:
            return check
    raise UnsupportedError(f'check "{name}" does not exist; there are {", ".join(c.name for c in checks())}')


@dataclass(frozen=True)
class Report:
    """findings: by kind, of those that found something; skipped: why a kind was not looked for."""

    data: Data
    findings: dict[str, list[Finding]]
    skipped: dict[str, str]
    seconds: float

    def count(self, severity: Severity) -> int:
        return sum(one.severity == severity for found in self.findings.values() for one in found)


def run(data: Data, names: Collection[str] | None = None) -> Report:
    """Looks for every kind of fault. names: of the checks; None for all."""
    begun = time.monotonic()
    skipped, findings = {}, {}
    chosen = [check for check in checks() if names is None or check.name in names]
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
