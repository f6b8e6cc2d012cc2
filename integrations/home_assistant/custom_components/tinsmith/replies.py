"""Replies after a command: Home Assistant's own texts in the user's language."""

from __future__ import annotations

from typing import Any

from home_assistant_intents import get_intents
from homeassistant.components import conversation
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import intent, llm, template

_ENGLISH = "en"


class Failed(HomeAssistantError):
    """What Home Assistant's user is told in place of an answer."""

    def __init__(self, message: str, code: intent.IntentResponseErrorCode) -> None:
        super().__init__(message)
        self.code = code


async def unknown(hass: HomeAssistant, language: str) -> Failed:
    words = await _words(hass, language)
    return Failed(words["errors"]["no_intent"], intent.IntentResponseErrorCode.NO_INTENT_MATCH)


async def said(hass: HomeAssistant, language: str, results: list[conversation.ToolResultContent]) -> str:
    """Combines all results. Raises Failed for the first that failed."""
    words, told = await _words(hass, language), []
    for one in results:
        if "error" in one.tool_result:
            reason = str(one.tool_result.get("error_text") or one.tool_result["error"])
            raise Failed(reason, intent.IntentResponseErrorCode.FAILED_TO_HANDLE)
        told.append(_said(hass, words, one))
    return ". ".join(dict.fromkeys(text for text in told if text))


def _said(hass: HomeAssistant, words: dict[str, Any], one: conversation.ToolResultContent) -> str:
    if not isinstance(one.tool_result, llm.IntentResponseDict):
        return str(one.tool_result.get("result", one.tool_result))
    response: intent.IntentResponse = one.tool_result.original
    if spoken := response.speech.get("plain", {}).get("speech"):
        return str(spoken)
    text = words["intents"].get(one.tool_name, {}).get("default")
    states = response.matched_states or []
    if not text or not states:
        return ", ".join(target.name for target in response.success_results)
    given = {"slots": {}, "state": template.TemplateState(hass, states[0]), "query": {}}
    return str(template.Template(text, hass).async_render(given, parse_result=False)).strip()


async def _words(hass: HomeAssistant, language: str) -> dict[str, Any]:
    """The responses of a language, English where there are none in it: the package is Home Assistant's own."""
    base = language.partition("-")[0]
    for one in (language, base, _ENGLISH):
        found = await hass.async_add_executor_job(get_intents, one)
        if found and found.get("responses"):
            return found["responses"]
    raise HomeAssistantError("the package home-assistant-intents has no responses")
