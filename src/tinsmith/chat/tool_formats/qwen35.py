"""Qwen3.5 and Qwen3-Coder: calls in tags, arguments on lines of their own, texts without quotes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from tinsmith.chat.tool_formats.kinds import kind, kinds
from tinsmith.chat.tool_formats.tool import (
    Call,
    Message,
    PartialCall,
    Tool,
    ToolFormat,
    checked,
    partial_mark,
    split_system,
)
from tinsmith.errors import InputError

_INSTRUCTION = (
    "# Tools\n\nYou have access to the following functions:\n\n<tools>\n{tools}\n</tools>\n\n"
    "If you choose to call a function ONLY reply in the following format with NO suffix:\n\n"
    "<tool_call>\n<function=example_function_name>\n<parameter=example_parameter_1>\nvalue_1\n</parameter>\n"
    "<parameter=example_parameter_2>\nThis is the value for the second parameter\nthat can span\nmultiple "
    "lines\n"
    "</parameter>\n</function>\n</tool_call>\n\n<IMPORTANT>\nReminder:\n"
    "- Function calls MUST follow the specified format: an inner <function=...></function> block must be "
    "nested within "
    "<tool_call></tool_call> XML tags\n"
    "- Required parameters MUST be specified\n"
    "- You may provide optional reasoning for your function call in natural language BEFORE the function "
    "call, but NOT "
    "after\n"
    "- If there is no function call available, answer the question like normal with your current knowledge "
    "and do not "
    "tell the user about function calls\n</IMPORTANT>"
)
END_OF_VALUE = "\n</parameter>"
_HEADER = re.compile(r"<tool_call>\s*<function=([^>\n]+)>")
_KEY = re.compile(r"\s*<parameter=([^>\n]+)>\n")
_FOOTER = re.compile(r"\s*</function>\s*</tool_call>")
# The template writes values by Python's str().
PYTHON = {"True": True, "False": False, "None": None}


class Qwen35(ToolFormat):
    def messages(self, tools: Sequence[Tool], messages: Sequence[Message], system: str = "") -> list[Message]:
        own, rest = split_system(messages, system)
        listed = "\n".join(json.dumps(tool.declared, ensure_ascii=False) for tool in tools)
        instruction = _INSTRUCTION.replace("{tools}", listed)
        return [
            {"role": "system", "content": f"{instruction}\n\n{own.strip()}" if own.strip() else instruction},
            *rest,
        ]

    def _write(self, calls: Sequence[Call]) -> str:
        return "\n".join(map(_write_call, calls))

    def turn(self, content: str, calls: Sequence[Call]) -> str:
        return super().turn(content.strip(), calls)

    def _calls(self, text: str, tools: Sequence[Tool]) -> Iterator[tuple[int, str, str, bool]]:
        """Each call's place, name, certain part of the arguments' JSON, and whether it is complete."""
        schemas = {tool.name: tool.parameters for tool in tools}
        at = text.find(self.mark)
        while at >= 0:
            header = _HEADER.match(text, at)
            if header is None:
                yield at, "", "", False
                return
            written, end = _arguments(text, header.end(), schemas.get(header[1], {}))
            footer = _FOOTER.match(text, end) if end >= 0 else None
            yield at, header[1], written + "}" if footer else written, footer is not None
            at = text.find(self.mark, footer.end()) if footer else -1

    def parse(self, text: str, tools: Sequence[Tool]) -> list[Call]:
        calls = []
        for at, name, written, complete in self._calls(text, tools):
            if not complete:
                raise _damaged(at)
            calls.append(checked(name, json.loads(written), tools))
        return calls

    def partial_calls(self, text: str, tools: Sequence[Tool]) -> list[PartialCall]:
        calls = self._calls(text, tools)
        return [PartialCall(name, written, complete) for _, name, written, complete in calls if name]


def _arguments(text: str, at: int, schema: Any) -> tuple[str, int]:
    """Arguments as JSON without the closing brace, and their end. An incomplete one ends at -1; of a text, its
    certain part is included."""
    written = "{"
    while parameter := _KEY.match(text, at):
        end, key = text.find(END_OF_VALUE, parameter.end()), parameter[1]
        value_schema = schema.get("properties", {}).get(key, True)
        head = f"{', ' if len(written) > 1 else ''}{json.dumps(key, ensure_ascii=False)}: "
        if end < 0:
            value = text[parameter.end() :]
            if kinds(value_schema, schema) != {"string"}:
                return written, -1
            certain = value[: len(value) - partial_mark(value, END_OF_VALUE)]
            return written + head + json.dumps(certain, ensure_ascii=False)[:-1], -1
        value = _read(text[parameter.end() : end], value_schema, schema)
        written += head + json.dumps(value, ensure_ascii=False)
        at = end + len(END_OF_VALUE)
    return written, at


def _damaged(at: int) -> InputError:
    form = "<tool_call>\n<function=NAME>\n<parameter=KEY>\nVALUE\n</parameter>\n</function>\n</tool_call>"
    return InputError(
        f"the answer's call is damaged at character {at}; in the format qwen35 a call is {form!r}"
    )


def _write_call(call: Call) -> str:
    lines = [f"<tool_call>\n<function={call.name}>\n"]
    for key, value in call.arguments.items():
        written = write_value(value)
        if END_OF_VALUE in written:
            raise InputError(f"argument {key} contains the line </parameter>, which ends a value")
        lines.append(f"<parameter={key}>\n{written}\n</parameter>\n")
    return "".join([*lines, "</function>\n</tool_call>"])


def write_value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def _read(text: str, schema: Any, root: Any) -> Any:
    """A string where the schema accepts strings only; otherwise JSON where it parses."""
    types = kinds(schema, root)
    if types == {"string"}:
        return text
    for value in schema.get("enum", ()) if isinstance(schema, dict) else ():
        if write_value(value) == text:
            return value
    if text in PYTHON and kind(PYTHON[text]) in types:
        return PYTHON[text]
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if "string" in types:
            return text
        raise InputError(f"the answer's value {text!r} is not JSON: {error}") from error


QWEN35 = Qwen35(name="qwen35", mark="<tool_call>", joint="\n\n")
