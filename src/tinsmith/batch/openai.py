"""OpenAI's batch files: what a line's request asks, and the line that answers it.

https://platform.openai.com/docs/guides/batch. A request to /v1/chat/completions is answered; a parameter that
is not known here is refused by its name, in its line's error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tinsmith.errors import InputError
from tinsmith.system import reading

if TYPE_CHECKING:
    from tinsmith.batch.settings import Held, Settings
    from tinsmith.chat.tool_formats import Call
    from tinsmith.runtime.generation import Completion

_SAMPLING = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty")
_OWN = ("top_k", "min_p", "repetition_penalty")  # beyond OpenAI's, by our names
_SAID = ("model", "user", "metadata", "store", "safety_identifier", "service_tier")  # change no answer
_ONE = {
    "n": 1,
    "stream": False,
    "logprobs": False,
    "top_logprobs": 0,
}  # their only value here
_REST = ("messages", "max_tokens", "max_completion_tokens", "stop", "logit_bias", "response_format")
_TOOLS = ("tools", "tool_choice", "parallel_tool_calls")
_KNOWN = (*_SAMPLING, *_OWN, *_SAID, *_ONE, *_REST, *_TOOLS)
_FINISH = {"stop": "stop", "length": "length", "context": "length", "constraint": "length"}


@dataclass(frozen=True)
class Tools:
    """tools: in OpenAI's shape; parallel, none: as tinsmith.runtime.calls.toolbox takes them."""

    tools: list[dict[str, Any]]
    parallel: bool
    none: bool


def settings_of(body: Mapping[str, Any], common: Settings) -> tuple[Settings, Tools | None]:
    """What a request says beyond its messages, over what all are asked with. Raises InputError for a parameter
    that is unknown, or of a value that it can't have."""
    given = {name: value for name, value in body.items() if value is not None}
    for name in given:
        if name not in _KNOWN:
            raise InputError(f'"{name}" is not supported; a request takes {", ".join(_KNOWN)}')
        if name in _ONE and given[name] != _ONE[name]:
            raise InputError(
                f'"{name}" may only be {json.dumps(_ONE[name])}, got {json.dumps(given[name])[:80]}'
            )
    options = {name: given[name] for name in (*_SAMPLING, *_OWN) if name in given}
    if "logit_bias" in given:
        options["logit_bias"] = _bias(given["logit_bias"])
    most = given.get("max_completion_tokens", given.get("max_tokens", common.max_tokens))
    made = replace(common, options={**common.options, **options}, max_tokens=most, stop=_stop(given, common))
    tools = _tools(given)
    if "response_format" in given and tools is None:
        made = replace(made, held=_held(given["response_format"], common.held))
    return made, tools


def _stop(given: Mapping[str, Any], common: Settings) -> tuple[str, ...]:
    stop = given.get("stop", list(common.stop))
    texts = [stop] if isinstance(stop, str) else stop
    if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
        raise InputError(f'"stop" must be a text or a list of texts, got {reading.kind(stop)}')
    return tuple(texts)


def _bias(given: Any) -> dict[int, float]:
    """By token."""
    try:
        return {int(token): float(value) for token, value in given.items()}
    except (AttributeError, TypeError, ValueError):
        raise InputError('"logit_bias" must be an object of numbers by token ids') from None


def _held(format: Any, common: Held) -> Held:
    from tinsmith.batch.settings import Held

    kind = format.get("type") if isinstance(format, dict) else None
    if kind == "text":
        return common
    if kind == "json_object":
        return Held("schema", True)
    if kind == "json_schema" and isinstance(format.get("json_schema"), dict):
        return Held("schema", format["json_schema"].get("schema", True))
    raise InputError('"response_format" must be {"type": "text" | "json_object" | "json_schema", …}')


def _tools(given: Mapping[str, Any]) -> Tools | None:
    choice, tools = given.get("tool_choice", "auto"), given.get("tools")
    if not tools or choice == "none":
        return None
    if not isinstance(tools, list) or not all(isinstance(one, dict) for one in tools):
        raise InputError('"tools" must be a list of functions in OpenAI\'s shape')
    if isinstance(choice, dict):
        name = choice.get("function", {}).get("name")
        tools = [one for one in tools if one.get("function", {}).get("name") == name]
        if not tools:
            raise InputError(f'"tool_choice" names {name!r}, which is none of the tools')
    elif choice not in ("auto", "required"):
        raise InputError(f'"tool_choice" is {json.dumps(choice)[:80]}; give none, auto, required or a function')
    return Tools(tools, bool(given.get("parallel_tool_calls", False)), choice == "auto")


def answer(
    name: str | int,
    body: Mapping[str, Any] | None,
    completion: Completion,
    calls: list[Call] | None,
    receipt: str,
) -> dict[str, Any]:
    """The line of an answer. It says nothing of when or how it was computed: equal answers are equal bytes."""
    message: dict[str, Any] = {"role": "assistant", "content": completion.content, "refusal": None}
    if completion.thinking is not None:
        message["reasoning_content"] = completion.thinking
    finish = _FINISH[completion.finish]
    if calls:
        message |= {"content": None, "tool_calls": [_call(one, k, receipt) for k, one in enumerate(calls)]}
        finish = "tool_calls"
    count = len(completion.token_ids)
    usage = {
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": count,
        "total_tokens": completion.prompt_tokens + count,
    }
    table = {
        "id": f"chatcmpl-{receipt[:24]}",
        "object": "chat.completion",
        "created": 0,
        "model": str((body or {}).get("model", "tinsmith")),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": usage,
        "tinsmith": {"text": completion.text, "finish": completion.finish, "receipt": receipt},
    }
    response = {"status_code": 200, "request_id": f"req_{receipt[:24]}", "body": table}
    return {"id": f"batch_req_{receipt[:24]}", "custom_id": str(name), "response": response, "error": None}


def _call(call: Call, number: int, receipt: str) -> dict[str, Any]:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    id = f"call_{receipt[:20]}_{number}"
    return {"id": id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def fault(name: str | int, reason: str) -> dict[str, Any]:
    error = {"code": "invalid_request", "message": reason}
    return {"id": f"batch_req_{name}", "custom_id": str(name), "response": None, "error": error}


def read(row: Mapping[str, Any]) -> dict[str, Any]:
    """A line of such an OUT as a row of ours: item, text, finish, receipt; or item, error. Raises
    InputError."""
    try:
        if row["error"] is not None:
            return {"item": row["custom_id"], "error": row["error"]["message"]}
        own = row["response"]["body"]["tinsmith"]
        return {"item": row["custom_id"], **{name: own[name] for name in ("text", "finish", "receipt")}}
    except (KeyError, TypeError) as error:
        raise InputError(f"not a line of tinsmith's in OpenAI's batch shape: {error} is missing") from None
