"""A constraint on its way into a tin: from the recipe or the command line, checked against the examples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import _core, tasks
from tinsmith.constraint import makers
from tinsmith.data.row_tools import has_rows, tools_of_rows
from tinsmith.errors import ConstraintError, DataError, FormatError, InputError, RuntimeFault
from tinsmith.formats.tin import CONSTRAINT
from tinsmith.pipeline.recipe import LABELS, SOURCES, Recipe
from tinsmith.pipeline.recipe import Constraint as Table
from tinsmith.system import files, reading

if TYPE_CHECKING:
    from tinsmith.constraint import Constraint
    from tinsmith.data.readers import Example
    from tinsmith.runtime import Model

SHOWN = 30  # characters around a place, and of what could have come there


@dataclass(frozen=True)
class Sealed:
    """data: constraint.bin. facts: what the manifest says of it."""

    data: bytes
    facts: dict[str, Any]

    @property
    def entries(self) -> dict[str, bytes]:
        return {CONSTRAINT: self.data}


def of_recipe(recipe: Recipe, train: Sequence[Example]) -> Sealed | None:
    """What the recipe's [constraint] says, compiled; None where it says nothing."""
    source = recipe.constraint.source
    if source is None:
        return None
    labels = tasks.by_name(recipe.data.task).labels(example.output for example in train)
    try:
        return seal(recipe.constraint, recipe.path.parent, sorted(labels))
    except InputError as error:
        raise type(error)(f"{recipe.path}: [constraint] {source}: {error}") from None


def source_digest(recipe: Recipe) -> str | None:
    """SHA-256 of the file that [constraint] names; None where it names none, or it is not there."""
    path = source_file(recipe)
    return files.sha256_file(path) if path is not None and path.exists() else None


def source_file(recipe: Recipe) -> Path | None:
    source = recipe.constraint.source
    if source not in ("schema", "tools", "grammar"):
        return None
    return recipe.resolve(getattr(recipe.constraint, source))


def seal(table: Table, folder: Path, labels: Sequence[str] = ()) -> Sealed:
    """Compiles what a table says. folder: that its paths are relative to; labels: what "labels" means.

    Raises InputError for a file that can't be read, ConstraintError for what can't be compiled.
    """
    source = table.source
    assert source is not None, f"one of {', '.join(SOURCES)} is given"
    value = getattr(table, source)
    facts: dict[str, Any] = {"source": source}
    if source in ("schema", "tools", "grammar"):
        path = folder / Path(value).expanduser()
        raw = reading.read_bytes(path)
        facts |= {"file": path.name, "sha256": hashlib.sha256(raw).hexdigest()}
        compiled = _compile_file(table, source, path, raw)
    elif source == "regex":
        compiled = makers.regex(value)
    else:
        compiled = makers.choices(labels if value == LABELS else value)
    facts |= {key: v for key, v in asdict(compiled).items() if key != "data"}
    if source in ("schema", "tools"):
        facts["spacing"] = table.spacing
    if source == "tools":
        facts["format"] = table.format
    return Sealed(compiled.data, facts)


def _compile_file(table: Table, source: str, path: Path, raw: bytes) -> Constraint:
    text, value = _read(source, path, raw)
    try:
        if source == "grammar":
            return makers.grammar(text, makers.grammar_kind(path))
        if source == "tools":
            return makers.tools(value, table.format, spacing=table.spacing)
        from tinsmith.constraint.json_schema import compile_schema

        return compile_schema(value, spacing=table.spacing)
    except ConstraintError as error:
        raise ConstraintError(f"{path}: {error}") from None


def _read(source: str, path: Path, raw: bytes) -> tuple[str, Any]:
    """A grammar's text, or the JSON value of a schema or of tools, which a file of rows may have too."""
    if source == "tools" and has_rows(path):
        return "", tools_of_rows(path)
    text = reading.text(raw, path, ConstraintError)
    return text, None if source == "grammar" else reading.json(text, path, ConstraintError, unique=True)


@dataclass
class Checker:
    """Whether texts are what a constraint allows, as the runtime would have it: byte by byte, so that it does
    not matter how a text is cut into tokens."""

    model: Model
    data: bytes
    _bytes: dict[int, int] = field(default_factory=dict)  # the token of a single byte

    def __post_init__(self) -> None:
        try:
            self._walk = _core.Constraint(self.model.core, self.data)
        except RuntimeFault as fault:
            raise FormatError(f"the constraint does not open: {fault}") from fault
        for token in range(self.model.info.vocab):
            text, control, _ = self.model.core.token(token)
            if len(text) == 1 and not control:
                self._bytes.setdefault(text[0], token)

    def departure(self, text: str) -> str | None:
        """None for a text that is allowed, else where it departs and what could have come there."""
        self._walk.begin()
        allowed = b""
        for token in self.model.tokenize(text, special=True):
            piece, control, _ = self.model.core.token(token)
            for step in [token] if control else [self._bytes.get(byte) for byte in piece]:
                if step is None or not self._accepts(step):
                    return self._departure(allowed, text)
                allowed += self.model.core.token(step)[0]
        return self._departure(allowed, text) if self._walk.state() == _core.CONSTRAINT_OPEN else None

    def _accepts(self, token: int) -> bool:
        try:
            self._walk.accept(token)
        except RuntimeFault as fault:
            if fault.status != "TIN_ERR_ARGUMENT":
                raise
            return False
        return True

    def _departure(self, allowed: bytes, text: str) -> str:
        mask = int.from_bytes(self._walk.mask(), "little")
        listed_bytes = [byte for byte, token in sorted(self._bytes.items()) if mask >> token & 1]
        could = [json.dumps(chr(byte), ensure_ascii=False) for byte in listed_bytes if byte < 0x80]
        could += ["a character beyond ASCII"] if len(could) < len(listed_bytes) else []
        could += ["the end"] if self._walk.state() != _core.CONSTRAINT_OPEN else []
        at = len(allowed.decode("utf-8", "ignore"))
        after = repr(text[max(0, at - SHOWN) : at]) if at else "the beginning"
        got = repr(text[at : at + SHOWN]) if at < len(text) else "the end"
        listed = ", ".join(could[:SHOWN]) + (", …" if len(could) > SHOWN else "")
        return f"at character {at + 1}, after {after}: got {got}; what may come there: {listed or 'nothing'}"


def check_outputs(checker: Checker, path: Path, examples: Sequence[Example]) -> None:
    """Raises DataError at the first example whose output the constraint forbids."""
    for n, example in enumerate(examples, 1):
        if departure := checker.departure(example.output):
            where = example.where or f"{path}: example {n}"
            raise DataError(
                f"{where}: the recipe's [constraint] forbids its output {departure}; mend the example or the "
                "constraint"
            )
