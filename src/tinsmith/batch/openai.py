"""OpenAI's batch files: requests to /v1/chat/completions, and the lines that answer them.

See https://platform.openai.com/docs/guides/batch. An unknown parameter is an error of its line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tinsmith.batch.answers import Answer
from tinsmith.batch.settings import OutputConstraint, Settings
from tinsmith.chat.tool_formats import Call
from tinsmith.checks import whole
from tinsmith.errors import InputError
from tinsmith.runtime import Model
from tinsmith.runtime.calls import Offer, read_calls
from tinsmith.runtime.choice import logprob
from tinsmith.runtime.generation import stop_texts
from tinsmith.system import reading

_SAMPLING = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty")
_MORE_SAMPLING = ("top_k", "min_p", "repetition_penalty")  # beyond OpenAI's
_IGNORED = ("model", "user", "metadata", "store", "safety_identifier", "service_tier")
_COUNTS = ("n", 1, 128), ("top_logprobs", 0, 20)  # name, least, most
_REST = ("messages", "max_tokens", "max_completion_tokens", "stop", "logit_bias", "response_format")
_TOOLS = ("tools", "tool_choice", "parallel_tool_calls")
_KNOWN = (*_SAMPLING, *_MORE_SAMPLING, *_IGNORED, "stream", "n", "top_logprobs", "logprobs", *_REST, *_TOOLS)


def settings_of(body: Mapping[str, Any], common: Settings) -> tuple[Settings, Offer | None, int, int | None]:
    """A request's settings and tools; its number of answers, with consecutive seeds; and that of alternatives
    of each token, None for no log probabilities either. common: the settings of all rows."""
    given = {name: value for name, value in body.items() if value is not None}
    for name in given:
        if name not in _KNOWN:
            raise InputError(f'"{name}" is not supported; a request takes {", ".join(_KNOWN)}')
    if given.get("stream") not in (None, False):
        raise InputError(f'"stream" must be false, got {json.dumps(given["stream"])[:80]}')
    options = {name: given[name] for name in (*_SAMPLING, *_MORE_SAMPLING) if name in given}
    if "logit_bias" in given:
        options["logit_bias"] = _bias(given["logit_bias"])
    settings = replace(
        common,
        options={**common.options, **options},
        max_tokens=given.get("max_completion_tokens", given.get("max_tokens", common.max_tokens)),
        stop=stop_texts(given.get("stop", common.stop)),
        constraint=_constraint(given.get("response_format", {"type": "text"}), common.constraint),
    )
    offer = _offer(given)
    if offer is not None and settings.constraint is not common.constraint:
        raise InputError('"response_format" and "tools" together are not supported; leave one out')
    return settings, offer, *_counts(given)


def _counts(given: Mapping[str, Any]) -> tuple[int, int | None]:
    count, tops = (whole(f'"{name}"', given.get(name, least), least, most) for name, least, most in _COUNTS)
    wanted = given.get("logprobs", False)
    if not isinstance(wanted, bool):
        raise InputError(f'"logprobs" must be true or false, got {reading.kind(wanted)}')
    if tops and not wanted:
        raise InputError('"top_logprobs" needs "logprobs": true')
    return count, tops if wanted else None


def _bias(given: Any) -> dict[int, float]:
    try:
        return {int(token): float(value) for token, value in given.items()}
    except (AttributeError, TypeError, ValueError):
        raise InputError('"logit_bias" must be an object of numbers by token ids') from None


def _constraint(format: Any, common: OutputConstraint) -> OutputConstraint:
    kind = format.get("type") if isinstance(format, dict) else None
    if kind == "text":
        return common
    if kind == "json_object":
        return replace(common, kind="schema", value={"type": "object"})
    if kind == "json_schema" and isinstance(format.get("json_schema"), dict):
        return replace(common, kind="schema", value=format["json_schema"].get("schema", True))
    raise InputError('"response_format" must be {"type": "text" | "json_object" | "json_schema", …}')


def _offer(given: Mapping[str, Any]) -> Offer | None:
    choice, tools = given.get("tool_choice", "auto"), given.get("tools")
    parallel, allowed = given.get("parallel_tool_calls"), None
    if not tools and choice not in ("none", "auto"):
        raise InputError('"tool_choice" without "tools"; give tools')
    if not tools or choice == "none":
        return None
    if not isinstance(tools, list):
        raise InputError('"tools" must be a list of functions in OpenAI\'s format')
    if not isinstance(parallel, bool | None):
        raise InputError(f'"parallel_tool_calls" must be true or false, got {reading.kind(parallel)}')
    match choice:
        case {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [*named]}}:
            choice, allowed = mode, [_name(one) for one in named]
        case {"function": _}:
            choice, allowed = "required", [_name(choice)]
    if choice not in ("auto", "required"):
        raise InputError(
            f'"tool_choice" is {json.dumps(choice)[:80]}; give none, auto, required, a function, or '
            'allowed_tools with "mode" and "tools"'
        )
    return Offer([_declared(one) for one in tools], choice, parallel, allowed)


def _declared(tool: Any) -> Any:
    """The tool without `strict`, which is always in effect."""
    match tool:
        case {"function": dict(function)}:
            kept = {key: value for key, value in function.items() if value is not None and key != "strict"}
            return {**tool, "function": kept}
    return tool


def _name(tool: Any) -> str:
    match tool:
        case {"function": {"name": str(name)}}:
            return name
    raise InputError(f'"tool_choice" names the unknown tool {json.dumps(tool)[:80]}')


def answer_row(
    model: Model, name: str | int, body: Mapping[str, Any] | None, answers: Sequence[Answer]
) -> dict[str, Any]:
    """Has no times or machines: equal answers give equal bytes."""
    first, count = answers[0], sum(len(one.completion.token_ids) for one in answers)
    prompt = first.completion.prompt_tokens
    own = {"text": first.completion.text, "finish": first.completion.finish}
    table = {
        "id": f"chatcmpl-{first.receipt[:24]}",
        "object": "chat.completion",
        "created": 0,
        "model": str((body or {}).get("model", "tinsmith")),
        "choices": [_choice(model, one, index) for index, one in enumerate(answers)],
        "usage": {"prompt_tokens": prompt, "completion_tokens": count, "total_tokens": prompt + count},
        "tinsmith": {**own, "receipt": ",".join(one.receipt for one in answers)},
    }
    response = {"status_code": 200, "request_id": f"req_{first.receipt[:24]}", "body": table}
    row_id = f"batch_req_{first.receipt[:24]}"
    return {"id": row_id, "custom_id": str(name), "response": response, "error": None}


def _choice(model: Model, answer: Answer, index: int) -> dict[str, Any]:
    completion, logprobs = answer.completion, None
    message: dict[str, Any] = {"role": "assistant", "content": completion.content, "refusal": None}
    if completion.thinking is not None:
        message["reasoning_content"] = completion.thinking
    finish = "stop" if completion.finish == "stop" else "length"
    if calls := _calls(model, answer):
        listed = [_call(call, k, answer.receipt) for k, call in enumerate(calls)]
        message |= {"content": None, "tool_calls": listed}
        finish = "tool_calls"
    if answer.request.with_choices:
        logprobs = {"content": [logprob(model.core, choice) for choice in answer.choices], "refusal": None}
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish}


def _calls(model: Model, answer: Answer) -> list[Call]:
    """The answer's calls, without truncated ones."""
    if answer.request.toolbox is None:
        return []
    try:
        return read_calls(model, answer.completion, answer.request.toolbox) or []
    except InputError:
        return []


def _call(call: Call, number: int, receipt: str) -> dict[str, Any]:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    id = f"call_{receipt[:20]}_{number}"
    return {"id": id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def error_row(name: str | int, reason: str) -> dict[str, Any]:
    error = {"code": "invalid_request", "message": reason}
    return {"id": f"batch_req_{name}", "custom_id": str(name), "response": None, "error": error}


def read(row: Mapping[str, Any]) -> dict[str, Any]:
    """A line as a row: item, and text, finish, receipt or error, and the complete line as `line`."""
    try:
        if row["error"] is not None:
            return {"item": row["custom_id"], "error": row["error"]["message"], "line": row}
        own = {name: row["response"]["body"]["tinsmith"][name] for name in ("text", "finish", "receipt")}
        return {"item": row["custom_id"], **own, "line": row}
    except (KeyError, TypeError) as error:
        raise InputError(f"not a line of tinsmith batch in OpenAI's format: {error} is missing") from None
