"""Messages with the roles of OpenAI's interfaces, as a chat template takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_NEWER = {"developer": "system"}


def settled(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """With the roles that templates know, and the texts of system messages at the head as one, for which they
    have room."""
    known = [{**one, "role": _NEWER.get(str(one.get("role")), one.get("role"))} for one in messages]
    head = 0
    while head < len(known) and known[head]["role"] == "system" and isinstance(known[head].get("content"), str):
        head += 1
    if head < 2:
        return known
    content = "\n\n".join(one["content"] for one in known[:head])
    return [{**known[0], "content": content}, *known[head:]]
