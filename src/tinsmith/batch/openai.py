"""OpenAI's batch files: what a line's request asks, and the line that answers it.

https://platform.openai.com/docs/guides/batch. A request to /v1/chat/completions is answered; a parameter that
is not known here is refused by its name, in its line's error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tinsmith.errors import InputError
from tinsmith.runtime.choice import logprob
from tinsmith.system import reading

if TYPE_CHECKING:
    from tinsmith.batch.settings import Held, Settings
    from tinsmith.chat.tool_formats import Call
    from tinsmith.runtime.choice import TokenChoice
    from tinsmith.runtime.generation import Completion
    from tinsmith.runtime.loaded import Loaded
    from tinsmith.runtime.offers import Offer

_SAMPLING = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty")
_OWN = ("top_k", "min_p", "repetition_penalty")  # beyond OpenAI's, by our names
_SAID = ("model", "user", "metadata", "store", "safety_identifier", "service_tier")  # change no answer
_ONE = {"stream": False}  # their only value here
_SHOWN = {"n": (1, 128), "top_logprobs": (0, 20)}  # from, to
_REST = ("messages", "max_tokens", "max_completion_tokens", "stop", "logit_bias", "response_format")
_TOOLS = ("tools", "tool_choice", "parallel_tool_calls")
_KNOWN = (*_SAMPLING, *_OWN, *_SAID, *_ONE, *_SHOWN, "logprobs", *_REST, *_TOOLS)
_FINISH = {"stop": "stop", "length": "length", "context": "length", "constraint": "length"}


@dataclass(frozen=True)
class Shown:
    """count: answers, by seeds that follow each other. tops: alternatives of each token, with their
    probabilities; None: neither was asked for."""

    count: int = 1
    tops: int | None = None


@dataclass(frozen=True)
class Answered:
    """choices: what its tokens were chosen by, where that is shown. calls: None where it made none."""

    completion: Completion
    receipt: str
    calls: list[Call] | None
    choices: Sequence[TokenChoice] | None


def settings_of(body: Mapping[str, Any], common: Settings) -> tuple[Settings, Offer | None, Shown]:
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
    offer = _offer(given)
    if "response_format" in given:
        made = replace(made, held=_held(given["response_format"], common.held))
        if offer is not None and made.held is not common.held:
            raise InputError('"response_format" beside "tools" is not supported; leave one of them out')
    return made, offer, _shown(given)


def _shown(given: Mapping[str, Any]) -> Shown:
    for name, (least, most) in _SHOWN.items():
        value = given.get(name, least)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise InputError(f'"{name}" must be a whole number from {least} to {most}, got {str(value)[:40]}')
    wanted, tops = given.get("logprobs", False), given.get("top_logprobs", 0)
    if not isinstance(wanted, bool):
        raise InputError(f'"logprobs" must be true or false, got {reading.kind(wanted)}')
    if tops and not wanted:
        raise InputError('"top_logprobs" comes with "logprobs": true')
    return Shown(given.get("n", 1), tops if wanted else None)


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
    kind = format.get("type") if isinstance(format, dict) else None
    if kind == "text":
        return common
    if kind == "json_object":
        return replace(common, kind="schema", of={"type": "object"})
    if kind == "json_schema" and isinstance(format.get("json_schema"), dict):
        return replace(common, kind="schema", of=format["json_schema"].get("schema", True))
    raise InputError('"response_format" must be {"type": "text" | "json_object" | "json_schema", …}')


def _offer(given: Mapping[str, Any]) -> Offer | None:
    choice, tools = given.get("tool_choice", "auto"), given.get("tools")
    parallel, allowed = given.get("parallel_tool_calls"), None
    if not tools and choice not in ("none", "auto"):
        raise InputError('"tool_choice" is given, and no "tools" are')
    if not tools or choice == "none":
        return None
    if not isinstance(tools, list) or not all(isinstance(one, dict) for one in tools):
        raise InputError('"tools" must be a list of functions in OpenAI\'s shape')
    if not isinstance(parallel, bool | None):
        raise InputError(f'"parallel_tool_calls" must be true or false, got {reading.kind(parallel)}')
    if isinstance(choice, dict):
        choice, allowed = _allowed(choice)
    if choice not in ("auto", "required"):
        raise InputError(
            f'"tool_choice" is {json.dumps(choice)[:80]}; give none, auto, required, a function or '
            "allowed_tools"
        )
    from tinsmith.runtime.offers import Offer

    return Offer([_declared(one) for one in tools], choice, parallel, allowed)


def _declared(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without what changes no answer: they are strict in any case."""
    function = tool.get("function")
    if not isinstance(function, dict):
        return tool
    said = {key: value for key, value in function.items() if value is not None and key != "strict"}
    return {**tool, "function": said}


def _allowed(choice: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """The choice, and the names of those that may be called."""
    if choice.get("type") != "allowed_tools":
        return "required", _names([choice])
    given = choice.get("allowed_tools")
    if not isinstance(given, dict) or not isinstance(given.get("tools"), list):
        raise InputError('"tool_choice": "allowed_tools" must be an object with "mode" and "tools"')
    return given.get("mode"), _names(given["tools"])


def _names(tools: Sequence[Any]) -> list[str]:
    names = []
    for one in tools:
        function = one.get("function") if isinstance(one, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str):
            raise InputError(f'"tool_choice" names {json.dumps(name)[:80]}, which is none of the tools')
        names.append(name)
    return names


def answer(
    model: Loaded, name: str | int, body: Mapping[str, Any] | None, answers: Sequence[Answered]
) -> dict[str, Any]:
    """The line of a request's answers. It says nothing of when or how they were computed: equal answers are
    equal bytes."""
    first, count = answers[0], sum(len(one.completion.token_ids) for one in answers)
    asked = first.completion.prompt_tokens
    own = {"text": first.completion.text, "finish": first.completion.finish}
    table = {
        "id": f"chatcmpl-{first.receipt[:24]}",
        "object": "chat.completion",
        "created": 0,
        "model": str((body or {}).get("model", "tinsmith")),
        "choices": [_choice(model, one, index) for index, one in enumerate(answers)],
        "usage": {"prompt_tokens": asked, "completion_tokens": count, "total_tokens": asked + count},
        "tinsmith": {**own, "receipt": ",".join(one.receipt for one in answers)},
    }
    response = {"status_code": 200, "request_id": f"req_{first.receipt[:24]}", "body": table}
    return {
        "id": f"batch_req_{first.receipt[:24]}",
        "custom_id": str(name),
        "response": response,
        "error": None,
    }


def _choice(model: Loaded, one: Answered, index: int) -> dict[str, Any]:
    completion, logprobs = one.completion, None
    message: dict[str, Any] = {"role": "assistant", "content": completion.content, "refusal": None}
    if completion.thinking is not None:
        message["reasoning_content"] = completion.thinking
    finish = _FINISH[completion.finish]
    if one.calls:
        made = [_call(call, k, one.receipt) for k, call in enumerate(one.calls)]
        message |= {"content": None, "tool_calls": made}
        finish = "tool_calls"
    if one.choices is not None:
        logprobs = {"content": [logprob(model.core, choice) for choice in one.choices], "refusal": None}
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish}


def _call(call: Call, number: int, receipt: str) -> dict[str, Any]:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    id = f"call_{receipt[:20]}_{number}"
    return {"id": id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def fault(name: str | int, reason: str) -> dict[str, Any]:
    error = {"code": "invalid_request", "message": reason}
    return {"id": f"batch_req_{name}", "custom_id": str(name), "response": None, "error": error}


def read(row: Mapping[str, Any]) -> dict[str, Any]:
    """A line of such an OUT as a row of ours: item, text, finish, receipt; or item, error; and the line, which
    says more. Raises InputError."""
    try:
        if row["error"] is not None:
            return {"item": row["custom_id"], "error": row["error"]["message"], "line": row}
        own = {name: row["response"]["body"]["tinsmith"][name] for name in ("text", "finish", "receipt")}
        return {"item": row["custom_id"], **own, "line": row}
    except (KeyError, TypeError) as error:
        raise InputError(f"not a line of tinsmith's in OpenAI's batch shape: {error} is missing") from None
