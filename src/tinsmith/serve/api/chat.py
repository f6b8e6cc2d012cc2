"""OpenAI's /v1/chat/completions."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from starlette.responses import Response

from tinsmith.runtime.choice import logprob
from tinsmith.serve.api.chat_body import ChatBody, messages_of, offer_in
from tinsmith.serve.api.openai_parts import answer_facts, form
from tinsmith.serve.asking import Answers, End, Piece, ask
from tinsmith.serve.endpoint import DONE, RECEIPT, SSE, Call, Endpoint, Json, Stream, failed_sse, like, sse
from tinsmith.serve.faults import Refused
from tinsmith.serve.fields import Ours, thinking
from tinsmith.serve.gathering import Gathered, counted, gather, merged, shown
from tinsmith.serve.parts import CallPart
from tinsmith.serve.question import Question
from tinsmith.serve.sampling import sampling, seed


def question(call: Call, body: ChatBody) -> Question:
    target = call.house.shelf.find(body.model)
    ours, switch = body.tinsmith or Ours(), body.chat_template_kwargs
    answers = call.house.count(body.n)
    if body.top_logprobs and not body.logprobs:
        raise Refused(400, 'top_logprobs comes with "logprobs": true', "top_logprobs")
    return Question(
        target,
        messages_of(body.messages),
        thinking=thinking(body.reasoning_effort, switch.enable_thinking if switch else None),
        offer=offer_in(body),
        form=form(body.response_format, "response_format"),
        **ours.held,
        sampling=sampling(target.served.model, body),
        seed=seed(body.seed),
        count=answers,
        max_tokens=call.house.tokens(body.max_completion_tokens or body.max_tokens),
        stop=[body.stop] if isinstance(body.stop, str) else body.stop or (),
        tops=body.top_logprobs or (5 if ours.choices else 0),
        record=bool(body.logprobs) or ours.choices,
        scope=call.scope,
    )


async def chat(call: Call, body: ChatBody) -> Response:
    answers = await ask(call.house, await call.read(lambda: question(call, body)))
    head = {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion.chunk" if body.stream else "chat.completion",
        "created": int(time.time()),
        "model": answers.target.name,
        "system_fingerprint": answers.target.served.digest[:16],
    }
    if body.stream:
        pieces = _streamed(call, body, answers, head)
        return Stream(answers, pieces, SSE, failed_sse(call.request.url.path))
    whole = await gather(answers.running)
    choices = [_choice(body, answers, k, one) for k, one in enumerate(whole)]
    if not whole:
        choices = [_unanswered(answers)]
    receipts = [one.ended.receipt for one in whole]
    usage = usage_of(call, answers, whole)
    return Json(
        {**head, "choices": choices, "usage": usage, "tinsmith": answer_facts(answers, whole)},
        headers={RECEIPT: ",".join(receipts)} if receipts else None,
    )


def _choice(body: ChatBody, answers: Answers, index: int, whole: Gathered) -> dict[str, Any]:
    model, end = answers.target.served.model, whole.ended
    message: dict[str, Any] = {"role": "assistant", "content": whole.text, "refusal": None}
    if whole.thinking:
        message["reasoning_content"] = whole.thinking
    if end.calls:
        message |= {
            "content": whole.text or None,
            "tool_calls": [_call(one.name, json.dumps(one.arguments, ensure_ascii=False)) for one in end.calls],
        }
    choice: dict[str, Any] = {
        "index": index,
        "message": message,
        "logprobs": _logprobs(body, answers, whole.choices),
        "finish_reason": finish(end),
    }
    if body.tinsmith and body.tinsmith.choices:
        choice["tinsmith"] = {"choices": [shown(model, one) for one in whole.choices]}
    return choice


def _unanswered(answers: Answers) -> dict[str, Any]:
    """Of a prompt that the router took for no task."""
    why = answers.route.why if answers.route else ""
    message = {"role": "assistant", "content": None, "refusal": why}
    return {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}


def _call(name: str, arguments: str) -> dict[str, Any]:
    return {
        "id": f"call_{secrets.token_hex(12)}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _call_delta(part: CallPart) -> dict[str, Any]:
    if part.name is not None:
        return {"index": part.number, **_call(part.name, part.arguments)}
    return {"index": part.number, "function": {"arguments": part.arguments}}


def _logprobs(body: ChatBody, answers: Answers, choices: Sequence[Any]) -> dict[str, Any] | None:
    if not body.logprobs:
        return None
    model = answers.target.served.model
    return {"content": [logprob(model.core, one) for one in choices], "refusal": None}


def finish(end: End) -> str:
    if end.calls:
        return "tool_calls"
    return "stop" if end.finish == "stop" else "length"


def usage_of(call: Call, answers: Answers, whole: Sequence[Gathered]) -> dict[str, Any]:
    made = counted(call, answers, whole)
    return {
        "prompt_tokens": made.prompt,
        "completion_tokens": made.answer,
        "total_tokens": made.prompt + made.answer,
        "prompt_tokens_details": {"cached_tokens": made.cached},
        "completion_tokens_details": {"reasoning_tokens": made.thoughts},
    }


async def _streamed(
    call: Call, body: ChatBody, answers: Answers, head: dict[str, Any]
) -> AsyncGenerator[bytes, None]:
    usage: dict[str, Any] = {"usage": None} if body.stream_options and body.stream_options.include_usage else {}

    def chunk(index: int, delta: dict[str, Any], finished: str | None = None, **more: Any) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finished, **more}
        return sse({**head, "choices": [choice], **usage})

    whole = [Gathered() for _ in answers.running]
    for index in range(max(1, len(whole))):
        yield chunk(index, {"role": "assistant", "content": ""})
    if not whole:
        yield chunk(0, {"refusal": answers.route.why if answers.route else ""}, "stop")
    async with aclosing(merged(answers.running)) as events:
        async for index, event in events:
            whole[index].add(event)
            if isinstance(event, Piece):
                for delta, more in _deltas(body, answers, event):
                    yield chunk(index, delta, **more)
                continue
            facts = answer_facts(answers, [whole[index]])
            yield chunk(index, {}, finish(event), tinsmith=facts)
    counted = usage_of(call, answers, whole)
    if usage:
        yield sse({**head, "choices": [], "usage": counted})
    yield DONE


def _deltas(body: ChatBody, answers: Answers, piece: Piece) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """What a piece adds, and how its tokens were chosen beside the last of it."""
    names = {"thinking": "reasoning_content", "text": "content"}
    deltas: list[dict[str, Any]] = [{names[kind]: text} for kind, text in piece.parts]
    if piece.calls:
        deltas.append({"tool_calls": [_call_delta(one) for one in piece.calls]})
    more: dict[str, Any] = {}
    if body.logprobs and piece.choices:
        more["logprobs"] = _logprobs(body, answers, piece.choices)
    if body.tinsmith and body.tinsmith.choices and piece.choices:
        model = answers.target.served.model
        more["tinsmith"] = {"choices": [shown(model, one) for one in piece.choices]}
    if more and not deltas:
        deltas = [{}]
    return [(delta, more if k + 1 == len(deltas) else {}) for k, delta in enumerate(deltas)]


_LOGPROB = {"token": str, "logprob": float, "bytes": [int], "top_logprobs": [dict]}
USAGE = {
    "prompt_tokens": int,
    "completion_tokens": int,
    "total_tokens": int,
    "prompt_tokens_details": {"cached_tokens": int},
    "completion_tokens_details": {"reasoning_tokens": int},
}
_REPLY = {
    "id": str,
    "object": "chat.completion",
    "created": int,
    "model": str,
    "system_fingerprint": str,
    "choices": [
        {
            "index": int,
            "message": {
                "role": "assistant",
                "content": (str, None),
                "refusal": (str, None),
                "reasoning_content?": str,
                "tool_calls?": [{"id": str, "type": "function", "function": {"name": str, "arguments": str}}],
            },
            "logprobs": ({"content": [_LOGPROB], "refusal": None}, None),
            "finish_reason": ("stop", "length", "tool_calls"),
            "tinsmith?": dict,
        }
    ],
    "usage": USAGE,
    "tinsmith": dict,
}
ENDPOINTS = [
    Endpoint("POST", "/v1/chat/completions", "Answers a conversation", chat, ChatBody, like(_REPLY), stream=SSE)
]
