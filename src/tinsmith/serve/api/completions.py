"""OpenAI's /v1/completions: continues prompts without a chat template."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from itertools import accumulate
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.responses import Response

from tinsmith.checks import token_ids
from tinsmith.runtime.choice import logprob
from tinsmith.serve import fields
from tinsmith.serve.api import openai_common as common
from tinsmith.serve.endpoint import (
    DONE,
    SSE,
    AnswerStream,
    ApiRequest,
    Endpoint,
    JsonResponse,
    schema_like,
    sse,
    sse_error,
)
from tinsmith.serve.errors import ApiError
from tinsmith.serve.generate import (
    Answer,
    AnswerEnd,
    Answers,
    RunningAnswer,
    Usage,
    collect,
    generate,
    merge,
    record_usage,
)
from tinsmith.serve.prepare import GenerationRequest, sampling_of


class CompletionsBody(fields.SamplingFields):
    """user: no effect, and not stored. prompt: control tokens in a text are control tokens; with a suffix they
    are text."""

    model: fields.Name
    prompt: fields.Prompts
    suffix: str | None = None
    max_tokens: fields.Count | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    best_of: Literal[1] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    seed: fields.Seed | None = None
    stop: fields.Stop | None = None
    stream: bool | None = None
    stream_options: common.StreamOptions | None = None
    user: str | None = None
    tinsmith: fields.TinsmithOptions | None = None


async def complete(request: ApiRequest, body: CompletionsBody) -> Response:
    ref, state = request.state.find(body.model), request.state
    prompts, count = fields.prompts_of(body.prompt), state.limits.check_answers(body.n)
    if body.echo and body.logprobs is not None:
        raise ApiError(400, "echo with logprobs is not supported: prompts have no logprobs", "echo")
    state.check_in_flight(request.client, ref.served.worker, count * len(prompts))
    each: list[Answers] = []

    def cancel() -> None:
        for answers in each:
            answers.cancel()

    try:
        for prompt in prompts:
            each.append(await generate(state, _to_generation(request, body, prompt, count)))
    except BaseException:
        cancel()
        raise
    head = {
        "id": f"cmpl-{secrets.token_hex(12)}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": ref.name,
        "system_fingerprint": ref.served.digest[:16],
    }
    running = [one for answers in each for one in answers.running]
    echoes = [_prompt_text(one) if body.echo else "" for one in running]
    if body.stream:
        pieces = _stream(request, body, each, echoes, head)
        return AnswerStream(pieces, SSE, on_error=sse_error(request.http.url.path), cancel=cancel)
    collected = await collect(running)
    choices = [
        _choice(body, running[k], k, echoes[k] + one.text, choices=one.choices, end=one.end)
        for k, one in enumerate(collected)
    ]
    usage, extra = _usage(request, each, collected), common.extra_fields(each[0], collected)
    reply = {**head, "choices": choices, "usage": usage, "tinsmith": extra}
    return JsonResponse(reply, receipts=common.receipts_of(collected))


def _to_generation(
    request: ApiRequest, body: CompletionsBody, prompt: str | list[int], answers: int
) -> GenerationRequest:
    ref = request.state.find(body.model)
    model = ref.served.model
    return GenerationRequest(
        ref=ref,
        prompt=prompt if isinstance(prompt, str) else token_ids(prompt, model.info.vocab),
        suffix=body.suffix,
        **(body.tinsmith or fields.TinsmithOptions()).generation,
        sampling=sampling_of(model, body),
        seed=common.seed_of(body.seed),
        answers=answers,
        max_tokens=request.state.limits.check_tokens(body.max_tokens),
        stop=common.stop_texts(body.stop),
        tops=body.logprobs or 0,
        record=body.logprobs is not None,
        client=request.client,
    )


def _prompt_text(one: RunningAnswer) -> str:
    prompt = one.request.prompt
    if isinstance(prompt, str):
        return prompt
    return one.request.ref.served.model.detokenize(prompt or (), special=True)


def _choice(
    body: CompletionsBody,
    running: RunningAnswer,
    index: int,
    text: str,
    *,
    choices: Sequence[Any] = (),
    end: AnswerEnd | None = None,
    offset: int = 0,
) -> dict[str, Any]:
    """offset: characters of earlier tokens."""
    finish = None if end is None else "stop" if end.finish == "stop" else "length"
    logprobs = None
    if body.logprobs is not None:
        rows = [logprob(running.request.ref.served.model.core, choice) for choice in choices]
        tokens = [row["token"] for row in rows]
        logprobs = {
            "tokens": tokens,
            "token_logprobs": [row["logprob"] for row in rows],
            "top_logprobs": [{top["token"]: top["logprob"] for top in row["top_logprobs"]} for row in rows],
            "text_offset": list(accumulate(map(len, tokens), initial=offset))[:-1],
        }
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}


def _usage(request: ApiRequest, each: Sequence[Answers], collected: Sequence[Answer]) -> dict[str, Any]:
    """Of all prompts together."""
    left, usages = iter(collected), []
    for answers in each:
        usages.append(record_usage(request, answers, [next(left) for _ in answers.running]))
    total = Usage(
        prompt=sum(one.prompt for one in usages),
        cached=sum(one.cached for one in usages),
        answer=sum(one.answer for one in usages),
        thinking=0,
    )
    return total.openai


async def _stream(
    request: ApiRequest,
    body: CompletionsBody,
    each: Sequence[Answers],
    echoes: Sequence[str],
    head: dict[str, Any],
) -> AsyncGenerator[bytes, None]:
    with_usage = body.stream_options is not None and body.stream_options.include_usage
    usage: dict[str, Any] = {"usage": None} if with_usage else {}
    running = [one for answers in each for one in answers.running]
    collected, offsets = [Answer() for _ in running], [0] * len(running)
    for index, text in enumerate(echoes):
        if text:
            yield sse({**head, "choices": [_choice(body, running[index], index, text)], **usage})
    async with aclosing(merge(running)) as events:
        async for index, event in events:
            collected[index].add(event)
            if isinstance(event, AnswerEnd):
                choice = _choice(body, running[index], index, "", end=event)
                choice["tinsmith"] = common.extra_fields(each[0], [collected[index]])
            else:
                text = "".join(text for _, text in event.texts)
                if not text and body.logprobs is None:
                    continue
                choices, offset = event.choices, offsets[index]
                choice = _choice(body, running[index], index, text, choices=choices, offset=offset)
                if choice["logprobs"]:
                    offsets[index] += sum(map(len, choice["logprobs"]["tokens"]))
            yield sse({**head, "choices": [choice], **usage})
    total = _usage(request, each, collected)
    if with_usage:
        yield sse({**head, "choices": [], "usage": total})
    yield DONE


_LOGPROBS = {"tokens": [str], "token_logprobs": [float], "top_logprobs": [dict], "text_offset": [int]}
_REPLY = {
    "id": str,
    "object": "text_completion",
    "created": int,
    "model": str,
    "choices": [
        {"index": int, "text": str, "logprobs": (_LOGPROBS, None), "finish_reason": ("stop", "length")}
    ],
    "usage": common.USAGE,
    "tinsmith": dict,
}
ENDPOINTS = [
    Endpoint(
        "POST",
        "/v1/completions",
        "Continues prompts",
        complete,
        CompletionsBody,
        schema_like(_REPLY),
        stream=SSE,
    )
]
