"""What a tool is, what a call is, and what a format does with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinsmith.errors import ConstraintError, InputError

Message = Mapping[str, str]


@dataclass
class Call:
    """What a model asks for. result: what the function gave, once it was executed; error: what it raised
    instead."""

    name: str
    arguments: dict[str, Any]
    result: Any = None
    error: Exception | None = None


@dataclass(frozen=True)
class Begun:
    """A call as far as an answer has come. arguments: their JSON, or what it begins with for sure; whole:
    whether that is all."""

    name: str
    arguments: str
    whole: bool


@dataclass(frozen=True)
class Tool:
    """parameters: JSON Schema of the arguments, an object. declared: the tool as prompts show it, in OpenAI's
    shape."""

    name: str
    description: str
    parameters: dict[str, Any]
    declared: dict[str, Any]


def read_tools(tools: Sequence[Mapping[str, Any]]) -> list[Tool]:
    """Tools in OpenAI's shape, {"type": "function", "function": {"name", "description", "parameters"}}, or as
    the inner object alone. ConstraintError, with the place, for anything else."""
    if isinstance(tools, Mapping) or not isinstance(tools, Sequence) or isinstance(tools, str | bytes):
        raise ConstraintError("#: tools must be a list of tools; put a single one in a list")
    parsed = [_read_tool(tool, f"#/{number}") for number, tool in enumerate(tools)]
    if not parsed:
        raise ConstraintError("#: the list of tools is empty; give at least one")
    names: set[str] = set()
    for number, tool in enumerate(parsed):
        if tool.name in names:
            raise ConstraintError(
                f"#/{number}: a second tool is named {tool.name!r}; give every tool its own name"
            )
        names.add(tool.name)
    return parsed


def _read_tool(tool: Any, path: str) -> Tool:
    if not isinstance(tool, Mapping):
        raise ConstraintError(f"{path}: a tool must be an object with a name and parameters, got {_kind(tool)}")
    function = tool
    if "function" in tool:
        if tool.get("type", "function") != "function":
            raise ConstraintError(f'{path}/type: {tool["type"]!r} is not a kind of tool; give "function"')
        function, path = tool["function"], f"{path}/function"
        if not isinstance(function, Mapping):
            raise ConstraintError(f"{path}: a function must be an object, got {_kind(function)}")
    name = function.get("name")
    if not isinstance(name, str) or not name or not name.isprintable():
        raise ConstraintError(f"{path}/name: a tool needs a name of printable characters, got {name!r}")
    parameters = function.get("parameters")
    if parameters is None:
        parameters = {"type": "object", "properties": {}}
    if not isinstance(parameters, Mapping):
        raise ConstraintError(f"{path}/parameters: must be a JSON Schema, got {_kind(parameters)}")
    declared = dict(tool) if "function" in tool else {"type": "function", "function": dict(tool)}
    return Tool(name, str(function.get("description") or ""), dict(parameters), declared)


def _kind(value: object) -> str:
    return type(value).__name__


class ToolFormat:
    """One way of calling functions.

    name: what users and files call it. several: whether one answer can hold more than one call. mark: what
    calls begin with; a text that says no call has none in it. controls: texts in it that are control tokens of
    the models that know the format, which read and write them as such. joint: what stands between a text and
    the calls behind it; None: a message that calls holds nothing else.
    """

    name: str
    several: bool = True
    mark: str = ""
    controls: tuple[str, ...] = ()
    joint: str | None = "\n"

    def messages(self, tools: Sequence[Tool], messages: Sequence[Message], system: str = "") -> list[Message]:
        """The conversation with the tools written into it, as the models' own chat templates do.

        system: what the model's template says where a conversation has no system message.
        """
        raise NotImplementedError

    def write(self, calls: Sequence[Call]) -> str:
        """The answer that makes these calls. InputError where the format has no form for them."""
        raise NotImplementedError

    def turn(self, content: str, calls: Sequence[Call]) -> str:
        """The assistant's message of a text, perhaps empty, and calls."""
        prefix = "" if self.joint is None or not content.strip() else content + self.joint
        return prefix + self.write(calls)

    def parse(self, text: str, tools: Sequence[Tool]) -> list[Call]:
        """The calls of an answer, none where it is a text without calls. InputError where a call is damaged, or
        names no tool."""
        raise NotImplementedError

    def begun(self, text: str, tools: Sequence[Tool]) -> list[Begun]:
        """The calls at the beginning of an answer that is constrained to these tools. Of a longer one the
        arguments go on from what is given here."""
        raise NotImplementedError

    def _check_count(self, calls: Sequence[Call]) -> None:
        if len(calls) > 1 and not self.several:
            raise InputError(f"the format {self.name} has one call an answer, got {len(calls)}")


def held_back(text: str, *marks: str) -> int:
    """How many characters at a text's end one of the marks may begin with."""
    return max((k for mark in marks for k in range(1, len(mark)) if text.endswith(mark[:k])), default=0)


def split_system(messages: Sequence[Message], system: str) -> tuple[str, list[Message]]:
    """The system message's text, or the template's own, and the other messages."""
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
