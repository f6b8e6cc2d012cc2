"""FunctionGemma and Gemma 4: declarations and calls between control tokens, texts between escape tokens.

FunctionGemma follows Google's guide "FunctionGemma formatting and best practices"; ports of the model's gated
chat template sort the keys of objects. Gemma 4 follows its chat template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinsmith.chat.tool_formats import tool as base
from tinsmith.chat.tool_formats.tool import Call, Message, PartialCall, Tool, ToolFormat
from tinsmith.errors import InputError

# A JSON string, or any other scalar with a delimiter after it.
_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*"|[^",\]}][^,\]}]*(?=[,\]}])')


def in_order(names: Mapping[str, Any]) -> list[str]:
    """Keys in the order of Jinja's dictsort."""
    return sorted(names, key=lambda name: (name.lower(), name))


@dataclass(frozen=True, kw_only=True)
class GemmaFormat(ToolFormat):
    """mark, closing: around a call. escape: around a text. declaration: around a tool. instruction: before
    the tools. brief: omits absent parts of schemas, and declares the items of arrays in full."""

    closing: str
    escape: str
    declaration: tuple[str, str]
    instruction: str = ""
    brief: bool = False

    @property
    def controls(self) -> tuple[str, ...]:
        return (self.mark, self.closing, self.escape, *self.declaration)

    def messages(self, tools: Sequence[Tool], messages: Sequence[Message], system: str = "") -> list[Message]:
        own, rest = base.split_system(messages, system)
        declared = self.instruction + "".join(map(self._declare, tools))
        between = "\n\n" if self.instruction and own.strip() else ""
        return [{"role": "system", "content": own.strip() + between + declared}, *rest]

    def _write(self, calls: Sequence[Call]) -> str:
        return "".join(
            f"{self.mark}call:{call.name}{self._value(call.arguments)}{self.closing}" for call in calls
        )

    def _calls(self, text: str) -> Iterator[tuple[str, _Converter, bool]]:
        """Each call's name, the converter of its arguments, and whether these are complete."""
        at = text.find(self.mark)
        while at >= 0:
            brace = text.find("{", at)
            converter = _Converter(self.escape, text, brace if brace >= 0 else len(text))
            name = text[at + len(self.mark) : converter.at].removeprefix("call:")
            complete = converter.value()
            yield name, converter, complete
            at = text.find(self.mark, converter.at) if complete else -1

    def parse(self, text: str, tools: Sequence[Tool]) -> list[Call]:
        calls: list[Call] = []
        try:
            for name, converter, complete in self._calls(text):
                if not complete or not text.startswith(self.closing, converter.at):
                    raise ValueError(f"it breaks off at character {converter.at}")
                calls.append(base.checked(name, json.loads("".join(converter.json)), tools))
        except (ValueError, RecursionError) as error:
            raise InputError(f"the answer's call is damaged: {error}") from error
        return calls

    def partial_calls(self, text: str, tools: Sequence[Tool]) -> list[PartialCall]:
        return [
            PartialCall(name, "".join(converter.json), complete)
            for name, converter, complete in self._calls(text)
            if converter.json
        ]

    def _value(self, value: Any) -> str:
        if isinstance(value, str):
            if self.escape in value:
                raise InputError(f"a text contains {self.escape}, which ends a text in the format {self.name}")
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
        """The declarations of an object's properties."""
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


class _Converter:
    """Converts a value to JSON, as far as the text has it. escape: around texts."""

    def __init__(self, escape: str, text: str, at: int) -> None:
        self.escape, self.text, self.at = escape, text, at
        self.json: list[str] = []

    def value(self) -> bool:
        """Whether the value is complete."""
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
        if end < 0:
            text = self.text[begin:]
            certain = text[: len(text) - base.partial_mark(text, self.escape)]
            self.json.append(json.dumps(certain, ensure_ascii=False)[:-1])
            return False
        self.json.append(json.dumps(self.text[begin:end], ensure_ascii=False))
        self.at = end + len(self.escape)
        return True

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
    name="functiongemma",
    mark="<start_function_call>",
    closing="<end_function_call>",
    escape="<escape>",
    declaration=("<start_function_declaration>", "<end_function_declaration>"),
    instruction="You are a model that can do function calling with the following functions",
)
GEMMA4 = GemmaFormat(
    name="gemma4",
    mark="<|tool_call>",
    closing="<tool_call|>",
    escape='<|"|>',
    declaration=("<|tool>", "<tool|>"),
    brief=True,
    joint=None,
)
