"""OpenAI's /v1/completions: prompts that are continued as they stand."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.responses import Response

from tinsmith.checks import token_ids
from tinsmith.runtime.choice import logprob
from tinsmith.serve.api.chat import USAGE
from tinsmith.serve.api.chat_body import StreamOptions
from tinsmith.serve.api.openai_parts import answer_facts
from tinsmith.serve.asking import Answering, Answers, End, ask
from tinsmith.serve.endpoint import DONE, RECEIPT, SSE, Call, Endpoint, Json, Stream, failed_sse, like, sse
from tinsmith.serve.faults import Refused
from tinsmith.serve.fields import Count, Drawing, Name, Ours, Prompts, Seed, Stop
from tinsmith.serve.gathering import Gathered, counted, gather, merged
from tinsmith.serve.question import Question
from tinsmith.serve.sampling import sampling, seed


class CompletionsBody(Drawing):
    """user: changes nothing, and is not kept. Control tokens that are written in a prompt are taken as such,
    beside a suffix as text."""

    model: Name
    prompt: Prompts
    suffix: str | None = None
    max_tokens: Count | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    best_of: Literal[1] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    seed: Seed | None = None
    stop: Stop | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    tinsmith: Ours | None = None


def _prompts(body: CompletionsBody) -> list[str | list[int]]:
    given: Any = body.prompt
    return [given] if isinstance(given, str) or isinstance(given[0], int) else list(given)


async def complete(call: Call, body: CompletionsBody) -> Response:
    target, prompts = call.house.shelf.find(body.model), _prompts(body)
    model, count = target.served.model, call.house.count(body.n)
    if body.echo and body.logprobs is not None:
        raise Refused(400, "echo beside logprobs is not supported: the prompt's are not known", "echo")
    call.house.admit(call.scope, target.served.worker, count * len(prompts))
    asked: list[Answers] = []
    try:
        for prompt in prompts:
            taken = prompt if isinstance(prompt, str) else token_ids(prompt, model.info.vocab)
            question = Question(
                target,
                prompt=taken,
                suffix=body.suffix,
                **(body.tinsmith or Ours()).held,
                sampling=sampling(model, body),
                seed=seed(body.seed),
                count=count,
                max_tokens=call.house.tokens(body.max_tokens),
                stop=[body.stop] if isinstance(body.stop, str) else body.stop or (),
                tops=body.logprobs or 0,
                record=body.logprobs is not None,
                scope=call.scope,
            )
            asked.append(await ask(call.house, question))
    except BaseException:
        _Several(asked).cancel()
        raise
    head = {
        "id": f"cmpl-{secrets.token_hex(12)}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": target.name,
        "system_fingerprint": target.served.digest[:16],
    }
    running = [one for answers in asked for one in answers.running]
    echoed = [_text(one) if body.echo else "" for one in running]
    if body.stream:
        pieces = _streamed(call, body, asked, running, echoed, head)
        return Stream(_Several(asked), pieces, SSE, failed_sse(call.request.url.path))
    whole = await gather(running)
    choices = [
        _choice(body, running[k], k, echoed[k] + one.text, one.choices, one.ended)
        for k, one in enumerate(whole)
    ]
    receipts = [one.ended.receipt for one in whole]
    usage, facts = _usage(call, asked, whole), answer_facts(asked[0], whole)
    return Json(
        {**head, "choices": choices, "usage": usage, "tinsmith": facts},
        headers={RECEIPT: ",".join(receipts)} if receipts else None,
    )


class _Several:
    def __init__(self, asked: Sequence[Answers]) -> None:
        self.asked = asked

    def cancel(self) -> None:
        for answers in self.asked:
            answers.cancel()


def _text(one: Answering) -> str:
    model = one.question.target.served.model
    given = one.question.prompt
    return given if isinstance(given, str) else model.detokenize(given or (), special=True)


def _choice(
    body: CompletionsBody,
    one: Answering,
    index: int,
    text: str,
    choices: Sequence[Any],
    end: End | None,
    at: int = 0,
) -> dict[str, Any]:
    """at: characters of the tokens that were told before."""
    finished = None if end is None else "stop" if end.finish == "stop" else "length"
    logprobs = None
    if body.logprobs is not None:
        rows = [logprob(one.question.target.served.model.core, choice) for choice in choices]
        logprobs = {
            "tokens": [row["token"] for row in rows],
            "token_logprobs": [row["logprob"] for row in rows],
            "top_logprobs": [{top["token"]: top["logprob"] for top in row["top_logprobs"]} for row in rows],
            "text_offset": _offsets([row["token"] for row in rows], at),
        }
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finished}


def _offsets(tokens: Sequence[str], at: int) -> list[int]:
    """Where each token's text begins."""
    offsets = []
    for token in tokens:
        offsets.append(at)
        at += len(token)
    return offsets


def _usage(call: Call, asked: Sequence[Answers], whole: Sequence[Gathered]) -> dict[str, Any]:
    """Over all prompts."""
    at, made = 0, []
    for answers in asked:
        made.append(counted(call, answers, whole[at : at + len(answers.running)]))
        at += len(answers.running)
    prompt, answer = sum(one.prompt for one in made), sum(one.answer for one in made)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": {"cached_tokens": sum(one.cached for one in made)},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


async def _streamed(
    call: Call,
    body: CompletionsBody,
    asked: Sequence[Answers],
    running: Sequence[Answering],
    echoed: Sequence[str],
    head: dict[str, Any],
) -> AsyncGenerator[bytes, None]:
    usage: dict[str, Any] = {"usage": None} if body.stream_options and body.stream_options.include_usage else {}
    whole, told = [Gathered() for _ in running], [0] * len(running)
    for index, text in enumerate(echoed):
        if text:
            yield sse({**head, "choices": [_choice(body, running[index], index, text, (), None)], **usage})
    async with aclosing(merged(running)) as events:
        async for index, event in events:
            whole[index].add(event)
            if isinstance(event, End):
                choice = _choice(body, running[index], index, "", (), event)
                choice["tinsmith"] = answer_facts(asked[0], [whole[index]])
            else:
                text = "".join(text for _, text in event.parts)
                choice = _choice(body, running[index], index, text, event.choices, None, told[index])
                told[index] += sum(map(len, choice["logprobs"]["tokens"])) if choice["logprobs"] else 0
                if not text and body.logprobs is None:
                    continue
            yield sse({**head, "choices": [choice], **usage})
    counts = _usage(call, asked, whole)
    if usage:
        yield sse({**head, "choices": [], "usage": counts})
    yield DONE


_REPLY = {
    "id": str,
    "object": "text_completion",
    "created": int,
    "model": str,
    "choices": [
        {
            "index": int,
            "text": str,
            "logprobs": (
                {"tokens": [str], "token_logprobs": [float], "top_logprobs": [dict], "text_offset": [int]},
                None,
            ),
            "finish_reason": ("stop", "length"),
        }
    ],
    "usage": USAGE,
    "tinsmith": dict,
}
ENDPOINTS = [
    Endpoint(
        "POST", "/v1/completions", "Continues prompts", complete, CompletionsBody, like(_REPLY), stream=SSE
    )
]
