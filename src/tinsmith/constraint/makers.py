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
    from tinsmith.constraint import Constraint, Kind, Spacing
    from tinsmith.constraint.automata.dfa import Dfa
    from tinsmith.spec import Buffer

MOST_CHOICES = 10_000
MOST_BYTES = 100_000  # of all choices


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
    if kind not in ("gbnf", "lark"):
        raise ConstraintError(f"grammars of kind {kind!r} are not known; give gbnf or lark")
    from tinsmith.constraint.grammars import gbnf, lark
    from tinsmith.constraint.machine.automaton import compile_grammar

    return compile_grammar((lark if kind == "lark" else gbnf).read(text), kind)


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
    from tinsmith.constraint.automata.code_points import utf8
    from tinsmith.constraint.regex import parse, shown

    if not isinstance(pattern, str):
        raise ConstraintError(f"a pattern is text, not {type(pattern).__name__}; give str")
    dfa = parse(pattern)
    if dfa.empty:
        raise ConstraintError(f"the pattern {shown(pattern)} matches no text")
    return _of_machine(utf8(dfa), "regex")


def choices(texts: Iterable[str]) -> Constraint:
    """One of these texts, as they are written.

    ConstraintError for a choice that is no text, is empty or stands twice, with its place in the list, from 0;
    for no choices; for more than MOST_CHOICES or MOST_BYTES.
    """
    from tinsmith.constraint.automata.dfa import words
    from tinsmith.constraint.schema.document import show

    if isinstance(texts, str):
        raise ConstraintError("choices are a list of texts, not one text; write [...] around it")
    if not isinstance(texts, Iterable):
        raise ConstraintError(f"choices are a list of texts, not {show(texts)}; give a list")
    listed = list(texts)
    if not listed:
        raise ConstraintError("there are no choices; give at least one text")
    if len(listed) > MOST_CHOICES:
        raise ConstraintError(f"{len(listed):,} choices; give at most {MOST_CHOICES:,}")
    encoded: dict[bytes, int] = {}
    for place, value in enumerate(listed):
        if not isinstance(value, str) or not value:
            raise ConstraintError(f"choice {place} is {show(value)}; choices are texts that are not empty")
        try:
            text = value.encode()
        except UnicodeEncodeError:
            raise ConstraintError(f"choice {place} has half of a surrogate pair") from None
        if encoded.setdefault(text, place) != place:
            raise ConstraintError(f"choice {place}, {show(value)}, is choice {encoded[text]}; leave one out")
    size = sum(map(len, encoded))
    if size > MOST_BYTES:
        raise ConstraintError(f"the choices have {size:,} bytes; give at most {MOST_BYTES:,}")
    return _of_machine(words(encoded), "choices")


def _of_machine(dfa: Dfa, kind: Kind) -> Constraint:
    """The constraint of what an automaton over bytes accepts."""
    from tinsmith.constraint.grammar import Grammar, Machine
    from tinsmith.constraint.machine.automaton import compile_grammar

    return compile_grammar(Grammar({"start": Machine(dfa)}), kind)


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
