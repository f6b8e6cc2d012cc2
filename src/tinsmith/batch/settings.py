"""What a batch is asked for: all that shapes its answers, as a JSON object that a journal keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from tinsmith.checks import whole
from tinsmith.errors import ConstraintError, InputError
from tinsmith.runtime.generation import Sampling
from tinsmith.runtime.images import ImageLimits
from tinsmith.system import reading

Shape = Literal["rows", "openai"]
SHAPES: tuple[Shape, ...] = ("rows", "openai")
KINDS = ("own", "free", "schema", "tools", "grammar", "lark", "choices", "regex")

_KINDS: dict[str, Any] = {  # of a journal's settings
    **dict.fromkeys(("where", "task", "system"), str | None),
    **{"raw": bool, "thinking": bool | None, "adapters": Mapping | None, "options": Mapping},
}
_SAMPLING = {one.name for one in fields(Sampling)}


@dataclass(frozen=True)
class Held:
    """What answers may be. kind: of KINDS, "own" being what the file says; of: a schema or tools as JSON, a
    grammar, an expression, texts; None for "own" and "free". search: how often one may be gone back for a
    likelier one; None: as the file says, else never."""

    kind: str = "own"
    of: Any = None
    search: int | None = None

    @classmethod
    def of_file(cls, kind: str, path: str) -> Held:
        """Of a schema, tools or a grammar in a file."""
        if kind == "grammar":
            from tinsmith.constraint.makers import grammar_kind

            return cls("lark" if grammar_kind(path) == "lark" else kind, reading.read_text(path))
        return cls(kind, reading.read_json(path, ConstraintError, unique=True))


@dataclass(frozen=True)
class Settings:
    """How rows are read and answered.

    input: the columns that a prompt is made of, joined by blank lines; none: found by their names. where: an
    expression over a row's columns (tinsmith.batch.where); sample: so many rows at random, drawn by `seed`;
    limit: the first so many of those; 0 is all. adapters: names and scales. task: an adapter of the file, or a
    kind of answer (tinsmith.tasks), by which answers are parsed. shape: of OUT's rows; None: as IN's are.
    system: the message before those of rows that have none of their own. pictures: of one row. raw: prompts are
    continued, without a chat template. options: of tinsmith.runtime.generation.Sampling, by name.
    """

    input: tuple[str, ...] = ()
    where: str | None = None
    sample: int = 0
    limit: int = 0
    seed: int = 0
    shape: Shape | None = None
    task: str | None = None
    adapters: Mapping[str, float] | None = None
    system: str | None = None
    pictures: ImageLimits = field(default_factory=ImageLimits)
    raw: bool = False
    thinking: bool | None = None
    held: Held = Held()
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        whole("max_tokens", self.max_tokens, 1)
        whole("limit", self.limit, 0)
        whole("sample", self.sample, 0)
        whole("seed", self.seed, 0)
        if self.shape not in (None, *SHAPES):
            raise InputError(f"shape is {self.shape!r}; give one of {', '.join(SHAPES)}")
        if self.held.kind not in KINDS:
            raise InputError(f"held to {self.held.kind!r}; give one of {', '.join(KINDS)}")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, table: Mapping[str, Any], where: str | Path) -> Settings:
        """Raises InputError for what as_json did not make."""
        known = {one.name for one in fields(cls)}
        if set(table) != known:
            odd = ", ".join(sorted(set(table) ^ known))
            raise InputError(
                f"{where}: its settings are of another version ({odd}); make OUT again with this one"
            )
        wrong = [name for name, kind in _KINDS.items() if not isinstance(table[name], kind)]
        wrong += [] if wrong else [name for name in table["options"] if name not in _SAMPLING]
        if wrong:
            raise InputError(f'{where}: its settings are damaged: "{wrong[0]}"; make OUT again')
        try:
            lists = {name: tuple(table[name]) for name in ("input", "stop")}
            held, pictures = Held(**table["held"]), ImageLimits(**table["pictures"])
            return cls(**{**table, **lists, "held": held, "pictures": pictures})
        except TypeError as error:
            raise InputError(f"{where}: its settings are damaged: {error}") from None
