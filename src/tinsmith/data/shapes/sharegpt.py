"""sharegpt: a chat of {"from": …, "value": …}."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from tinsmith.data.readers import Example, Where
from tinsmith.data.shapes import Values, Wanted
from tinsmith.data.shapes._chats import Chats, of_messages
from tinsmith.errors import DataError
from tinsmith.system import reading

_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "system": "system",
    "observation": "tool",
    "tool": "tool",
}


class ShareGpt(Chats):
    name = "sharegpt"
    keys: ClassVar = ("from", "value")

    def of_list(
        self, messages: Sequence[Any], column: str, values: Values, where: Where, task: Wanted | None
    ) -> Example:
        turned = [_message(one, f"{where}: {column}[{number}]") for number, one in enumerate(messages)]
        return of_messages(turned, column, values, where, task)


def _message(message: Any, where: str) -> dict[str, Any]:
    if not isinstance(message, dict) or not {"from", "value"} <= message.keys():
        raise DataError(f'{where}: must be an object with "from" and "value"')
    role, value = message["from"], message["value"]
    if not isinstance(role, str) or role not in _ROLES:
        raise DataError(f'{where}: "from" is {json.dumps(role)}; it may be {", ".join(_ROLES)}')
    if role != "function_call":
        return {"role": _ROLES[role], "content": value}
    called = reading.json(value, where, DataError, unique=True) if isinstance(value, str) else value
    return {"role": "assistant", "tool_calls": [{"function": called}]}


shape = ShareGpt()
