"""Ollama's /api/chat and /api/generate."""

from __future__ import annotations

import datetime
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.responses import Response

from tinsmith.runtime.choice import logprob
from tinsmith.serve.api.openai_parts import FunctionOf, answer_facts, declared, offer_of
from tinsmith.serve.asking import Answers, Piece, ask
from tinsmith.serve.endpoint import NDJSON, RECEIPT, Call, Endpoint, Json, Stream, like, one_line
from tinsmith.serve.faults import Refused, ollama
from tinsmith.serve.fields import (
    Body,
    Name,
    Penalty,
    Repetition,
    Rows,
    Seed,
    Share,
    Stop,
    Temperature,
    Tools,
    TopK,
    Tops,
)
from tinsmith.serve.gathering import Gathered, counted, gather, merged
from tinsmith.serve.pictures import Sent, content_of
from tinsmith.serve.question import Form, Question
from tinsmith.serve.sampling import sampling, seed
from tinsmith.serve.shelf import Target

Write = Callable[[str, str, list[dict[str, Any]]], dict[str, Any]]  # text, thoughts, calls


class Options(Body):
    """num_ctx: no more than the server has. num_predict: below 0, as many as there is room for."""

    temperature: Temperature | None = None
    top_k: TopK | None = None
    top_p: Share | None = None
    min_p: Share | None = None
    repeat_penalty: Repetition | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Seed | None = None
    num_predict: Annotated[int, Field(ge=-2, le=2**31 - 1)] | None = None
    num_ctx: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    stop: Stop | None = None

    @property
    def repetition_penalty(self) -> float | None:
        return self.repeat_penalty


class Asking(Body):
    """keep_alive: changes nothing; the models stay loaded."""

    model: Name
    format: Literal["", "json"] | dict[str, Any] | None = None
    options: Options | None = None
    stream: bool | None = None
    think: bool | Literal["low", "medium", "high"] | None = None
    keep_alive: float | str | None = None
    logprobs: bool | None = None
    top_logprobs: Tops | None = None


class CalledFunction(Body):
    name: Name
    arguments: dict[str, Any]
    index: int | None = None


class Called(Body):
    id: str | None = None
    type: Literal["function"] | None = None
    function: CalledFunction


class Message(Body):
    """images: in base64; they stand before the content. tool_name, tool_call_id: the message stands behind its
    call."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    thinking: str | None = None
    tool_calls: Rows[Called] | None = None
    images: Rows[str] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class Tool(Body):
    type: Literal["function"] | None = None
    function: FunctionOf


class ChatBody(Asking):
    messages: Rows[Message] | None = None
    tools: Tools[Tool] | None = None


class GenerateBody(Asking):
    """images: in base64; they stand before the prompt. suffix: what the answer stands before; a prompt with one
    is raw."""

    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    raw: bool | None = None
    images: Rows[str] | None = None


def _question(call: Call, body: Asking, **more: Any) -> Question:
    target, options = call.house.shelf.find(body.model), body.options or Options()
    if options.num_ctx is not None and options.num_ctx > target.served.worker.context:
        most = target.served.worker.context
        raise Refused(
            400, f"num_ctx is {options.num_ctx}; this server was started with {most}", "options.num_ctx"
        )
    form = None
    if body.format:
        form = Form({"type": "object"} if body.format == "json" else body.format, "format")
    most_tokens = options.num_predict if options.num_predict and options.num_predict > 0 else None
    return Question(
        target,
        thinking=None if body.think is None else bool(body.think),
        form=form,
        sampling=sampling(target.served.model, options),
        seed=seed(options.seed),
        max_tokens=call.house.tokens(most_tokens, "num_predict"),
        stop=[options.stop] if isinstance(options.stop, str) else options.stop or (),
        tops=body.top_logprobs or 0,
        record=bool(body.logprobs),
        scope=call.scope,
        **more,
    )


def _messages(given: Sequence[Message]) -> list[dict[str, Any]]:
    messages = []
    for number, one in enumerate(given):
        where = f"messages.{number}.images"
        if one.images and one.role != "user":
            raise Refused(400, f"{where}: only a user's message has pictures", where)
        content = _content(one.images, one.content or "", where)
        message: dict[str, Any] = {"role": one.role, "content": content}
        if one.tool_calls:
            message["tool_calls"] = [
                {
                    "type": "function",
                    "function": {"name": made.function.name, "arguments": made.function.arguments},
                }
                for made in one.tool_calls
            ]
        if one.thinking is not None:
            message["reasoning_content"] = one.thinking
        messages.append(message)
    return messages


def _content(images: Sequence[str] | None, text: str, where: str) -> str | list[dict[str, Any]]:
    shown = [Sent(data, f"{where}.{k}").part for k, data in enumerate(images or ())]
    return content_of([*shown, {"type": "text", "text": text}])


async def chat(call: Call, body: ChatBody) -> Response:
    def write(text: str, thoughts: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": text}
        message |= {"thinking": thoughts} if thoughts else {}
        return {"message": message | ({"tool_calls": calls} if calls else {})}

    if not body.messages:
        return _loaded(call, body, write)
    given = body.messages

    def question() -> Question:
        offer = offer_of(declared(tool.function for tool in body.tools or ()))
        return _question(call, body, messages=_messages(given), offer=offer)

    return await _answered(call, body, await call.read(question), write)


async def generate(call: Call, body: GenerateBody) -> Response:
    def write(text: str, thoughts: str, calls: list[dict[str, Any]]) -> dict[str, Any]:
        return {"response": text} | ({"thinking": thoughts} if thoughts else {})

    if not body.prompt and not body.images and not body.suffix:
        return _loaded(call, body, write)
    raw = "suffix" if body.suffix else "raw" if body.raw else None
    if raw and body.system is not None:
        raise Refused(400, f"system is the chat template's, which {raw} leaves out", "system")
    if raw and body.images:
        raise Refused(400, f"images stand where the chat template has them, which {raw} leaves out", "images")
    if raw:
        text = _question(call, body, prompt=body.prompt or "", suffix=body.suffix or None)
        return await _answered(call, body, text, write)
    system = [{"role": "system", "content": body.system}] if body.system else []
    messages = [*system, {"role": "user", "content": _content(body.images, body.prompt or "", "images")}]
    return await _answered(call, body, _question(call, body, messages=messages), write)


def _head(target: Target) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")
    return {"model": target.name, "created_at": now}


def _loaded(call: Call, body: Asking, write: Write) -> Response:
    """Without a question: whether the model is there."""
    target = call.house.shelf.find(body.model)
    return Json({**_head(target), **write("", "", []), "done": True, "done_reason": "load"})


async def _answered(call: Call, body: Asking, question: Question, write: Write) -> Response:
    answers = await ask(call.house, question)
    if body.stream is not False:
        stream = _streamed(call, body, answers, write)
        return Stream(answers, stream, NDJSON, lambda fault: _line(ollama(fault)))
    whole = await gather(answers.running)
    one = whole[0] if whole else Gathered()
    calls = _calls(one)
    facts = _facts(call, answers, whole)
    logprobs = _logprobs(body, answers, one.choices)
    receipt = one.end.receipt if one.end else None
    return Json(
        {**_head(answers.target), **write(one.text, one.thinking, calls), **logprobs, **facts},
        headers={RECEIPT: receipt} if receipt else None,
    )


async def _streamed(call: Call, body: Asking, answers: Answers, write: Write) -> AsyncGenerator[bytes, None]:
    whole = Gathered()
    async with aclosing(merged(answers.running)) as events:
        async for _, event in events:
            whole.add(event)
            if isinstance(event, Piece):
                texts = {"text": "", "thinking": ""}
                for kind, text in event.parts:
                    texts[kind] += text
                logprobs = _logprobs(body, answers, event.choices)
                if event.parts or logprobs:
                    piece = write(texts["text"], texts["thinking"], [])
                    yield _line({**_head(answers.target), **piece, **logprobs, "done": False})
            elif event.calls:
                yield _line({**_head(answers.target), **write("", "", _calls(whole)), "done": False})
    facts = _facts(call, answers, [whole] if whole.end else [])
    yield _line({**_head(answers.target), **write("", "", []), **facts})


def _line(value: dict[str, Any]) -> bytes:
    return one_line(value) + b"\n"


def _calls(whole: Gathered) -> list[dict[str, Any]]:
    made = whole.end.calls if whole.end else []
    return [{"function": {"name": one.name, "arguments": one.arguments}} for one in made]


def _logprobs(body: Asking, answers: Answers, choices: Sequence[Any]) -> dict[str, Any]:
    if not body.logprobs or not choices:
        return {}
    return {"logprobs": [logprob(answers.target.served.model.core, one) for one in choices]}


def _facts(call: Call, answers: Answers, whole: Sequence[Gathered]) -> dict[str, Any]:
    """How it ended, and nanoseconds; prompt and answer are not told apart in a batch."""
    made = counted(call, answers, whole)
    end = whole[0].ended if whole else None
    spent = int((time.monotonic() - call.started) * 1e9)
    return {
        "done": True,
        "done_reason": "stop" if end is None or end.finish == "stop" else "length",
        "total_duration": spent,
        "load_duration": 0,
        "prompt_eval_count": made.prompt,
        "prompt_eval_duration": 0,
        "eval_count": made.answer,
        "eval_duration": int(end.completion.seconds * 1e9) if end else 0,
        "tinsmith": answer_facts(answers, whole),
    }


_TIMES = {
    "done": bool,
    "done_reason": ("stop", "length", "load"),
    "total_duration?": int,
    "load_duration?": int,
    "prompt_eval_count?": int,
    "eval_count?": int,
}
_CHAT = {"model": str, "created_at": str, "message": {"role": "assistant", "content": str}, **_TIMES}
_GENERATE = {"model": str, "created_at": str, "response": str, **_TIMES}
ENDPOINTS = [
    Endpoint("POST", "/api/chat", "Answers a conversation", chat, ChatBody, like(_CHAT), stream=NDJSON),
    Endpoint(
        "POST", "/api/generate", "Answers a prompt", generate, GenerateBody, like(_GENERATE), stream=NDJSON
    ),
]
