"""A recipe: a TOML file that states base, data, training, build and evaluation.

Each TOML table is one dataclass here and each of its keys one field, with the values it takes beside it;
docs/recipe.md says what they do. Paths in a recipe are relative to the recipe's own folder.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date as Date
from pathlib import Path
from typing import Any, Literal

from tinsmith.errors import RecipeError

TASKS = ("call", "extract", "classify", "chat")
# The presets of tinsmith.quant.
FORMATS = (
    "F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K_S", "Q4_1",
    "Q4_0", "IQ4_NL", "Q3_K_M", "Q2_K",
)  # fmt: skip
BASELINES = ("zero_shot", "few_shot", "retrieval", "nearest")
SPACINGS = ("compact", "spaced", "free")
SOURCES = ("schema", "tools", "grammar", "regex", "choices")
LABELS = "labels"


@dataclass(frozen=True)
class Kind:
    """What a key takes: `allowed` in words, for errors; `accepts` decides."""

    allowed: str
    accepts: Callable[[Any], bool]


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_date(text: str) -> bool:
    try:
        return Date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def whole(low: int, high: int) -> Kind:
    return Kind(f"a whole number from {low} to {high}", lambda v: _is_int(v) and low <= v <= high)


def number(low: float, high: float) -> Kind:
    return Kind(
        f"a number from {low} to {high}",
        lambda v: (_is_int(v) or isinstance(v, float)) and low <= v <= high,
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


TEXT = Kind("a text that is not empty", _is_text)
ANY_TEXT = Kind("a text", lambda v: isinstance(v, str))
ARGV = Kind(
    'a list of texts, such as ["python", "sample.py"]',
    lambda v: isinstance(v, list) and bool(v) and all(_is_text(word) for word in v),
)
CHOICES = Kind(
    f'"{LABELS}" or a list of texts',
    lambda v: v == LABELS or (isinstance(v, list) and bool(v) and all(_is_text(word) for word in v)),
)
RATE = Kind(
    '"auto" or a number above 0, at most 1',
    lambda v: v == "auto" or ((isinstance(v, float) or _is_int(v)) and 0 < v <= 1),
)
TARGETS = Kind(
    '"auto" or a list of names of linear layers, such as ["q_proj", "v_proj"]',
    lambda v: v == "auto" or (isinstance(v, list) and bool(v) and all(_is_text(word) for word in v)),
)
FLAG = Kind("true or false", lambda v: isinstance(v, bool))
DATE = Kind('a date as a text, such as "2026-11-25"', lambda v: isinstance(v, str) and _is_date(v))
NAME = Kind(
    "a file name of letters, digits, dots, dashes and underscores",
    lambda v: isinstance(v, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", v) is not None,
)


def _key(kind: Kind, default: Any = dataclasses.MISSING) -> Any:
    return field(default=default, metadata={"kind": kind})


@dataclass(frozen=True)
class Base:
    model: str = _key(TEXT)
    revision: str | None = _key(TEXT, None)


@dataclass(frozen=True)
class Data:
    train: str = _key(TEXT)
    validation: str = _key(TEXT)
    test: str = _key(TEXT)
    task: str = _key(choice(TASKS), "call")
    system: str = _key(ANY_TEXT, "")
    thinking: bool | None = _key(FLAG, None)
    date: str | None = _key(DATE, None)
    limit: int = _key(whole(0, 10_000_000), 0)
    tools: str | None = _key(TEXT, None)
    show_tools: bool = _key(FLAG, False)
    command: tuple[str, ...] | None = _key(ARGV, None)
    licenses: str | None = _key(TEXT, None)


@dataclass(frozen=True)
class Train:
    epochs: int = _key(whole(1, 1000), 3)
    rank: int = _key(whole(1, 1024), 16)
    alpha: float = _key(number(0.001, 10_000), 32.0)
    dropout: float = _key(number(0, 0.9), 0.0)
    targets: tuple[str, ...] | str = _key(TARGETS, "auto")
    learning_rate: float | str = _key(RATE, "auto")
    batch_tokens: int = _key(whole(16, 1_000_000), 640)
    max_length: int = _key(whole(8, 1_000_000), 512)
    patience: int = _key(whole(0, 1000), 0)
    seed: int = _key(whole(0, 2**31 - 1), 0)


@dataclass(frozen=True)
class Constraint:
    schema: str | None = _key(TEXT, None)
    tools: str | None = _key(TEXT, None)
    grammar: str | None = _key(TEXT, None)
    regex: str | None = _key(TEXT, None)
    choices: tuple[str, ...] | str | None = _key(CHOICES, None)
    spacing: Literal["compact", "spaced", "free"] = _key(choice(SPACINGS), "compact")
    format: str = _key(TEXT, "json")

    @property
    def source(self) -> str | None:
        """The key that says what an answer may be; None where any answer may be given."""
        return next((key for key in SOURCES if getattr(self, key) is not None), None)


@dataclass(frozen=True)
class Build:
    formats: tuple[str, ...] = _key(some_of(FORMATS, least=1), ("F16", "Q8_0", "Q4_0"))
    context: int = _key(whole(0, 1_000_000), 0)


@dataclass(frozen=True)
class Eval:
    baselines: tuple[str, ...] = _key(some_of(BASELINES, least=0), BASELINES)
    baseline_limit: int = _key(whole(0, 10_000_000), 100)
    limit: int = _key(whole(0, 10_000_000), 0)
    shots: int = _key(whole(1, 100), 5)
    max_tokens: int = _key(whole(1, 100_000), 96)
    threads: int = _key(whole(0, 1024), 0)
    bootstrap: int = _key(whole(100, 1_000_000), 2000)
    seed: int = _key(whole(0, 2**31 - 1), 0)


@dataclass(frozen=True)
class Output:
    name: str | None = _key(NAME, None)


TABLES: dict[str, type[Any]] = {
    "base": Base,
    "data": Data,
    "train": Train,
    "constraint": Constraint,
    "build": Build,
    "eval": Eval,
    "output": Output,
}


@dataclass(frozen=True)
class Recipe:
    """path: the recipe file, absolute; sha256: of its bytes; the rest: its tables."""

    path: Path
    sha256: str
    base: Base
    data: Data
    train: Train
    constraint: Constraint
    build: Build
    eval: Eval
    output: Output

    @property
    def name(self) -> str:
        """What the built files are called: `[output] name`, or the recipe's file name without `.toml`."""
        return self.output.name or self.path.stem

    @property
    def model_digest(self) -> str:
        """SHA-256 of the values that decide the model: every table but [eval] and [output]."""
        tables = (self.base, self.data, self.train, self.constraint, self.build)
        said = [dataclasses.asdict(table) for table in tables]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def resolve(self, relative: str) -> Path:
        """A path that the recipe states, taken from the recipe's folder."""
        return self.path.parent / Path(relative).expanduser()


def load(path: str | Path) -> Recipe:
    """Reads and checks a recipe; RecipeError names the file, line, table and key of the first mistake."""
    path = Path(path).resolve()
    try:
        raw = path.read_bytes()
        text = raw.decode()
        given = tomllib.loads(text)
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such recipe; give the path of a TOML file") from None
    except IsADirectoryError:
        raise RecipeError(f"{path}: is a folder; give the path of a recipe, a TOML file in it") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 text at byte {error.start}; save the recipe as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from None
    tables = _Checker(path, text).tables(given)
    return Recipe(path=path, sha256=hashlib.sha256(raw).hexdigest(), **tables)


class _Checker:
    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text

    def tables(self, given: dict[str, Any]) -> dict[str, Any]:
        for name, value in given.items():
            if name not in TABLES:
                known = ", ".join(f"[{t}]" for t in TABLES)
                if not isinstance(value, dict):
                    raise self._error(None, name, f"a key outside every table; the tables are {known}")
                raise self._error(name, None, f"no such table{_nearest(name, TABLES)}; the tables are {known}")
            if not isinstance(value, dict):
                raise self._error(None, name, f"got {_show(value)}; {name} is a table: write [{name}]")
        tables = {name: self._table(name, cls, given.get(name, {})) for name, cls in TABLES.items()}
        data = tables["data"]
        if data.show_tools and not data.tools:
            raise self._error("data", "show_tools", "there are no tools to show; give them in tools")
        if "constraint" in given:
            self._check_constraint(given["constraint"], data.task)
            if data.thinking:
                raise self._error(
                    "data", "thinking", "a constraint says what the whole answer may be; leave out one of them"
                )
        return tables

    def _check_constraint(self, given: dict[str, Any], task: str) -> None:
        """What one key alone can't tell: there is one source, and the other keys speak of it."""
        sources = [key for key in SOURCES if key in given]
        if len(sources) != 1:
            key = sources[1] if sources else None
            what = f"{' and '.join(sources)} are given" if sources else "says nothing of the answer"
            raise self._error("constraint", key, f"{what}; give one of {', '.join(SOURCES)}")
        if given.get("choices") == LABELS and task != "classify":
            raise self._error(
                "constraint", "choices", f'"{LABELS}" is for the task classify; this one is {task}'
            )
        for key, needs in (("spacing", ("schema", "tools")), ("format", ("tools",))):
            if key in given and sources[0] not in needs:
                raise self._error(
                    "constraint", key, f"says nothing about {sources[0]}; it goes with {' or '.join(needs)}"
                )

    def _table(self, table: str, cls: type[Any], given: dict[str, Any]) -> Any:
        fields = {f.name: f for f in dataclasses.fields(cls)}
        for key, value in given.items():
            if key not in fields:
                raise self._error(
                    table, key, f"no such key{_nearest(key, fields)}; [{table}] takes {', '.join(fields)}"
                )
            kind: Kind = fields[key].metadata["kind"]
            if not kind.accepts(value):
                raise self._error(table, key, f"got {_show(value)}; allowed is {kind.allowed}")
        for key, f in fields.items():
            if f.default is dataclasses.MISSING and key not in given:
                raise self._error(table, key, f"missing; give {f.metadata['kind'].allowed}")
        return cls(**{key: tuple(v) if isinstance(v, list) else v for key, v in given.items()})

    def _error(self, table: str | None, key: str | None, what: str) -> RecipeError:
        line = self._line(table, key) or self._line(table, None)
        where = f"{self.path}:{line}" if line else str(self.path)
        words = [f"[{table}]"] if table else []
        words += [key] if key else []
        return RecipeError(f"{where}: {' '.join(words)}: {what}")

    def _line(self, table: str | None, key: str | None) -> int | None:
        """The line of a key, found by eye: tomllib keeps no positions. None where it is not written so."""
        current: str | None = None
        for n, line in enumerate(self.text.splitlines(), 1):
            header = re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line)
            left, equals, _ = line.partition("=")
            if header:
                current = header[1].strip("\"'")
                if key is None and current == table:
                    return n
            elif equals and current == table and left.strip(" \t\"'") == key:
                return n
        return None


def _nearest(word: str, known: Sequence[str] | dict[str, Any]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f", did you mean {close[0]}?" if close else ""


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return repr(value)
