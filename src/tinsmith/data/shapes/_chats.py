"""What shapes of chats share. One row is one example: the last answer is the output, the message before it the
input, and what comes before these the turns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tinsmith.data.readers import Example, Role, Turn, Where
from tinsmith.data.shapes import Named, Reading, Shape, Values, Wanted
from tinsmith.data.shapes._pairs import system
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
_AFTER: dict[Role, tuple[Role, ...]] = {  # whose messages may follow whose
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("tool", "assistant"),
}
CHAT, CALL = "chat", "call"  # the tasks whose answers follow from turns, and are calls


class Chats(Shape):
    """keys: of a message's role and text."""

    keys: ClassVar[tuple[str, str]]

    def readings(self, columns: Sequence[str], rows: Sequence[Values], named: Named) -> list[Reading]:
        if named.output or len(named.input) > 1:
            return []
        names = named.input or [name for name in columns if name in COLUMNS]
        mine = [name for name in names if any(self._is(row.get(name)) for row in rows)]
        return [Reading(self, (name,)) for name in mine]

    def _is(self, value: Any) -> bool:
        messages = _listed(value) or [None]
        return isinstance(messages[0], dict) and self.keys[0] in messages[0]

    def example(self, values: Values, reading: Reading, where: Where, task: Wanted | None) -> Example:
        column = reading.input[0]
        messages = _listed(values.get(column))
        if messages is None:
            raise DataError(f'{where}: "{column}" must be a list of messages')
        return self.of_list(messages, column, values, where, task)

    def of_list(
        self, messages: Sequence[Any], column: str, values: Values, where: Where, task: Wanted | None
    ) -> Example:
        return of_messages(messages, column, values, where, task)


def _listed(value: Any) -> list[Any] | None:
    """A list of messages; in a CSV cell it is JSON."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json_reading.json(value, "a cell", DataError)
        except DataError:
            return None
    return value if isinstance(value, list) else None


def of_messages(
    messages: Sequence[Any], column: str, values: Values, where: Where, task: Wanted | None
) -> Example:
    """Of messages as OpenAI writes them. Those after the last answer, and a last answer of weight 0, teach
    nothing and are left out."""
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or "role" not in message:
            raise DataError(f'{where}: {column}[{number}] must be an object with "role" and "content"')
    learned = [n for n, one in enumerate(messages) if one["role"] == "assistant" and one.get("weight") != 0]
    if not learned:
        raise DataError(f'{where}: "{column}" has no answer, a message of the role "assistant"')
    last = learned[-1]
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


def check_turns(example: Example, where: Where, task: Wanted | None) -> Example:
    """Raises DataError for a conversation where each answer is to one message, or whose order is none."""
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
                "after at most one system message, and results of tools stand after the calls"
            )
    return example


def _turn(message: Mapping[str, Any], where: str) -> Turn:
    """An earlier message; calls as an answer of the task has them."""
    role = message["role"]
    if not isinstance(role, str) or role not in _ROLES:
        raise DataError(f"{where}: the role is {json.dumps(role)}; it may be {', '.join(_ROLES)}")
    return Turn(_ROLES[role], (_answer if role == "assistant" else _content)(message, where))


def _content(message: Mapping[str, Any], where: str) -> str:
    """A message's text; OpenAI's parts are joined."""
    content = message.get("content")
    if isinstance(content, list) and all(
        isinstance(part, dict) and part.get("type") == "text" for part in content
    ):
        content = "".join(str(part.get("text", "")) for part in content)
    if isinstance(content, list):
        raise DataError(f"{where}: has parts that are no text; leave the row out")
    if not isinstance(content, str) or not content.strip():
        raise DataError(f'{where}: "content" must be a text that is not empty')
    return content.strip()


def _calls(message: Mapping[str, Any]) -> list[Any]:
    calls = message.get("tool_calls") or []
    own = [{"function": message["function_call"]}] if message.get("function_call") else []
    return [*calls, *own] if isinstance(calls, list) else own


def _answer(message: Mapping[str, Any], where: str, task: Wanted | None = None) -> str:
    """The text, or the call as the task has it: {"name": …, "arguments": {…}}; several as a list."""
    calls = _calls(message)
    if not calls:
        return _content(message, where)
    if task is not None and task.name != CALL:
        raise DataError(
            f"{where}: the answer calls a tool; that is of the task {CALL}, this one is {task.name}"
        )
    written = [_call(one, where) for one in calls]
    return written[0] if len(written) == 1 else f"[{','.join(written)}]"


def _call(one: Any, where: str) -> str:
    try:
        return call(one["function"]["name"], one["function"]["arguments"], where)
    except (KeyError, TypeError):
        raise DataError(f'{where}: a tool call is {{"function": {{"name": "…", "arguments": "…"}}}}') from None


def call(name: Any, arguments: Any, where: str) -> str:
    """arguments: an object, or its JSON as OpenAI writes it."""
    if isinstance(arguments, str):
        arguments = json_reading.json(arguments or "{}", f"{where}: arguments", DataError, unique=True)
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise DataError(f"{where}: a call has a name, and arguments that are an object")
    return json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False, separators=(",", ":"))
