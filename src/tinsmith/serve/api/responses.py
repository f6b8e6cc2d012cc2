"""OpenAI's /v1/responses, of which nothing is stored."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from tinsmith.serve.api.responses_body import (
    ResponsesBody,
    SchemaFormat,
    form_in,
    messages_of,
    offer_in,
)
from tinsmith.serve.api.responses_events import Events
from tinsmith.serve.asking import ask
from tinsmith.serve.endpoint import DONE, RECEIPT, SSE, Call, Endpoint, Json, Stream, like, sse, sse_events
from tinsmith.serve.fields import Body, Ours, thinking
from tinsmith.serve.question import Question
from tinsmith.serve.sampling import sampling


async def respond(call: Call, body: ResponsesBody) -> Response:
    target = call.house.shelf.find(body.model)
    logprobs = bool(body.include) or body.top_logprobs is not None

    def question() -> Question:
        return Question(
            target,
            messages_of(body),
            thinking=thinking(body.reasoning.effort if body.reasoning else None, None),
            offer=offer_in(body),
            form=form_in(body),
            **(body.tinsmith or Ours()).held,
            sampling=sampling(target.served.model, body),
            max_tokens=call.house.tokens(body.max_output_tokens, "max_output_tokens"),
            tops=body.top_logprobs or 0,
            record=logprobs,
            scope=call.scope,
        )

    answers = await ask(call.house, await call.read(question))
    events = Events(call, answers, _head(body), logprobs)
    if body.stream:
        return Stream(
            answers,
            sse_events(events.all(), DONE),
            SSE,
            lambda fault: b"".join(sse(event, event["type"]) for event in events.failed(fault)) + DONE,
        )
    last: dict[str, Any] = {}
    async for event in events.all():
        last = event
    receipt = last["response"]["tinsmith"].get("receipt")
    return Json(last["response"], headers={RECEIPT: receipt} if receipt else None)


def _head(body: ResponsesBody) -> dict[str, Any]:
    """What an answer repeats of the request: every field, and where it was left out what held in its place."""
    tools = [tool.model_dump() for tool in body.tools or ()]
    choice, form = body.tool_choice, body.text.format if body.text else None
    text = form.model_dump(by_alias=True) if form else {"type": "text"}
    for one in (*tools, *([text] if isinstance(form, SchemaFormat) else ())):
        one["strict"] = True if one["strict"] is None else one["strict"]
    return {
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": None,
        "metadata": body.metadata or {},
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": body.reasoning.effort if body.reasoning else None, "summary": None},
        "store": False,
        "temperature": body.temperature or 0.0,
        "text": {"format": text, "verbosity": "medium"},
        "presence_penalty": body.presence_penalty or 0.0,
        "frequency_penalty": body.frequency_penalty or 0.0,
        "tool_choice": choice.model_dump() if isinstance(choice, Body) else choice or "auto",
        "tools": tools,
        "top_logprobs": body.top_logprobs or 0,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "truncation": "disabled",
        "background": False,
        "service_tier": "default",
        "user": body.user,
        "safety_identifier": body.safety_identifier,
        "prompt_cache_key": body.prompt_cache_key,
    }


_REPLY = {
    "id": str,
    "object": "response",
    "created_at": int,
    "status": ("completed", "incomplete"),
    "error": None,
    "incomplete_details": ({"reason": str}, None),
    "model": str,
    "output": [{"id": str, "type": ("message", "function_call", "reasoning"), "status": str}],
    "usage": {
        "input_tokens": int,
        "input_tokens_details": {"cached_tokens": int},
        "output_tokens": int,
        "output_tokens_details": {"reasoning_tokens": int},
        "total_tokens": int,
    },
    "tinsmith": dict,
}
ENDPOINTS = [
    Endpoint(
        "POST", "/v1/responses", "Answers a conversation", respond, ResponsesBody, like(_REPLY), stream=SSE
    )
]
