"""The conversation agent: turns a message into a call of Home Assistant's tools, or a text."""

from __future__ import annotations

from typing import Literal

from homeassistant.components import conversation
from homeassistant.const import CONF_LLM_HASS_API, CONF_PROMPT, MATCH_ALL
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import intent, llm
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from . import TinsmithConfigEntry
from .const import DOMAIN
from .engine import Answer
from .entity import TinsmithEntity
from .messages import of_log
from .replies import Failed, said, unknown
from .tools import NOTHING, offered

_ROUNDS = 4  # of calls whose results the model is shown, before it has to have answered


async def async_setup_entry(
    hass: HomeAssistant, entry: TinsmithConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    async_add_entities([Agent(entry)])


class Agent(TinsmithEntity, conversation.ConversationEntity):
    _attr_name = None

    def __init__(self, entry: TinsmithConfigEntry) -> None:
        super().__init__(entry, "conversation")
        if self.options.get(CONF_LLM_HASS_API):
            self._attr_supported_features = conversation.ConversationEntityFeature.CONTROL

    @property
    def supported_languages(self) -> list[str] | Literal["*"]:
        """The model's are what it was trained on, which the file does not say."""
        return MATCH_ALL

    async def _async_handle_message(
        self, user_input: conversation.ConversationInput, chat_log: conversation.ChatLog
    ) -> conversation.ConversationResult:
        try:
            await chat_log.async_provide_llm_data(
                user_input.as_llm_context(DOMAIN),
                self.options.get(CONF_LLM_HASS_API),
                self.options.get(CONF_PROMPT),
                user_input.extra_system_prompt,
            )
        except conversation.ConverseError as error:
            return error.as_conversation_result()
        try:
            await (self._commanded if self.trained else self._conversed)(user_input, chat_log)
        except Failed as failed:
            response = intent.IntentResponse(language=user_input.language)
            response.async_set_error(failed.code, str(failed))
            return conversation.ConversationResult(response, chat_log.conversation_id)
        return conversation.async_get_result_from_chat_log(user_input, chat_log)

    async def _commanded(
        self, user_input: conversation.ConversationInput, chat_log: conversation.ChatLog
    ) -> None:
        """A trained model gets the message alone and answers with a call. A file with its own tools was
        measured with them and is constrained to them: a call of a missing device is reported."""
        messages = [{"role": "user", "content": user_input.text}]
        if prompt := self.options.get(CONF_PROMPT):
            messages.insert(0, {"role": "system", "content": prompt})
        api = chat_log.llm_api
        own = self.engine.facts.own_calls
        tools = offered(self.hass, api, nothing=True) if api and not own else []
        answer = await self.ask(messages, tools=tools, must_call=bool(tools))
        nothing = api and answer.calls and answer.calls[0].name == NOTHING
        if nothing or answer.confident is False:
            raise await unknown(self.hass, user_input.language)
        results = await self._called(chat_log, answer, bool(api))
        if results:
            reply = await said(self.hass, user_input.language, results)
            await self._told(chat_log, reply)

    async def _conversed(
        self, user_input: conversation.ConversationInput, chat_log: conversation.ChatLog
    ) -> None:
        """A chat model gets the conversation and the tools, and answers with a text or calls."""
        api = chat_log.llm_api
        tools = offered(self.hass, api, nothing=False) if api else []
        for _ in range(_ROUNDS):
            answer = await self.ask(of_log(chat_log), tools=tools)
            results = await self._called(chat_log, answer, bool(api))
            if not results:
                return
            if all(isinstance(one.tool_result, llm.IntentResponseDict) for one in results):
                await self._told(chat_log, await said(self.hass, user_input.language, results))
                return
        raise HomeAssistantError(f"{_ROUNDS} times the model answered with calls, and never with words")

    async def _called(
        self, chat_log: conversation.ChatLog, answer: Answer, may_call: bool
    ) -> list[conversation.ToolResultContent]:
        """Puts the answer into the log, and has Home Assistant execute its calls."""
        calls = [llm.ToolInput(call.name, call.arguments) for call in answer.calls] if may_call else None
        content = conversation.AssistantContent(
            agent_id=self.entity_id,
            content=None if calls else answer.text,
            tool_calls=calls or None,
            native=answer,
        )
        return [result async for result in chat_log.async_add_assistant_content(content)]

    async def _told(self, chat_log: conversation.ChatLog, text: str) -> None:
        content = conversation.AssistantContent(agent_id=self.entity_id, content=text)
        chat_log.async_add_assistant_content_without_tools(content)
