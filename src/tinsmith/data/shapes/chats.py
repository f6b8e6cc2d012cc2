"""Chats in one column. A row is one example: the last answer is the output, the message before it the input,
earlier messages are the turns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tinsmith.data.readers import Example, Role, Turn, Where
from tinsmith.data.shapes import Named, Reading, Shape, TaskTraits, Values, system
from tinsmith.errors import DataError
from tinsmith.system import reading as json_reading

COLUMNS = ("messages", "conversations", "conversation")
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_AFTER: dict[Role, tuple[Role, ...]] = {  # the roles that a message may follow
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("tool", "assistant"),
}
CHAT, CALL = "chat", "call"  # tasks: answers after turns; function calls
_SHAREGPT_ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bing", "bard", "model", "function_call"), "assistant"),
    "system": "system",
    **dict.fromkeys(("observation", "tool"), "tool"),
}


class Messages(Shape):
    """{"role": …, "content": …} and tool calls, as in OpenAI's fine-tuning files."""

    name = "messages"
    role_key: ClassVar[str] = "role"

    def readings(self, columns: Sequence[str], rows: Sequence[Values], named: Named) -> list[Reading]:
        if named.output or len(named.input) > 1:
            return []
        names = named.input or [name for name in columns if name in COLUMNS]
        return [Reading(self, (name,)) for name in names if any(self._matches(row.get(name)) for row in rows)]

    def _matches(self, value: Any) -> bool:
        messages = _parsed(value) or [None]
        return isinstance(messages[0], dict) and self.role_key in messages[0]

    def example(self, values: Values, reading: Reading, where: Where, task: TaskTraits | None) -> Example:
        column = reading.input[0]
        messages = _parsed(values.get(column))
        if messages is None:
            raise DataError(f'{where}: "{column}" must be a list of messages')
        return of_messages(self.converted(messages, f"{where}: {column}"), column, values, where, task)

    def converted(self, messages: list[Any], where: str) -> list[Any]:
        """As OpenAI writes them."""
        return messages


class ShareGpt(Messages):
    """{"from": …, "value": …}."""

    name = "sharegpt"
    role_key = "from"

    def converted(self, messages: list[Any], where: str) -> list[Any]:
        return [_of_sharegpt(message, f"{where}[{number}]") for number, message in enumerate(messages)]


SHAPES = (Messages(), ShareGpt())


def _of_sharegpt(message: Any, where: str) -> dict[str, Any]:
    if not isinstance(message, dict) or not {"from", "value"} <= message.keys():
        raise DataError(f'{where}: must be an object with "from" and "value"')
    role, value = message["from"], message["value"]
    if not isinstance(role, str) or role not in _SHAREGPT_ROLES:
        raise DataError(f'{where}: "from" is {json.dumps(role)}; it may be {", ".join(_SHAREGPT_ROLES)}')
    if role != "function_call":
        return {"role": _SHAREGPT_ROLES[role], "content": value}
    call = json_reading.json(value, where, DataError, unique=True) if isinstance(value, str) else value
    return {"role": "assistant", "tool_calls": [{"function": call}]}


def _parsed(value: Any) -> list[Any] | None:
    """A list of messages; a CSV cell holds it as JSON."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json_reading.json(value, "a cell", DataError)
        except DataError:
            return None
    return value if isinstance(value, list) else None


def of_messages(
    messages: Sequence[Any], column: str, values: Values, where: Where, task: TaskTraits | None
) -> Example:
    """The example of OpenAI messages. Messages after the last answer, and a last answer of weight 0, are left
    out."""
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or "role" not in message:
            raise DataError(f'{where}: {column}[{number}] must be an object with "role" and "content"')
    answers = [n for n, one in enumerate(messages) if one["role"] == "assistant" and one.get("weight") != 0]
    if not answers:
        raise DataError(f'{where}: "{column}" has no answer, a message of the role "assistant"')
    last = answers[-1]
    turns = [_turn(one, f"{where}: {column}[{number}]") for number, one in enumerate(messages[:last])]
    if not turns or turns[-1].role not in ("user", "tool"):
        raise DataError(
            f'{where}: {column}[{last}] answers no message of the role "user"; one must come before it'
        )
    own = () if turns[0].role == "system" else system(values, where)
    example = Example(
        input=turns[-1].content,
        output=_answer(messages[last], f"{where}: {column}[{last}]", task),
        turns=(*own, *turns[:-1]),
        role=turns[-1].role,
        where=where,
    )
    return check_turns(example, where, task)


def check_turns(example: Example, where: Where, task: TaskTraits | None) -> Example:
    """Raises DataError for turns in a task of single messages, or roles in an invalid order."""
    rest = example.turns[1:] if example.turns and example.turns[0].role == "system" else example.turns
    if rest and task is not None and task.name not in (CHAT, CALL):
        raise DataError(
            f"{where}: has {len(rest)} turns before its last message, and the task {task.name} answers single "
            f"messages; use the task {CHAT}, or leave the earlier turns out"
        )
    roles = [turn.role for turn in rest] + [example.role]
    for before, role in zip(["assistant", *roles], roles, strict=False):
        if before == role == "user":
            raise DataError(f"{where}: two messages of the role user follow each other; join them")
        if role not in _AFTER.get(before, ()):
            raise DataError(
                f"{where}: a message of the role {role} comes out of turn; user and assistant take turns, "
                "after at most one system message, and tool results follow the calls"
            )
    return example


def _turn(message: Mapping[str, Any], where: str) -> Turn:
    role = message["role"]
    if not isinstance(role, str) or role not in _ROLES:
        raise DataError(f"{where}: the role is {json.dumps(role)}; it may be {', '.join(_ROLES)}")
    return Turn(_ROLES[role], (_answer if role == "assistant" else _content)(message, where))


def _content(message: Mapping[str, Any], where: str) -> str:
    """A message's text; OpenAI's parts are joined."""
    content = message.get("content")
    if isinstance(content, list):
        if not all(isinstance(part, dict) and part.get("type") == "text" for part in content):
            raise DataError(f"{where}: has parts that are no text; leave the row out")
        content = "".join(str(part.get("text", "")) for part in content)
    if not isinstance(content, str) or not content.strip():
        raise DataError(f'{where}: "content" must be a text that is not empty')
    return content.strip()


def _answer(message: Mapping[str, Any], where: str, task: TaskTraits | None = None) -> str:
    """The text, or the call as the task writes it: {"name": …, "arguments": {…}}; several calls as a list."""
    calls = message.get("tool_calls") or []
    calls = calls if isinstance(calls, list) else []
    if message.get("function_call"):
        calls = [*calls, {"function": message["function_call"]}]
    if not calls:
        return _content(message, where)
    if task is not None and task.name != CALL:
        raise DataError(
            f"{where}: the answer calls a tool; that is of the task {CALL}, this one is {task.name}"
        )
    texts = [_call(one, where) for one in calls]
    return texts[0] if len(texts) == 1 else f"[{','.join(texts)}]"


def _call(call: Any, where: str) -> str:
    try:
        name, arguments = call["function"]["name"], call["function"]["arguments"]
    except (KeyError, TypeError):
        raise DataError(f'{where}: a tool call is {{"function": {{"name": "…", "arguments": "…"}}}}') from None
    if isinstance(arguments, str):
        arguments = json_reading.json(arguments or "{}", f"{where}: arguments", DataError, unique=True)
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise DataError(f"{where}: a call has a name, and arguments that are an object")
    return json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False, separators=(",", ":"))
