"""Converts messages in OpenAI's shape to texts for a chat template's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinsmith.chat.tool_formats import Call, by_name
from tinsmith.chat.turns import CLOSING, OPENING
from tinsmith.errors import InputError
from tinsmith.system import reading

Message = Mapping[str, Any]


def written(messages: Sequence[Message], tool_format: str) -> list[Message]:
    """The messages with calls and thoughts in the content, as the model writes them. tool_format: by name.
    Raises InputError for invalid messages."""
    if isinstance(messages, str | Mapping) or not all(isinstance(message, Mapping) for message in messages):
        raise InputError(
            f"messages are {messages!r:.60}; give a list of them, such as "
            '[{"role": "user", "content": "dim the lights"}]'
        )
    return [_written(message, number, tool_format) for number, message in enumerate(messages, 1)]


def _written(message: Message, number: int, tool_format: str) -> Message:
    calls, thoughts = message.get("tool_calls"), message.get("reasoning_content")
    if not calls and thoughts is None:
        return message
    if message.get("role") != "assistant":
        raise InputError(f"message {number}: only the assistant's has tool_calls and reasoning_content")
    parts = parts_of(message.get("content") or "", f"message {number}")
    if any(part["type"] != "text" for part in parts):
        raise InputError(f"message {number}: only a user's message has images")
    content = "".join(part["text"] for part in parts)
    if calls:
        if not isinstance(calls, list | tuple):
            raise InputError(f"message {number}: tool_calls are {calls!r:.60}; give a list of them")
        format = by_name(tool_format)
        content = format.turn(content, [_call(call, number) for call in calls])
    if thoughts is not None:
        if not isinstance(thoughts, str):
            raise InputError(f"message {number}: reasoning_content is {thoughts!r:.60}; give a text")
        content = f"{OPENING}\n{thoughts}\n{CLOSING}\n\n{content}"
    return {"role": "assistant", "content": content}


def _call(call: Any, number: int) -> Call:
    function = call.get("function", call) if isinstance(call, Mapping) else {}
    known = function if isinstance(function, Mapping) else {}
    name, arguments = known.get("name"), known.get("arguments", {})
    if isinstance(arguments, str):
        arguments = reading.json(arguments, f"message {number}: the arguments of {name}")
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise InputError(f"message {number}: a tool call has a name, and arguments that are an object")
    return Call(name, arguments)


def parts_of(content: Any, where: str) -> list[Message]:
    """A content's parts. Raises InputError for an invalid one."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    parts = list(content) if isinstance(content, Sequence) else []
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text" and isinstance(part.get("text"), str):
            continue
        if kind not in ("image", "image_url"):
            raise InputError(f"{where}: a content part must be a text or an image, got {part!r:.60}")
    if not parts:
        raise InputError(f"{where}: content must be a text, or a list of texts and images")
    return parts


def texts_of(messages: Sequence[Message]) -> list[Message] | None:
    """The messages with the text parts of each content joined; None for messages with images."""
    plain = []
    for number, message in enumerate(messages, 1):
        content = message.get("content")
        if isinstance(content, list | tuple):
            parts = parts_of(content, f"message {number}")
            if any(part["type"] != "text" for part in parts):
                return None
            message = {**message, "content": "".join(part["text"] for part in parts)}
        plain.append(message)
    return plain
