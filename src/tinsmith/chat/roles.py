"""Messages with the roles of OpenAI's interfaces, for chat templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

_NEWER = {"developer": "system"}


def normalized(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages with the roles of templates, and with the leading system texts joined into one message."""
    known = [{**one, "role": _NEWER.get(str(one.get("role")), one.get("role"))} for one in messages]
    head = list(takewhile(lambda one: one["role"] == "system" and isinstance(one.get("content"), str), known))
    if len(head) < 2:
        return known
    content = "\n\n".join(one["content"] for one in head)
    return [{**head[0], "content": content}, *known[len(head) :]]
