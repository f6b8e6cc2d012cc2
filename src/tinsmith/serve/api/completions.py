"""OpenAI's /v1/completions: continues prompts without a chat template."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from itertools import accumulate
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.responses import Response

from tinsmith.checks import token_ids
from tinsmith.runtime.choice import TokenChoice, logprob
from tinsmith.serve import fields
from tinsmith.serve.api import openai_common as common
from tinsmith.serve.endpoint import SSE, ApiRequest, Endpoint
from tinsmith.serve.errors import ApiError
from tinsmith.serve.generate import Answer, Answers, generate
from tinsmith.serve.prepare import GenerationRequest, generation_request


class CompletionsBody(common.AnswerFields):
    """user: no effect, and not stored. prompt: control tokens in a text are control tokens; with a suffix they
    are text."""

    prompt: fields.Prompts
    suffix: str | None = None
    best_of: Literal[1] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None


async def complete(request: ApiRequest, body: CompletionsBody) -> Response:
    ref, state = request.state.find(body.model), request.state
    prompts, count = fields.prompts_of(body.prompt), state.limits.check_answers(body.n)
    if body.echo and body.logprobs is not None:
        raise ApiError(400, "echo with logprobs is not supported: prompts have no logprobs", "echo")
    state.check_in_flight(request.client, ref.worker, count * len(prompts))
    answers = await generate(state, *(_to_generation(request, body, prompt, count) for prompt in prompts))
    reply = answers, "cmpl", "text_completion"
    if body.stream:
        return common.stream(request, *reply, _stream(body, answers), body.stream_options)
    choices = [
        _choice(body, one, _echo(body, one) + one.text, one.choices, ended=True)
        for one in await answers.collect()
    ]
    return common.reply(request, *reply, choices)


def _to_generation(
    request: ApiRequest, body: CompletionsBody, prompt: str | list[int], answers: int
) -> GenerationRequest:
    vocab = request.state.find(body.model).model.info.vocab
    return generation_request(
        request,
        body,
        prompt=prompt if isinstance(prompt, str) else token_ids(prompt, vocab),
        suffix=body.suffix,
        answers=answers,
        max_tokens=request.state.limits.check_tokens(body.max_tokens),
        tops=body.logprobs or 0,
        record=body.logprobs is not None,
    )


def _echo(body: CompletionsBody, answer: Answer) -> str:
    prompt = answer.request.prompt if body.echo else None
    if prompt is None or isinstance(prompt, str):
        return prompt or ""
    return answer.request.ref.model.detokenize(prompt, special=True)


def _choice(
    body: CompletionsBody,
    answer: Answer,
    text: str,
    choices: Sequence[TokenChoice] = (),
    *,
    ended: bool = False,
    offset: int = 0,
) -> dict[str, Any]:
    """offset: characters of earlier tokens."""
    logprobs = None
    if body.logprobs is not None:
        rows = [logprob(answer.request.ref.model.core, choice) for choice in choices]
        tokens = [row["token"] for row in rows]
        logprobs = {
            "tokens": tokens,
            "token_logprobs": [row["logprob"] for row in rows],
            "top_logprobs": [{top["token"]: top["logprob"] for top in row["top_logprobs"]} for row in rows],
            "text_offset": list(accumulate(map(len, tokens), initial=offset))[:-1],
        }
    finish = answer.reason if ended else None
    return {"index": answer.index, "text": text, "logprobs": logprobs, "finish_reason": finish}


async def _stream(body: CompletionsBody, answers: Answers) -> AsyncGenerator[dict[str, Any], None]:
    offsets: Counter[int] = Counter()  # characters of the tokens sent, by answer
    for answer in answers.all:
        if echo := _echo(body, answer):
            yield _choice(body, answer, echo)
    async with aclosing(answers.events()) as events:
        async for answer, delta in events:
            if delta is None:
                extra = common.extra_fields(answers, answer)
                yield {**_choice(body, answer, "", ended=True), "tinsmith": extra}
                continue
            text = "".join(text for _, text in delta.texts)
            if text or body.logprobs is not None:
                choice = _choice(body, answer, text, delta.choices, offset=offsets[answer.index])
                if choice["logprobs"]:
                    offsets[answer.index] += sum(map(len, choice["logprobs"]["tokens"]))
                yield choice


ENDPOINTS = [Endpoint("POST", "/v1/completions", "Continues prompts", complete, CompletionsBody, stream=SSE)]
