"""Tool calls as constraints: the name is that of a tool, the arguments are those of this tool, in the form that
the model was trained to call with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tinsmith.chat.tool_formats import GemmaFormat, JsonFormat, Tool, ToolFormat, by_name, read_tools
from tinsmith.chat.tool_formats.kinds import kind, kinds
from tinsmith.chat.tool_formats.qwen35 import END_OF_VALUE, PYTHON, write_value
from tinsmith.constraint import Constraint
from tinsmith.constraint.calls import texts
from tinsmith.constraint.calls.objects import Objects, properties_of
from tinsmith.constraint.grammar import (
    Expr,
    Grammar,
    Literal,
    Ref,
    Repeat,
    choice,
    optional,
    sequence,
    text,
    token,
)
from tinsmith.constraint.machine.automaton import compile_grammar
from tinsmith.constraint.schema import json_text
from tinsmith.constraint.schema.document import check_types
from tinsmith.errors import ConstraintError

MOST_CALLS = 8
MOST_TOOLS = 1_000
CALL = "call"

Control = Callable[[str], int | None]


def compile_tools(
    tools: Sequence[Mapping[str, Any]],
    format: str = "json",
    *,
    parallel: bool = False,
    alone: bool = False,
    none: bool = False,
    talk: bool = False,
    spacing: json_text.Spacing | None = None,
    control: Control | None = None,
) -> Constraint:
    """The constraint of answers that call tools.

    tools: in OpenAI's shape, or {"name", "parameters"} alone. An object of arguments is closed where its schema
    does not say that it is open. format: a name of models/tool_formats. parallel: one to MOST_CALLS calls
    instead of one. alone: a single call of these is written as without `parallel`. none: no call is an
    answer too: the format's form for it, or a text without calls. talk: any text without calls is an answer
    too, whatever the format's form for none. spacing: of JSON; None: the format's own.
    control: the id of a control token by its text, or None where the vocabulary has none: it is text then.
    Raises ConstraintError: what in the tools can't be enforced and where; UnsupportedError for an unknown
    format.
    """
    if isinstance(tools, Sequence) and len(tools) > MOST_TOOLS:
        raise ConstraintError(f"#: {len(tools):,} tools; give at most {MOST_TOOLS:,}")
    known, parsed = by_name(format), read_tools(tools)
    if parallel and not known.several:
        raise ConstraintError(f"the format {format} has one call an answer; leave parallel off")
    grammar = Grammar()
    if isinstance(known, JsonFormat):
        answer = _json(grammar, known, parsed, parallel, alone, spacing)
    else:
        if spacing not in (None, "spaced"):
            raise ConstraintError(f"the format {format} has its own spacing; leave it off")
        answer = _tagged(grammar, known, parsed, MOST_CALLS if parallel else 1, control)
    if none:
        answer = choice((answer, _no_call(known)))
    if talk:
        answer = choice((answer, texts.free(known.mark or "{")))
    grammar.rules[grammar.start] = answer
    return compile_grammar(grammar, "tools")


def _no_call(known: ToolFormat) -> Expr:
    if isinstance(known, JsonFormat) and known.nothing is not None:
        return text(known.nothing)
    return texts.free(known.mark)


def _json(
    grammar: Grammar,
    known: JsonFormat,
    tools: Sequence[Tool],
    parallel: bool,
    alone: bool,
    spacing: json_text.Spacing | None,
) -> Expr:
    spacing = spacing or ("spaced" if known.spaced else "compact")
    marks = json_text.marks(spacing)
    named = []
    for number, tool in enumerate(tools):
        arguments = texts.json_value(grammar, tool.parameters, _path(number), spacing)
        key = sequence((marks.item, text(f'"{known.arguments}"'), marks.key))
        named.append(sequence((json_text.literal(tool.name), key, arguments)))
    grammar.rules[CALL] = sequence(
        (text("{"), marks.pad, text('"name"'), marks.key, choice(named), marks.pad, text("}"))
    )
    single = sequence((text(known.single[0]), Ref(CALL), text(known.single[1])))
    if not parallel:
        return single
    more = Repeat(sequence((text(known.between), Ref(CALL))), 1 if alone else 0, MOST_CALLS - 1)
    several = sequence((text(known.opening), Ref(CALL), more, text(known.closing)))
    return choice((single, several)) if alone else several


def _path(number: int) -> str:
    return f"#/{number}/parameters"


def _tagged(
    grammar: Grammar, known: ToolFormat, tools: Sequence[Tool], most: int, control: Control | None
) -> Expr:
    for number, tool in enumerate(tools):
        check_types(tool.parameters, _path(number))
    calls = [
        _gemma(grammar, known, tool, _path(number), control)
        if isinstance(known, GemmaFormat)
        else _qwen35(grammar, tool, _path(number), control)
        for number, tool in enumerate(tools)
    ]
    grammar.rules[CALL] = choice(calls)
    between = text("\n" if known.name == "qwen35" else "")
    return sequence((Ref(CALL), Repeat(sequence((between, Ref(CALL))), 0, most - 1)))


def _qwen35(grammar: Grammar, tool: Tool, path: str, control: Control | None) -> Expr:
    _check_name(tool.name, path, "<>\n")
    schema = tool.parameters
    parts: list[Expr] = [text(f"<function={tool.name}>\n")]
    for name, value, required in properties_of(schema, path, "qwen35"):
        _check_name(name, path, "<>\n")
        here = f"{path}/properties/{name}"
        one = sequence(
            (
                text(f"<parameter={name}>\n"),
                _qwen35_value(grammar, value, schema, here),
                text(f"{END_OF_VALUE}\n"),
            )
        )
        parts.append(one if required else optional(one))
    return sequence(
        (mark("<tool_call>", control), text("\n"), *parts, text("</function>\n"), mark("</tool_call>", control))
    )


def _qwen35_value(grammar: Grammar, schema: Any, root: Mapping[str, Any], path: str) -> Expr:
    may = kinds(schema, root)
    if may == {"string"}:
        return texts.text(schema, root, END_OF_VALUE, path)
    stated = set(schema) - texts.ANNOTATIONS if isinstance(schema, Mapping) else set()
    if "enum" in stated and stated <= {"type", "enum"}:
        return choice(text(write_value(value)) for value in schema["enum"] if kind(value) in may)
    alternatives = [texts.json_value(grammar, texts.rooted(schema, root), path, "spaced")]
    # What the template itself writes for these.
    if "type" in stated and not stated & {"enum", "const", "not", "allOf", "anyOf", "oneOf", "$ref", "if"}:
        alternatives += [text(str(value)) for value in PYTHON.values() if kind(value) in may]
    return choice(alternatives)


def _gemma(grammar: Grammar, known: GemmaFormat, tool: Tool, path: str, control: Control | None) -> Expr:
    _check_name(tool.name, path, "{}<>")
    arguments = Objects(grammar, known, tool.parameters, mark(known.escape, control)).object(
        tool.parameters, path
    )
    opening, closing = mark(known.mark, control), mark(known.closing, control)
    return sequence((opening, text(f"call:{tool.name}"), arguments, closing))


def mark(written: str, control: Control | None) -> Literal:
    """A control token of the vocabulary; a text where it has none."""
    number = control(written) if control else None
    return text(written) if number is None else token(number)


def _check_name(name: str, path: str, refused: str) -> None:
    if any(character in refused for character in name):
        raise ConstraintError(f"{path}: the name {name!r} holds one of {refused!r}; the format can't write it")
