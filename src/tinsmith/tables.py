"""TOML files whose tables are dataclasses: a recipe, a target. A field is a key, with the values that it takes.

The first mistake of a file is an error of one line: file, line, table, key, what was given, what is allowed.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date as Date
from pathlib import Path
from typing import Any

from tinsmith.errors import InputError
from tinsmith.system import reading
from tinsmith.system.files import resolved


def _as_given(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Kind:
    """What a key takes: `allowed` in words, for errors; `accepts` decides; `read` makes the field's value."""

    allowed: str
    accepts: Callable[[Any], bool]
    read: Callable[[Any], Any] = _as_given


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_date(text: str) -> bool:
    try:
        return Date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def whole(low: int, high: int, step: int = 1) -> Kind:
    what = "whole number" if step == 1 else f"multiple of {step}"
    return Kind(f"a {what} from {low} to {high}", lambda v: is_whole(v) and low <= v <= high and v % step == 0)


def number(low: float, high: float) -> Kind:
    return Kind(
        f"a number from {low} to {high}", lambda v: (is_whole(v) or isinstance(v, float)) and low <= v <= high
    )


def choice(words: Sequence[str]) -> Kind:
    return Kind("one of " + ", ".join(f'"{w}"' for w in words), lambda v: v in words)


def some_of(words: Sequence[str], *, least: int) -> Kind:
    def accepts(value: Any) -> bool:
        return (
            isinstance(value, list)
            and len(value) >= least
            and all(v in words for v in value)
            and len(set(value)) == len(value)
        )

    count = "a list without repeats" if least else "a list, which may be empty,"
    return Kind(f"{count} of " + ", ".join(f'"{w}"' for w in words), accepts)


def one_or_more(one: str) -> Kind:
    """A text, or a list of texts; `one` says in words what each is."""
    return Kind(
        f"{one}, or a list of these",
        lambda v: is_text(v) or (isinstance(v, list) and bool(v) and all(is_text(word) for word in v)),
        lambda v: (v,) if isinstance(v, str) else tuple(v),
    )


_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(B|kB|MB|GB|KiB|MiB|GiB)")


def bytes_of(value: Any) -> int:
    """4096, "16MiB" or "1.5GB" as a number of bytes. Raises ValueError for anything else."""
    if is_whole(value) and value > 0:
        return int(value)
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if not match or not float(match[1]):
        raise ValueError(f"{value!r} is no size; write a number of bytes, or such as 16MiB or 90MB")
    return round(float(match[1]) * _UNITS[match[2]])


def _is_size(value: Any) -> bool:
    try:
        return bool(bytes_of(value))
    except ValueError:
        return False


SIZE = Kind('a size: bytes as a number, or a text such as "16MiB" or "512MB"', _is_size, bytes_of)
TEXT = Kind("a text that is not empty", is_text)
ANY_TEXT = Kind("a text", lambda v: isinstance(v, str))
ARGV = Kind(
    'a list of texts, such as ["python", "sample.py"]',
    lambda v: isinstance(v, list) and bool(v) and all(is_text(word) for word in v),
)
FLAG = Kind("true or false", lambda v: isinstance(v, bool))
DATE = Kind('a date as a text, such as "2026-11-25"', lambda v: isinstance(v, str) and _is_date(v))
NAME = Kind(
    "a file name of letters, digits, dots, dashes and underscores",
    lambda v: isinstance(v, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", v) is not None,
)


def key(kind: Kind, default: Any = dataclasses.MISSING) -> Any:
    """A dataclass's field that is a key of its table; without a default it must be given."""
    return field(default=default, metadata={"kind": kind})


class TomlFile:
    """path: absolute; raw, text, given: its bytes, as text, and as TOML.

    fault: what its mistakes are raised as; kind: what such a file is called.
    """

    fault: type[InputError] = InputError
    kind = "TOML file"

    def __init__(self, path: str | Path) -> None:
        self.path = path = resolved(path)
        kind = self.kind
        if not path.exists():
            raise self.fault(f"{path}: no such {kind}; give the path of a TOML file")
        if path.is_dir():
            raise self.fault(f"{path}: is a folder; give the path of a {kind}, a TOML file in it")
        self.raw = reading.read_bytes(path, self.fault, most=reading.SMALL)
        self.text = reading.text(self.raw, path, self.fault)
        self.given = reading.toml(self.text, path, self.fault)

    def check_names(self, known: Iterable[str], given: dict[str, Any]) -> None:
        """Raises for a key outside the known tables, and for a table of another name."""
        known = list(known)
        names = ", ".join(f"[{name}]" for name in known)
        for name, value in given.items():
            if name not in known:
                if not isinstance(value, dict):
                    what = f"a key outside every table{nearest(name, known)}; the tables are {names}"
                    raise self.error(None, name, what)
                raise self.error(name, None, f"no such table{nearest(name, known)}; the tables are {names}")
            if not isinstance(value, dict):
                raise self.error(None, name, f"got {show(value)}; {name} is a table: write [{name}]")

    def check(self, table: str, cls: type[Any], given: dict[str, Any]) -> None:
        """Raises for a key that the dataclass lacks, and for a value that its field does not take."""
        fields = {f.name: f for f in dataclasses.fields(cls)}
        for key, value in given.items():
            if key not in fields:
                meant = self.elsewhere(key) or nearest(key, fields)
                raise self.error(table, key, f"no such key{meant}; [{table}] takes {', '.join(fields)}")
            kind: Kind = fields[key].metadata["kind"]
            if not kind.accepts(value):
                raise self.error(table, key, f"got {show(value)}; allowed is {kind.allowed}")

    def table(self, table: str, cls: type[Any], given: dict[str, Any]) -> Any:
        """The dataclass of a table; also raises for a missing key."""
        self.check(table, cls, given)
        values = {}
        for f in dataclasses.fields(cls):
            kind: Kind = f.metadata["kind"]
            if f.name in given:
                values[f.name] = kind.read(given[f.name])
            elif f.default is dataclasses.MISSING:
                raise self.error(table, f.name, f"missing; give {kind.allowed}")
        return cls(**values)

    def elsewhere(self, key: str) -> str:
        """In words, which other tables have such a key; empty where none is known to."""
        return ""

    def error(self, table: str | None, key: str | None, what: str) -> InputError:
        line = self._line(table, key) or self._line(table, None)
        where = f"{self.path}:{line}" if line else str(self.path)
        words = [f"[{table}]"] if table else []
        words += [key] if key else []
        return self.fault(f"{where}: {' '.join(words)}: {what}")

    def _line(self, table: str | None, key: str | None) -> int | None:
        """The line of a key, from a scan: tomllib keeps no positions. None where it is not written so. The
        second `[[name]]` is the table "name 2"."""
        current: str | None = None
        seen: Counter[str] = Counter()
        for n, line in enumerate(self.text.splitlines(), 1):
            header = re.match(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]", line)
            left, equals, _ = line.partition("=")
            if header:
                current = header[2].strip("\"'")
                if header[1] == "[[":
                    seen[current] += 1
                    current = f"{current} {seen[current]}"
                if key is None and current == table:
                    return n
            elif equals and current == table and left.strip(" \t\"'") == key:
                return n
        return None


def nearest(word: str, known: Sequence[str] | dict[str, Any]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f", did you mean {close[0]}?" if close else ""


def show(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return repr(value)
