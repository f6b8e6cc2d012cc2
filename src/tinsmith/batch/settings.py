"""The settings that determine a batch's answers, as JSON in its journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from tinsmith.checks import whole
from tinsmith.errors import InputError
from tinsmith.runtime.generation import Sampling
from tinsmith.runtime.images import ImageLimits

Shape = Literal["rows", "openai"]
SHAPES: tuple[Shape, ...] = ("rows", "openai")
KINDS = ("own", "unconstrained", "schema", "tools", "grammar", "lark", "choices", "regex")

_TYPES: dict[str, Any] = {  # in a journal
    **dict.fromkeys(("where", "task", "system"), str | None),
    **{"raw": bool, "thinking": bool | None, "adapters": Mapping | None, "options": Mapping},
}
_SAMPLING = {one.name for one in fields(Sampling)}


@dataclass(frozen=True)
class OutputConstraint:
    kind: str = "own"  # of KINDS; "own": the file's
    value: Any = None  # a schema, tools, a grammar, an expression or texts
    search: int | None = None  # maximum backtracks; None: the file's, else 0


@dataclass(frozen=True)
class Settings:
    """How rows are read and answered."""

    input: tuple[str, ...] = ()  # columns of a prompt, joined by blank lines; none: found by their names
    where: str | None = None  # expression over a row's columns (tinsmith.batch.where)
    sample: int = 0  # number of random rows of these; 0: all
    limit: int = 0  # number of first rows of those; 0: all
    seed: int = 0  # of the sample
    shape: Shape | None = None  # of OUT's rows; None: IN's
    task: str | None = None  # an adapter of the file, or a task (tinsmith.tasks), which parses the answers
    adapters: Mapping[str, float] | None = None  # scales by name
    system: str | None = None  # system message of rows without one
    images: ImageLimits = field(default_factory=ImageLimits)  # of one row
    raw: bool = False  # no chat template
    thinking: bool | None = None
    constraint: OutputConstraint = OutputConstraint()
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)  # of Sampling, by name

    def __post_init__(self) -> None:
        whole("max_tokens", self.max_tokens, 1)
        for name in ("limit", "sample", "seed"):
            whole(name, getattr(self, name), 0)
        if self.shape not in (None, *SHAPES):
            raise InputError(f"shape is {self.shape!r}; give one of {', '.join(SHAPES)}")
        if self.constraint.kind not in KINDS:
            raise InputError(
                f"the constraint's kind is {self.constraint.kind!r}; give one of {', '.join(KINDS)}"
            )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, table: Mapping[str, Any], where: str | Path) -> Settings:
        """Raises InputError for anything but as_json's result."""
        known = {one.name for one in fields(cls)}
        if set(table) != known:
            odd = ", ".join(sorted(set(table) ^ known))
            raise InputError(f"{where}: its settings are of another version ({odd}); make OUT again")
        wrong = [name for name, kind in _TYPES.items() if not isinstance(table[name], kind)]
        wrong += [] if wrong else [name for name in table["options"] if name not in _SAMPLING]
        if wrong:
            raise InputError(f'{where}: its settings are damaged: "{wrong[0]}"; make OUT again')
        try:
            read = {
                "input": tuple(table["input"]),
                "stop": tuple(table["stop"]),
                "constraint": OutputConstraint(**table["constraint"]),
                "images": ImageLimits(**table["images"]),
            }
            return cls(**{**table, **read})
        except TypeError as error:
            raise InputError(f"{where}: its settings are damaged: {error}") from None
