"""Formats whose calls are JSON objects."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tinsmith.chat.tool_formats.tool import Call, Message, PartialCall, Tool, ToolFormat, checked, split_system
from tinsmith.errors import InputError

_HEAD = re.compile(r'\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)')
Place = Literal["system", "before system", "user"]


@dataclass(frozen=True, kw_only=True)
class JsonFormat(ToolFormat):
    """A call is {"name": …, KEY: {…}}, KEY being `arguments`.

    opening, between, closing: around and between the calls of an answer with several. single: around an only
    call. spaced: with blanks after colons and commas, as the models were trained. instruction: lists the tools
    at {tools}. place: of the instruction. indent, lines, bare: how it writes a tool, `bare` without the outer
    object.
    """

    instruction: str
    place: Place
    arguments: str = "arguments"
    opening: str = ""
    between: str = ""
    closing: str = ""
    single: tuple[str, str] = ("", "")
    spaced: bool = True
    indent: int | None = None
    lines: str | None = None
    bare: bool = False

    def messages(self, tools: Sequence[Tool], messages: Sequence[Message], system: str = "") -> list[Message]:
        instruction = self.instruction.replace("{tools}", self._list(tools))
        if self.place == "user":
            return _before_first_user(instruction, messages)
        own, rest = split_system(messages, system if self.place == "system" else "")
        return [{"role": "system", "content": f"{own}\n\n{instruction}" if own else instruction}, *rest]

    def _list(self, tools: Sequence[Tool]) -> str:
        declarations = [tool.declared["function"] if self.bare else tool.declared for tool in tools]
        if self.lines is None:
            return json.dumps(declarations, ensure_ascii=False, indent=self.indent)
        return self.lines.join(
            json.dumps(tool, ensure_ascii=False, indent=self.indent) for tool in declarations
        )

    def _write(self, calls: Sequence[Call]) -> str:
        separators = (", ", ": ") if self.spaced else (",", ":")
        written = [
            json.dumps(
                {"name": call.name, self.arguments: call.arguments}, ensure_ascii=False, separators=separators
            )
            for call in calls
        ]
        if len(calls) == 1:
            return written[0].join(self.single)
        return self.opening + self.between.join(written) + self.closing

    def parse(self, text: str, tools: Sequence[Tool]) -> list[Call]:
        calls = []
        for value in self._values(text.strip()):
            for call in value if isinstance(value, list) else [value]:
                if not isinstance(call, dict) or "name" not in call:
                    raise InputError(f"the answer contains {json.dumps(call)}, no call; {self._form()}")
                # Models of one family use either word.
                calls.append(checked(call["name"], call.get("arguments", call.get("parameters", {})), tools))
        return calls

    def partial_calls(self, text: str, tools: Sequence[Tool]) -> list[PartialCall]:
        calls: list[PartialCall] = []
        head = _HEAD.search(text)
        while head:
            try:
                _, end = json.JSONDecoder().raw_decode(text, head.end())
            except (ValueError, RecursionError):  # an incomplete object
                return [*calls, PartialCall(json.loads(head[1]), text[head.end() :], False)]
            calls.append(PartialCall(json.loads(head[1]), text[head.end() : end], True))
            head = _HEAD.search(text, end)
        return calls

    def _values(self, text: str) -> list[Any]:
        """The JSON values of an answer."""
        if self.mark == TAG:
            # The tag may occur in a call's texts: the call ends where its JSON does.
            values, at = [], text.find(TAG)
            while at >= 0:
                value, end = self._value(text, at + len(TAG))
                values.append(value)
                at = text.find(TAG, end)
            return values
        body = _unfenced(text)
        return [self._value(body, 0)[0]] if body[:1] in ("{", "[") else []

    def _value(self, text: str, at: int) -> tuple[Any, int]:
        while text[at : at + 1].isspace():
            at += 1
        try:
            return json.JSONDecoder().raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise InputError(f"the answer's call is damaged: {error}; {self._form()}") from error

    def _form(self) -> str:
        form = f'{{"name": …, "{self.arguments}": {{…}}}}'
        return f"in the format {self.name} a call is {form.join(self.single)!r}"


def _unfenced(text: str) -> str:
    """Without a Markdown fence, which models often put around JSON."""
    if text.startswith("```") and "\n" in text:
        return text.partition("\n")[2].removesuffix("```").strip()
    return text


def _before_first_user(instruction: str, messages: Sequence[Message]) -> list[Message]:
    result = list(messages)
    for number, message in enumerate(result):
        if message["role"] == "user":
            content: Any = message["content"]
            if isinstance(content, list):  # texts and images
                content = [{"type": "text", "text": instruction}, *content]
            else:
                content = instruction + content.strip()
            result[number] = {"role": "user", "content": content}
            return result
    raise InputError("the first user message lists the tools, and the conversation has none; add one")


TAG = "<tool_call>"

# The format of the task `call`.
JSON = JsonFormat(
    name="json",
    instruction=(
        'Answer with one JSON object that calls a function: {"name": function, "arguments": {argument: '
        "value}}. "
        "These are the functions:\n{tools}"
    ),
    place="system",
    opening="[",
    between=",",
    closing="]",
    nothing="[]",
    spaced=False,
    lines="\n",
)

# Qwen3's chat template, after NousResearch's Hermes; also for Qwen2.5.
QWEN = JsonFormat(
    name="qwen",
    instruction=(
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML "
        "tags:\n<tools>\n{tools}\n</tools>\n\n"
        "For each function call, return a json object with function name and arguments within "
        "<tool_call></tool_call> XML tags:\n<tool_call>\n"
        '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
    ),
    place="system",
    opening="<tool_call>\n",
    between="\n</tool_call>\n<tool_call>\n",
    closing="\n</tool_call>",
    single=("<tool_call>\n", "\n</tool_call>"),
    mark=TAG,
    lines="\n",
)

# The system prompt of SmolLM2-1.7B-Instruct's model card; its chat template has no tools.
SMOLLM = JsonFormat(
    name="smollm",
    instruction=(
        "You are an expert in composing functions. You are given a question and a set of possible functions. \n"
        "Based on the question, you will need to make one or more function/tool calls to achieve the purpose. "
        "\n"
        "If none of the functions can be used, point it out and refuse to answer. \n"
        "If the given question lacks the parameters required by the function, also point it out.\n\n"
        "You have access to the following tools:\n<tools>{tools}</tools>\n\n"
        "The output MUST strictly adhere to the following format, and NO other text MUST be included.\n"
        "The example format is as follows. Please make sure the parameter type is correct. "
        "If no function call is needed, please make the tool calls an empty list '[]'.\n"
        '<tool_call>[\n{"name": "func_name1", "arguments": {"argument1": "value1", "argument2": "value2"}},\n'
        "... (more tool calls as required)\n]</tool_call>"
    ),
    place="before system",
    opening="<tool_call>[",
    between=", ",
    closing="]</tool_call>",
    single=("<tool_call>[", "]</tool_call>"),
    nothing="<tool_call>[]</tool_call>",
    mark=TAG,
)

# Llama 3.2's chat template, which also begins the system message with "Environment: ipython"; also for 3.1.
LLAMA3 = JsonFormat(
    name="llama3",
    instruction=(
        "Given the following functions, please respond with a JSON for a function call with its proper "
        "arguments "
        "that best answers the given prompt.\n\n"
        'Respond in the format {"name": function name, "parameters": dictionary of argument name and its '
        "value}."
        "Do not use variables.\n\n{tools}\n\n"
    ),
    place="user",
    arguments="parameters",
    joint=None,
    several=False,
    mark="{",
    indent=4,
    lines="\n\n",
)

# Gemma 3 has no tokens for tools: the JSON form of Google's guide "Function calling with Gemma".
GEMMA3 = JsonFormat(
    name="gemma3",
    instruction=(
        "You have access to functions. If you decide to invoke any of the function(s), you MUST put it in the "
        "format "
        'of\n{"name": function name, "parameters": dictionary of argument name and its value}\n\n'
        "You SHOULD NOT include any other text in the response if you call a function\n{tools}\n"
    ),
    place="user",
    arguments="parameters",
    opening="[",
    between=", ",
    closing="]",
    mark="{",
    indent=2,
    bare=True,
)
