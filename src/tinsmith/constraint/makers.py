"""What an answer may be: made from a schema, tools, a grammar, an expression or a list, or out of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tinsmith.errors import ConstraintError, FormatError
from tinsmith.formats.tin import CONSTRAINT
from tinsmith.system import reading

if TYPE_CHECKING:
    from tinsmith.constraint import Constraint, Spacing
    from tinsmith.spec import Buffer


def schema(
    what: Any, *, spacing: Spacing = "compact", order: Literal["schema", "free"] = "schema"
) -> Constraint:
    """JSON that satisfies a schema: a dict, its JSON text, a type (dataclass, TypedDict, pydantic model,
    list[int] …).

    spacing: "compact", "spaced" as json.dumps writes, "free". order: of properties, as the schema has them, or
    any. Raises ConstraintError: what can't be enforced, and where in the schema.
    """
    from tinsmith.constraint.json_schema import compile_schema

    return compile_schema(schema_document(what), spacing=spacing, order=order)


def schema_document(what: Any) -> Any:
    """The schema as a dict or a boolean."""
    from tinsmith.constraint.functions import is_type, schema_of

    if isinstance(what, str):
        return reading.json(what, "the schema", ConstraintError, unique=True)
    if isinstance(what, Mapping):
        return dict(what)
    return schema_of(what) if is_type(what) else what


def tools(
    what: Sequence[Mapping[str, Any] | Callable[..., Any]],
    format: str = "json",
    *,
    parallel: bool = False,
    alone: bool = False,
    none: bool = False,
    spacing: Spacing | None = None,
    control: Callable[[str], int | None] | None = None,
) -> Constraint:
    """Calls of these tools: Python functions, or dicts in OpenAI's shape.

    format: the name of the calls' format. parallel: one to eight calls instead of one; alone: then a single
    call is not written as a list. none: the answer may make no call. spacing: of JSON, as for `schema`; None:
    the format's own. control: maps a control token's text to its id, or None without such a token.
    Raises ConstraintError: what in the tools can't be enforced, and where; UnsupportedError for an unknown
    format.
    """
    from tinsmith.constraint.calls.tools import compile_tools

    return compile_tools(
        declared(what), format, parallel=parallel, alone=alone, none=none, spacing=spacing, control=control
    )


def declared(tools: Any) -> Sequence[Mapping[str, Any]]:
    """A sequence of tools as dicts, functions among them in OpenAI's shape."""
    if isinstance(tools, Mapping | str) or not isinstance(tools, Sequence):
        raise ConstraintError("#: tools must be a list of tools; put a single one in a list")
    from tinsmith.constraint.functions import tool_of

    return [tool if isinstance(tool, Mapping) or not callable(tool) else tool_of(tool) for tool in tools]


def grammar(text: str, kind: Literal["gbnf", "lark"] = "gbnf") -> Constraint:
    """Texts of a grammar: llama.cpp's GBNF, or Lark's EBNF."""
    if kind == "lark":
        from tinsmith.constraint.grammars.lark import compile_lark

        return compile_lark(text)
    if kind != "gbnf":
        raise ConstraintError(f"grammars of kind {kind!r} are not known; give gbnf or lark")
    from tinsmith.constraint.grammars.gbnf import compile_gbnf

    return compile_gbnf(text)


def grammar_kind(path: str | Path) -> Literal["gbnf", "lark"]:
    """The language of a grammar's file."""
    suffix = Path(path).suffix
    if suffix == ".gbnf":
        return "gbnf"
    if suffix == ".lark":
        return "lark"
    raise ConstraintError("the name of a grammar's file says its language: it ends in .gbnf or .lark")


def regex(pattern: str) -> Constraint:
    """Texts that match a regular expression as a whole."""
    from tinsmith.constraint.regex import compile_regex

    return compile_regex(pattern)


def choices(texts: Sequence[str]) -> Constraint:
    """One of these texts."""
    from tinsmith.constraint.choices import compile_choices

    listed = isinstance(texts, Iterable) and not isinstance(texts, str)
    return compile_choices(list(texts) if listed else texts)


def of_kind(kind: str, value: Any) -> Constraint:
    """kind: "schema", "choices", "regex", "grammar" (GBNF) or "lark"."""
    if kind in ("grammar", "lark"):
        return grammar(value, "lark" if kind == "lark" else "gbnf")
    makers: dict[str, Callable[[Any], Constraint]] = {"schema": schema, "choices": choices, "regex": regex}
    return makers[kind](value)


@cache
def anything() -> Constraint:
    """Any text."""
    return regex(r"[\s\S]*")


def of_entry(data: Buffer, facts: Mapping[str, Any]) -> Constraint:
    """The constraint in an entry of a file. facts: the manifest's. FormatError for one that is damaged."""
    from tinsmith.constraint import Constraint

    try:
        return Constraint.of_bytes(facts.get("constraint", {}).get("kind", "schema"), bytes(data))
    except FormatError as error:
        raise FormatError(f"{CONSTRAINT}: {error}") from None
