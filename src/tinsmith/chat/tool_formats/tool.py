"""Tools, calls, and the interface of formats."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinsmith.errors import ConstraintError, InputError

Message = Mapping[str, str]


@dataclass
class Call:
    """result: the function's, once it was executed. error: the exception that it raised instead."""

    name: str
    arguments: dict[str, Any]
    result: Any = None
    error: Exception | None = None


@dataclass(frozen=True)
class PartialCall:
    """A call of an incomplete answer. arguments: the part of their JSON that is certain."""

    name: str
    arguments: str
    complete: bool


@dataclass(frozen=True)
class Tool:
    """parameters: JSON Schema of the arguments, an object. declared: the tool in OpenAI's shape, for
    prompts."""

    name: str
    description: str
    parameters: dict[str, Any]
    declared: dict[str, Any]


def read_tools(tools: Sequence[Mapping[str, Any]]) -> list[Tool]:
    """Reads tools in OpenAI's shape, {"type": "function", "function": {"name", "description", "parameters"}},
    or the inner object alone. Raises ConstraintError, with the JSON pointer, for anything else."""
    if isinstance(tools, Mapping) or not isinstance(tools, Sequence) or isinstance(tools, str | bytes):
        raise ConstraintError("#: tools must be a list of tools; put a single one in a list")
    parsed = [_read_tool(tool, f"#/{number}") for number, tool in enumerate(tools)]
    if not parsed:
        raise ConstraintError("#: the list of tools is empty; give at least one")
    names: set[str] = set()
    for number, tool in enumerate(parsed):
        if tool.name in names:
            raise ConstraintError(f"#/{number}: a second tool is named {tool.name!r}; rename it")
        names.add(tool.name)
    return parsed


def _read_tool(tool: Any, path: str) -> Tool:
    if not isinstance(tool, Mapping):
        raise ConstraintError(
            f"{path}: a tool is an object with name and parameters, got {type(tool).__name__}"
        )
    function = tool
    if "function" in tool:
        if tool.get("type", "function") != "function":
            raise ConstraintError(f'{path}/type: {tool["type"]!r} is not a kind of tool; give "function"')
        function, path = tool["function"], f"{path}/function"
        if not isinstance(function, Mapping):
            raise ConstraintError(f"{path}: a function must be an object, got {type(function).__name__}")
    name = function.get("name")
    if not isinstance(name, str) or not name or not name.isprintable():
        raise ConstraintError(f"{path}/name: a tool needs a name of printable characters, got {name!r}")
    parameters = function.get("parameters")
    if parameters is None:
        parameters = {"type": "object", "properties": {}}
    if not isinstance(parameters, Mapping):
        raise ConstraintError(f"{path}/parameters: must be a JSON Schema, got {type(parameters).__name__}")
    declared = dict(tool) if "function" in tool else {"type": "function", "function": dict(tool)}
    return Tool(name, str(function.get("description") or ""), dict(parameters), declared)


@dataclass(frozen=True, kw_only=True)
class ToolFormat:
    """How a model family writes tools and calls.

    name: in files and options. several: an answer may have several calls. mark: the beginning of calls, which
    no text without calls contains. joint: the separator between a text and its calls; None: a message with
    calls has no text. nothing: the answer without a call; None: any text.
    """

    name: str
    several: bool = True
    mark: str = ""
    joint: str | None = "\n"
    nothing: str | None = None

    @property
    def controls(self) -> tuple[str, ...]:
        """The format's control tokens."""
        return ()

    def messages(self, tools: Sequence[Tool], messages: Sequence[Message], system: str = "") -> list[Message]:
        """Adds the tools to a conversation, as the models' own chat templates do.

        system: the template's default system message.
        """
        raise NotImplementedError

    def write(self, calls: Sequence[Call]) -> str:
        """The answer with these calls. Raises InputError where the format cannot express them."""
        if len(calls) > 1 and not self.several:
            raise InputError(f"the format {self.name} has one call an answer, got {len(calls)}")
        if calls:
            return self._write(calls)
        if self.nothing is None:
            raise InputError(f"the format {self.name} cannot express an answer without a call; write a text")
        return self.nothing

    def _write(self, calls: Sequence[Call]) -> str:
        raise NotImplementedError

    def turn(self, content: str, calls: Sequence[Call]) -> str:
        """The assistant's message with a text, which may be empty, and calls."""
        prefix = "" if self.joint is None or not content.strip() else content + self.joint
        return prefix + self.write(calls)

    def parse(self, text: str, tools: Sequence[Tool]) -> list[Call]:
        """The answer's calls; none for a text. Raises InputError for a damaged call or an unknown tool."""
        raise NotImplementedError

    def partial_calls(self, text: str, tools: Sequence[Tool]) -> list[PartialCall]:
        """The calls of an incomplete answer that is constrained to the tools. Their arguments only grow."""
        raise NotImplementedError


def partial_mark(text: str, *marks: str) -> int:
    """The length of the text's longest suffix that may begin one of the marks."""
    return max((k for mark in marks for k in range(1, len(mark)) if text.endswith(mark[:k])), default=0)


def split_system(messages: Sequence[Message], system: str) -> tuple[str, list[Message]]:
    """The text of the system message, or the default `system`, and the other messages."""
    if messages and messages[0].get("role") == "system":
        return messages[0]["content"], list(messages[1:])
    return system, list(messages)


def checked(name: Any, arguments: Any, tools: Sequence[Tool]) -> Call:
    """A call of one of the tools."""
    names = [tool.name for tool in tools]
    if name not in names:
        raise InputError(f"the answer calls {name!r}, which is no tool; the tools are {', '.join(names)}")
    if not isinstance(arguments, dict):
        raise InputError(f"the answer calls {name} with {json.dumps(arguments)}; arguments are an object")
    return Call(name, arguments)
