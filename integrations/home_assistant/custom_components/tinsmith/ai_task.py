"""The AI task: data of a structure that constrains the model."""

from __future__ import annotations

import json
from typing import Any

import voluptuous as vol
from homeassistant.components import ai_task, conversation
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import llm
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from voluptuous_openapi import convert

from . import TinsmithConfigEntry
from .entity import TinsmithEntity
from .messages import of_log
from .tools import closed

_SHOWN = "Answer with JSON of this schema:\n{}"


async def async_setup_entry(
    hass: HomeAssistant, entry: TinsmithConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    async_add_entities([Task(entry)])


class Task(TinsmithEntity, ai_task.AITaskEntity):
    _attr_translation_key = "task"
    _attr_supported_features = ai_task.AITaskEntityFeature.GENERATE_DATA

    def __init__(self, entry: TinsmithConfigEntry) -> None:
        super().__init__(entry, "ai_task")

    async def _async_generate_data(
        self, task: ai_task.GenDataTask, chat_log: conversation.ChatLog
    ) -> ai_task.GenDataTaskResult:
        schema = None if task.structure is None else schema_of(task.structure, chat_log)
        if self.trained:
            messages = [{"role": "user", "content": task.instructions}]
        else:
            messages = of_log(chat_log)
            if schema is not None:
                messages[0] = shown(messages[0], schema)
        answer = await self.ask(messages, schema=schema)
        content = conversation.AssistantContent(self.entity_id, answer.text, native=answer)
        chat_log.async_add_assistant_content_without_tools(content)
        if task.structure is None:
            return ai_task.GenDataTaskResult(chat_log.conversation_id, answer.text)
        try:
            data = task.structure(json.loads(answer.text))
        except (ValueError, vol.Invalid) as error:
            raise HomeAssistantError(
                f"the answer {answer.text[:80]!r} is not of the structure: {error}"
            ) from error
        return ai_task.GenDataTaskResult(chat_log.conversation_id, data)


def schema_of(structure: vol.Schema, chat_log: conversation.ChatLog) -> dict[str, Any]:
    """The JSON Schema that constrains the answer. tinsmith rejects unsupported keywords, with their
    position."""
    api = chat_log.llm_api
    serializer = api.custom_serializer if api and api.custom_serializer else llm.selector_serializer
    made: dict[str, Any] = closed(convert(structure, custom_serializer=serializer))
    return made


def shown(system: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The first message with the schema and its descriptions."""
    text = _SHOWN.format(json.dumps(schema, ensure_ascii=False))
    return {"role": "system", "content": f"{system['content']}\n{text}"}
