"""Home Assistant's log of a conversation in OpenAI's shape, which both engines take."""

from __future__ import annotations

import json
from typing import Any

from homeassistant.components import conversation
from homeassistant.helpers.json import json_dumps


def of_log(chat_log: conversation.ChatLog) -> list[dict[str, Any]]:
    return [_message(content) for content in chat_log.content if _says(content)]


def _says(content: conversation.Content) -> bool:
    return bool(
        getattr(content, "content", None)
        or getattr(content, "tool_calls", None)
        or hasattr(content, "tool_result")
    )


def _message(content: conversation.Content) -> dict[str, Any]:
    if isinstance(content, conversation.ToolResultContent):
        result = json_dumps(content.tool_result)
        return {"role": "tool", "content": result, "tool_call_id": content.tool_call_id}
    message: dict[str, Any] = {"role": content.role, "content": content.content or ""}
    if isinstance(content, conversation.AssistantContent) and content.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.tool_name, "arguments": json.dumps(call.tool_args)},
            }
            for call in content.tool_calls
        ]
    return message
