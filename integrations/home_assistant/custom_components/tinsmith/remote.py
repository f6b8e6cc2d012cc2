"""A `tinsmith serve`, asked by OpenAI's interface."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.aiohttp_client import async_get_clientsession

from .engine import Answer, Call, EngineError, Facts, Question

_OPENING = aiohttp.ClientTimeout(total=10)
_ASKING = aiohttp.ClientTimeout(total=None)  # whoever asks says how long


class Remote:
    def __init__(self, session: aiohttp.ClientSession, url: str, key: str | None, facts: Facts) -> None:
        self.facts = facts
        self._session, self._url, self._key = session, url, key

    @classmethod
    async def open(cls, hass: HomeAssistant, url: str, key: str | None, model: str | None) -> Remote:
        """model: its name there; None: the first. Raises EngineError."""
        session, url = async_get_clientsession(hass), url.rstrip("/")
        try:
            listed = await _asked(session, "get", f"{url}/v1/models", key, timeout=_OPENING)
            names = [one["id"] for one in listed["data"]]
            files = [name for name in names if ":" not in name and name != "auto"]
            chosen = model or files[0]
            if chosen not in files:
                raise EngineError(f"{url} has no model {chosen!r}; it has {', '.join(files)}", lasting=True)
            query = {"model": chosen}
            about = await _asked(session, "get", f"{url}/tinsmith/about", key, timeout=_OPENING, params=query)
        except (KeyError, IndexError, TypeError) as error:
            raise EngineError(f"{url} is no tinsmith serve: its answer lacks {error}", lasting=True) from error
        kind = about["contents"].get("constraint", {}).get("kind")
        adapters = [name.partition(":")[2] for name in names if name.startswith(f"{chosen}:")]
        told = {"version": about["version"], "file": about["digest"], **about["plan"]}
        facts = Facts(chosen, [name for name in adapters if name != "auto"], kind == "tools", told)
        return cls(session, url, key, facts)

    async def ask(self, question: Question) -> Answer:
        name = self.facts.name if question.adapter is None else f"{self.facts.name}:{question.adapter}"
        body: dict[str, Any] = {
            "model": name,
            "messages": question.messages,
            "max_tokens": question.max_tokens,
            "temperature": question.temperature,
            "top_p": question.top_p,
            "repetition_penalty": question.repetition_penalty,
            "seed": question.seed,
        }
        if question.tools:
            body["tools"] = question.tools
            body["tool_choice"] = "required" if question.must_call else "auto"
            if question.must_call:
                body["parallel_tool_calls"] = False
        elif question.schema is not None:
            form = {"name": "answer", "strict": True, "schema": question.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        elif question.unconstrained:
            body["tinsmith"] = {"unconstrained": True}
        url = f"{self._url}/v1/chat/completions"
        replied = await _asked(self._session, "post", url, self._key, timeout=_ASKING, json=body)
        return _answer(replied, question, self.facts.own_calls)

    async def close(self) -> None:
        """The session is Home Assistant's."""


async def _asked(session: aiohttp.ClientSession, method: str, url: str, key: str | None, **options: Any) -> Any:
    """The reply's JSON. Raises EngineError for an error, or no reply."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with session.request(method, url, headers=headers, **options) as response:
            reply = await response.json(content_type=None)
            if response.ok:
                return reply
            said = reply.get("error", {}).get("message", "") if isinstance(reply, dict) else ""
            lasting = response.status < 500 and response.status != 429
            raise EngineError(f"{url} refuses ({response.status}): {said}", lasting=lasting)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise EngineError(f"{url} does not answer: {error or type(error).__name__}") from error


def _answer(reply: dict[str, Any], question: Question, own_calls: bool) -> Answer:
    choice = reply["choices"][0]
    message, finish = choice["message"], choice["finish_reason"]
    text = message.get("content") or ""
    calls = [
        Call(made["function"]["name"], json.loads(made["function"]["arguments"]))
        for made in message.get("tool_calls") or ()
    ]
    held = bool(question.tools) or question.schema is not None
    own = own_calls and not held and not question.unconstrained
    if (held or own) and finish == "length":  # cut, or another answer that ends in time
        raise HomeAssistantError("the answer could not end: give it more tokens")
    if own:
        calls = [Call(one["name"], one["arguments"]) for one in _listed(json.loads(text))]
    ours = reply["tinsmith"]
    return Answer(text, calls, finish, ours.get("confident"), ours["receipt"])


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
