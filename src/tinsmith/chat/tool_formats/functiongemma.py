"""FunctionGemma and Gemma 4: declarations and calls between control tokens, texts between marks.

FunctionGemma after Google's guide "FunctionGemma formatting and best practices", whose example the tests keep.
That the keys of objects come in the order of their names is what those say who port the model's chat template,
which is gated. Gemma 4 after its chat template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinsmith.chat.tool_formats.tool import (
    Begun,
    Call,
    Message,
    Tool,
    ToolFormat,
    checked,
    held_back,
    split_system,
)
from tinsmith.errors import InputError

_SCALAR = re.compile(r"[^,\]}]+(?=[,\]}])")


def in_order(names: Mapping[str, Any]) -> list[str]:
    """Keys as Jinja's dictsort has them."""
    return sorted(names, key=lambda name: (name.lower(), name))


@dataclass(frozen=True)
class GemmaFormat(ToolFormat):
    """opening, closing: around a call; escape: around a text; declaration: around a tool; instruction: before
    the tools; brief: whether what a schema leaves out is left out, and the items of an array are declared
    whole."""

    name: str
    opening: str
    closing: str
    escape: str
    declaration: tuple[str, str]
    instruction: str = ""
    brief: bool = False
    joint: str | None = "\n"

    @property
    def mark(self) -> str:  # type: ignore[override]
        return self.opening

    @property
    def controls(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.opening, self.closing, self.escape, *self.declaration)

    def messages(self, tools: Sequence[Tool], messages: Sequence[Message], system: str = "") -> list[Message]:
        own, rest = split_system(messages, system)
        told = self.instruction + "".join(map(self._declare, tools))
        between = "\n\n" if self.instruction and own.strip() else ""
        return [{"role": "system", "content": own.strip() + between + told}, *rest]

    def write(self, calls: Sequence[Call]) -> str:
        if not calls:
            raise InputError(f"the format {self.name} has no form for no call; write a text instead")
        return "".join(
            f"{self.opening}call:{call.name}{self._value(call.arguments)}{self.closing}" for call in calls
        )

    def parse(self, text: str, tools: Sequence[Tool]) -> list[Call]:
        calls, at = [], text.find(self.opening)
        while at >= 0:
            name, brace, _ = text[at + len(self.opening) :].removeprefix("call:").partition("{")
            reader = _Reader(self.escape, text, text.index("{", at) if brace else len(text))
            calls.append(checked(name, reader.value(), tools))
            reader.expect(self.closing)
            at = text.find(self.opening, reader.at)
        return calls

    def begun(self, text: str, tools: Sequence[Tool]) -> list[Begun]:
        calls: list[Begun] = []
        at = text.find(self.opening)
        while at >= 0 and (brace := text.find("{", at)) >= 0:
            writer = _Writer(self.escape, text, brace)
            whole = writer.value()
            name = text[at + len(self.opening) : brace].removeprefix("call:")
            calls.append(Begun(name, "".join(writer.json), whole))
            at = text.find(self.opening, writer.at) if whole else -1
        return calls

    def _value(self, value: Any) -> str:
        if isinstance(value, str):
            if self.escape in value:
                raise InputError(f"a text holds {self.escape}, which ends a text in the format {self.name}")
            return f"{self.escape}{value}{self.escape}"
        if isinstance(value, Mapping):
            return "{" + ",".join(f"{key}:{self._value(value[key])}" for key in in_order(value)) + "}"
        if isinstance(value, list | tuple):
            return "[" + ",".join(map(self._value, value)) + "]"
        return json.dumps(value)

    def _declare(self, tool: Tool) -> str:
        declaration = f"declaration:{tool.name}{{description:{self._value(tool.description)}"
        if tool.parameters:
            parts = [
                *self._properties(tool.parameters),
                f"type:{self._value(_type(tool.parameters, 'object'))}",
            ]
            declaration += f",parameters:{{{','.join(parts)}}}"
        return declaration.join((self.declaration[0], "}" + self.declaration[1]))

    def _properties(self, schema: Mapping[str, Any]) -> list[str]:
        """What an object's schema says of its properties."""
        parts = []
        if schema.get("properties"):
            properties = schema["properties"]
            inner = ",".join(f"{name}:{self._property(properties[name])}" for name in in_order(properties))
            parts.append(f"properties:{{{inner}}}")
        if schema.get("required"):
            parts.append(f"required:{self._value(list(schema['required']))}")
        return parts

    def _property(self, schema: Mapping[str, Any]) -> str:
        description, kind = str(schema.get("description") or ""), _type(schema, "string")
        parts = [f"description:{self._value(description)}"] if description or not self.brief else []
        if kind == "STRING" and schema.get("enum"):
            parts.append(f"enum:{self._value(list(schema['enum']))}")
        if kind == "ARRAY" and isinstance(schema.get("items"), Mapping):
            parts.append(f"items:{{{','.join(self._items(schema['items']))}}}")
        if self.brief and schema.get("nullable"):
            parts.append("nullable:true")
        if kind == "OBJECT" and schema.get("properties"):
            parts += self._properties(schema)
        return "{" + ",".join([*parts, f"type:{self._value(kind)}"]) + "}"

    def _items(self, schema: Mapping[str, Any]) -> list[str]:
        if not self.brief:
            return [f"type:{self._value(_type(schema, 'string'))}"]
        shown = {"properties": schema.get("properties"), "required": schema.get("required")}
        objects = self._properties({key: one for key, one in shown.items() if one})
        written = {part.partition(":")[0]: part for part in objects}
        for key in set(schema) - set(written):
            value = _type(schema, "string") if key == "type" else schema[key]
            if value is not None:
                written[key] = f"{key}:{self._value(value)}"
        return [written[key] for key in in_order(written)]


def _type(schema: Mapping[str, Any], default: str) -> str:
    named = schema.get("type", default)
    return str(
        named if isinstance(named, str) else next((one for one in named if one != "null"), default)
    ).upper()


class _Reader:
    """A value as a format writes it. escape: what stands around texts."""

    def __init__(self, escape: str, text: str, at: int) -> None:
        self.escape, self.text, self.at = escape, text, at

    def expect(self, wanted: str) -> None:
        if not self.text.startswith(wanted, self.at):
            self._fail(wanted)
        self.at += len(wanted)

    def value(self, depth: int = 0) -> Any:
        if depth > 100:
            self._fail("values nested no deeper than 100 levels")
        if self.text.startswith(self.escape, self.at):
            return self._string()
        if self.text.startswith("{", self.at):
            return dict(self._items("}", depth, keyed=True))
        if self.text.startswith("[", self.at):
            return [value for _, value in self._items("]", depth, keyed=False)]
        try:
            value, self.at = json.JSONDecoder().raw_decode(self.text, self.at)
        except (ValueError, RecursionError):
            self._fail("a value")
        return value

    def _string(self) -> str:
        begin = self.at + len(self.escape)
        end = self.text.find(self.escape, begin)
        if end < 0:
            self._fail(f"a closing {self.escape}")
        self.at = end + len(self.escape)
        return self.text[begin:end]

    def _items(self, closing: str, depth: int, keyed: bool) -> list[tuple[str, Any]]:
        self.at += 1
        items: list[tuple[str, Any]] = []
        while not self.text.startswith(closing, self.at):
            if items:
                self.expect(",")
            key = ""
            if keyed:
                key, colon, _ = self.text[self.at :].partition(":")
                if not colon:
                    self._fail("a key and a colon")
                self.at += len(key) + 1
            items.append((key, self.value(depth + 1)))
        self.at += 1
        return items

    def _fail(self, wanted: str) -> None:
        raise InputError(f"the answer's call is damaged at character {self.at}: {wanted} was expected")


class _Writer:
    """A value as JSON, as far as it has come. escape: what stands around texts."""

    def __init__(self, escape: str, text: str, at: int) -> None:
        self.escape, self.text, self.at = escape, text, at
        self.json: list[str] = []

    def value(self) -> bool:
        """Whether it is whole."""
        if self.text.startswith(self.escape, self.at):
            return self._string()
        for opening, closing in ("{}", "[]"):
            if self.text.startswith(opening, self.at):
                self.json.append(opening)
                return self._items(closing)
        scalar = _SCALAR.match(self.text, self.at)
        if scalar:
            self.json.append(scalar[0])
            self.at = scalar.end()
        return scalar is not None

    def _string(self) -> bool:
        begin = self.at + len(self.escape)
        end = self.text.find(self.escape, begin)
        whole = end >= 0
        text = self.text[begin : end if whole else len(self.text)]
        shown = text if whole else text[: len(text) - held_back(text, self.escape)]
        written = json.dumps(shown, ensure_ascii=False)
        self.json.append(written if whole else written[:-1])
        self.at = end + len(self.escape)
        return whole

    def _items(self, closing: str) -> bool:
        self.at += 1
        while not self.text.startswith(closing, self.at):
            if self.text.startswith(",", self.at):
                self.json.append(", ")
                self.at += 1
            if closing == "}":
                colon = self.text.find(":", self.at)
                if colon < 0:
                    return False
                self.json.append(f"{json.dumps(self.text[self.at : colon], ensure_ascii=False)}: ")
                self.at = colon + 1
            if not self.value():
                return False
        self.json.append(closing)
        self.at += 1
        return True


FUNCTIONGEMMA = GemmaFormat(
    "functiongemma",
    "<start_function_call>",
    "<end_function_call>",
    "<escape>",
    ("<start_function_declaration>", "<end_function_declaration>"),
    "You are a model that can do function calling with the following functions",
)
GEMMA4 = GemmaFormat(
    "gemma4", "<|tool_call>", "<tool_call|>", '<|"|>', ("<|tool>", "<tool|>"), brief=True, joint=None
)
