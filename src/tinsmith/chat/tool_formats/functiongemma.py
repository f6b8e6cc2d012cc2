"""FunctionGemma: declarations and calls between control tokens, texts between <escape> and <escape>.

After Google's guide "FunctionGemma formatting and best practices", whose example the tests keep. That the keys
of objects come in the order of their names is what those say who port the model's chat template, which is
gated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tinsmith.chat.tool_formats.tool import Call, Message, Tool, ToolFormat, checked, split_system
from tinsmith.errors import InputError

ESCAPE = "<escape>"
OPENING, CLOSING = "<start_function_call>", "<end_function_call>"
_DECLARATION = ("<start_function_declaration>", "<end_function_declaration>")
_INSTRUCTION = "You are a model that can do function calling with the following functions"


def in_order(names: Mapping[str, Any]) -> list[str]:
    """Keys as Jinja's dictsort has them."""
    return sorted(names, key=lambda name: (name.lower(), name))


class FunctionGemma(ToolFormat):
    name = "functiongemma"
    mark = OPENING
    controls = (OPENING, CLOSING, ESCAPE, *_DECLARATION)

    def messages(self, tools: Sequence[Tool], messages: Sequence[Message], system: str = "") -> list[Message]:
        own, rest = split_system(messages, system)
        instruction = _INSTRUCTION + "".join(map(_declare, tools))
        return [
            {"role": "system", "content": f"{own.strip()}\n\n{instruction}" if own.strip() else instruction},
            *rest,
        ]

    def write(self, calls: Sequence[Call]) -> str:
        if not calls:
            raise InputError("the format functiongemma has no form for no call; write a text instead")
        return "".join(f"{OPENING}call:{call.name}{write_value(call.arguments)}{CLOSING}" for call in calls)

    def parse(self, text: str, tools: Sequence[Tool]) -> list[Call]:
        calls, at = [], text.find(OPENING)
        while at >= 0:
            name, brace, _ = text[at + len(OPENING) :].removeprefix("call:").partition("{")
            reader = _Reader(text, text.index("{", at) if brace else len(text))
            calls.append(checked(name, reader.value(), tools))
            reader.expect(CLOSING)
            at = text.find(OPENING, reader.at)
        return calls


def write_value(value: Any) -> str:
    if isinstance(value, str):
        if ESCAPE in value:
            raise InputError(f"a text holds {ESCAPE}, which ends a text in the format functiongemma")
        return f"{ESCAPE}{value}{ESCAPE}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{write_value(value[key])}" for key in in_order(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(write_value, value)) + "]"
    return json.dumps(value)


def _declare(tool: Tool) -> str:
    declaration = f"declaration:{tool.name}{{description:{write_value(tool.description)}"
    if tool.parameters:
        declaration += f",parameters:{_declare_object(tool.parameters)}"
    return declaration.join((_DECLARATION[0], "}" + _DECLARATION[1]))


def _declare_object(schema: Mapping[str, Any]) -> str:
    parts = []
    if schema.get("properties"):
        properties = schema["properties"]
        inner = ",".join(f"{name}:{_declare_property(properties[name])}" for name in in_order(properties))
        parts.append(f"properties:{{{inner}}}")
    if schema.get("required"):
        parts.append(f"required:{write_value(list(schema['required']))}")
    return "{" + ",".join([*parts, f"type:{write_value(_type(schema, 'object'))}"]) + "}"


def _declare_property(schema: Mapping[str, Any]) -> str:
    parts = [f"description:{write_value(str(schema.get('description') or ''))}"]
    kind = _type(schema, "string")
    if kind == "STRING" and schema.get("enum"):
        parts.append(f"enum:{write_value(list(schema['enum']))}")
    if kind == "OBJECT" and schema.get("properties"):
        parts.append(_declare_object(schema)[1:-1].rpartition(",type:")[0])
    if kind == "ARRAY" and isinstance(schema.get("items"), Mapping):
        parts.append(f"items:{{type:{write_value(_type(schema['items'], 'string'))}}}")
    return "{" + ",".join([*parts, f"type:{write_value(kind)}"]) + "}"


def _type(schema: Mapping[str, Any], default: str) -> str:
    named = schema.get("type", default)
    return str(
        named if isinstance(named, str) else next((one for one in named if one != "null"), default)
    ).upper()


class _Reader:
    """A value as `write_value` writes it."""

    def __init__(self, text: str, at: int) -> None:
        self.text, self.at = text, at

    def expect(self, wanted: str) -> None:
        if not self.text.startswith(wanted, self.at):
            self._fail(wanted)
        self.at += len(wanted)

    def value(self, depth: int = 0) -> Any:
        if depth > 100:
            self._fail("values nested no deeper than 100 levels")
        if self.text.startswith(ESCAPE, self.at):
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
        begin = self.at + len(ESCAPE)
        end = self.text.find(ESCAPE, begin)
        if end < 0:
            self._fail(f"a closing {ESCAPE}")
        self.at = end + len(ESCAPE)
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


FUNCTIONGEMMA = FunctionGemma()
