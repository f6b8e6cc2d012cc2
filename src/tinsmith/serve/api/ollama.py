"""Ollama's /api/chat, /api/generate, /api/tags, /api/show and /api/version."""

from __future__ import annotations

import datetime
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.responses import Response

from tinsmith import _core
from tinsmith.runtime.choice import logprob
from tinsmith.serve import fields
from tinsmith.serve.api import openai_common as common
from tinsmith.serve.api.openai_common import base64_image, content_of
from tinsmith.serve.endpoint import NDJSON, AnswerStream, ApiRequest, Endpoint, JsonResponse, json_line
from tinsmith.serve.errors import ApiError, ollama_error
from tinsmith.serve.fields import Body, Name, Penalty, Rows, TopCount
from tinsmith.serve.generate import Answer, Answers, generate, record_usage
from tinsmith.serve.prepare import GenerationRequest, OutputSchema, generation_request
from tinsmith.serve.state import ModelRef

Calls = Sequence[dict[str, Any]]


class Options(Body):
    """num_ctx: at most the server's context. num_predict: below 0, the rest of the context."""

    temperature: fields.Temperature | None = None
    top_k: fields.TopK | None = None
    top_p: fields.Share | None = None
    min_p: fields.Share | None = None
    repetition_penalty: Annotated[fields.Repetition | None, Field(alias="repeat_penalty")] = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: fields.Seed | None = None
    num_predict: Annotated[int, Field(ge=-2, le=2**31 - 1)] | None = None
    num_ctx: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    stop: fields.Stop | None = None


class CommonBody(Body):
    """keep_alive: no effect; models stay loaded."""

    model: Name
    format: Literal["", "json"] | dict[str, Any] | None = None
    options: Options | None = None
    stream: bool | None = None
    think: bool | Literal["low", "medium", "high"] | None = None
    keep_alive: float | str | None = None
    logprobs: bool | None = None
    top_logprobs: TopCount | None = None


class CallFunction(Body):
    name: Name
    arguments: dict[str, Any]
    index: int | None = None


class ToolCall(Body):
    id: str | None = None
    type: Literal["function"] | None = None
    function: CallFunction


class Message(Body):
    """images: in base64, before the content. tool_name, tool_call_id: no effect; results follow their calls."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    thinking: str | None = None
    tool_calls: Rows[ToolCall] | None = None
    images: Rows[str] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class Tool(Body):
    type: Literal["function"] | None = None
    function: common.FunctionOf


class ChatBody(CommonBody):
    messages: Rows[Message] | None = None
    tools: fields.Tools[Tool] | None = None

    def piece(self, text: str = "", thinking: str = "", calls: Calls = ()) -> dict[str, Any]:
        """A piece of the answer."""
        message: dict[str, Any] = {"role": "assistant", "content": text}
        message |= {"thinking": thinking} if thinking else {}
        return {"message": message | ({"tool_calls": calls} if calls else {})}


class GenerateBody(CommonBody):
    """images: in base64, before the prompt. suffix: fills in the middle, without a chat template."""

    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    raw: bool | None = None
    images: Rows[str] | None = None

    def piece(self, text: str = "", thinking: str = "", calls: Calls = ()) -> dict[str, Any]:
        """A piece of the answer, which has no calls."""
        return {"response": text} | ({"thinking": thinking} if thinking else {})


def _to_generation(request: ApiRequest, body: CommonBody, **more: Any) -> GenerationRequest:
    options, context = body.options or Options(), request.state.find(body.model).worker.context
    if options.num_ctx is not None and options.num_ctx > context:
        raise ApiError(
            400, f"num_ctx is {options.num_ctx}; this server's context is {context}", "options.num_ctx"
        )
    schema = None
    if body.format:
        schema = OutputSchema({"type": "object"} if body.format == "json" else body.format, "format")
    max_tokens = options.num_predict if options.num_predict and options.num_predict > 0 else None
    return generation_request(
        request,
        body,
        options,
        thinking=None if body.think is None else bool(body.think),
        schema=schema,
        max_tokens=request.state.limits.check_tokens(max_tokens, "num_predict"),
        tops=body.top_logprobs or 0,
        record=bool(body.logprobs),
        **more,
    )


def messages_of(given: Sequence[Message]) -> list[dict[str, Any]]:
    """Messages for the runtime."""
    messages = []
    for number, one in enumerate(given):
        path = f"messages.{number}.images"
        if one.images and one.role != "user":
            raise ApiError(400, f"{path}: only a user's message may have images", path)
        message: dict[str, Any] = {"role": one.role, "content": _content(one.images, one.content or "", path)}
        if one.tool_calls:
            functions = [call.function.model_dump(include={"name", "arguments"}) for call in one.tool_calls]
            message["tool_calls"] = [{"type": "function", "function": one} for one in functions]
        if one.thinking is not None:
            message["reasoning_content"] = one.thinking
        messages.append(message)
    return messages


def _content(images: Sequence[str] | None, text: str, path: str) -> str | list[dict[str, Any]]:
    parts = [base64_image(data, f"{path}.{k}") for k, data in enumerate(images or ())]
    return content_of([*parts, {"type": "text", "text": text}])


async def chat(request: ApiRequest, body: ChatBody) -> Response:
    if not body.messages:
        return _loaded(request, body)
    given = body.messages

    def to_generation() -> GenerationRequest:
        offer = common.offer_of(common.declared(tool.function for tool in body.tools or ()))
        return _to_generation(request, body, messages=messages_of(given), offer=offer)

    return await _respond(request, body, await request.parse(to_generation))


async def complete(request: ApiRequest, body: GenerateBody) -> Response:
    if not body.prompt and not body.images and not body.suffix:
        return _loaded(request, body)
    raw = "suffix" if body.suffix else "raw" if body.raw else None
    if raw and (body.system is not None or body.images):
        name = "images" if body.system is None else "system"
        raise ApiError(400, f"{name} needs the chat template, which {raw} leaves out", name)
    if raw:
        generation = _to_generation(request, body, prompt=body.prompt or "", suffix=body.suffix or None)
    else:
        messages = [{"role": "system", "content": body.system}] if body.system else []
        content = _content(body.images, body.prompt or "", "images")
        generation = _to_generation(request, body, messages=[*messages, {"role": "user", "content": content}])
    return await _respond(request, body, generation)


def _head(ref: ModelRef) -> dict[str, Any]:
    return {"model": ref.name, "created_at": _time(time.time())}


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat().replace("+00:00", "Z")


def _loaded(request: ApiRequest, body: ChatBody | GenerateBody) -> Response:
    """The answer to a request without a prompt, by which Ollama loads a model."""
    ref = request.state.find(body.model)
    return JsonResponse({**_head(ref), **body.piece(), "done": True, "done_reason": "load"})


async def _respond(
    request: ApiRequest, body: ChatBody | GenerateBody, generation: GenerationRequest
) -> Response:
    answers = await generate(request.state, generation)
    if body.stream is not False:
        pieces = _stream(request, body, answers)
        return AnswerStream(
            pieces, NDJSON, on_error=lambda error: _line(ollama_error(error)), cancel=answers.cancel
        )
    await answers.collect()
    answer = answers.first
    piece = body.piece(answer.text, answer.thinking, _calls(answer)) if answer else body.piece()
    reply = {
        **_head(answers.ref),
        **piece,
        **_logprobs(body, answers, answer.choices if answer else ()),
        **_final_fields(request, answers),
    }
    return JsonResponse(reply, receipts=answers.receipts)


async def _stream(
    request: ApiRequest, body: ChatBody | GenerateBody, answers: Answers
) -> AsyncGenerator[bytes, None]:
    async with aclosing(answers.events()) as events:
        async for answer, delta in events:
            if delta is not None:
                texts = {"text": "", "thinking": ""}
                for kind, text in delta.texts:
                    texts[kind] += text
                logprobs = _logprobs(body, answers, delta.choices)
                if delta.texts or logprobs:
                    piece = body.piece(texts["text"], texts["thinking"])
                    yield _line({**_head(answers.ref), **piece, **logprobs, "done": False})
            elif answer.calls:
                yield _line({**_head(answers.ref), **body.piece(calls=_calls(answer)), "done": False})
    yield _line({**_head(answers.ref), **body.piece(), **_final_fields(request, answers)})


def _line(value: dict[str, Any]) -> bytes:
    return json_line(value) + b"\n"


def _calls(answer: Answer) -> list[dict[str, Any]]:
    return [{"function": {"name": one.name, "arguments": one.arguments}} for one in answer.calls]


def _logprobs(body: CommonBody, answers: Answers, choices: Sequence[Any]) -> dict[str, Any]:
    if not body.logprobs or not choices:
        return {}
    return {"logprobs": [logprob(answers.ref.model.core, one) for one in choices]}


def _final_fields(request: ApiRequest, answers: Answers) -> dict[str, Any]:
    """Durations are in nanoseconds; a batch has no separate ones for prompt and answer."""
    usage, answer = record_usage(request, answers), answers.first
    return {
        "done": True,
        "done_reason": answer.reason if answer else "stop",
        "total_duration": int((time.monotonic() - request.started) * 1e9),
        "load_duration": 0,
        "prompt_eval_count": usage.prompt,
        "prompt_eval_duration": 0,
        "eval_count": usage.answer,
        "eval_duration": int(answer.completion.seconds * 1e9) if answer else 0,
        "tinsmith": common.extra_fields(answers),
    }


class ShowBody(Body):
    model: Name
    verbose: bool | None = None


def _details(ref: ModelRef) -> dict[str, Any]:
    info = ref.model.info
    formats = sorted(info.formats, key=lambda name: info.formats[name], reverse=True)
    return {
        "parent_model": ref.served.name if ref.adapter else "",
        "format": ref.served.path.suffix.lstrip("."),
        "family": info.family,
        "families": [info.family],
        "parameter_size": f"{info.parameters / 1e6:.1f}M",
        "quantization_level": formats[0] if formats else "",
    }


async def tags(request: ApiRequest, _: Any) -> Response:
    models = [
        {
            "name": ref.name,
            "model": ref.name,
            "modified_at": _time(ref.served.created),
            "size": ref.model.info.bytes,
            "digest": ref.served.digest,
            "details": _details(ref),
        }
        for ref in request.state.refs.values()
    ]
    return JsonResponse({"models": models})


async def show(request: ApiRequest, body: ShowBody) -> Response:
    ref = request.state.find(body.model)
    info, skill = ref.model.info, ref.skill
    capabilities = ["completion", "embedding", *(["vision"] if ref.served.images else [])]
    if skill.can_chat:
        capabilities += ["tools", *(["thinking"] if skill.templates.thinking is not None else [])]
    return JsonResponse(
        {
            "modified_at": _time(ref.served.created),
            **dict.fromkeys(("template", "modelfile", "parameters"), ""),
            "details": _details(ref),
            "model_info": {
                "general.architecture": info.family,
                "general.parameter_count": info.parameters,
                f"{info.family}.context_length": ref.worker.context,
            },
            "capabilities": capabilities,
        }
    )


async def version(request: ApiRequest, _: Any) -> Response:
    return JsonResponse({"version": _core.VERSION})


ENDPOINTS = [
    Endpoint("POST", "/api/chat", "Answers a conversation", chat, ChatBody, stream=NDJSON),
    Endpoint("POST", "/api/generate", "Answers a prompt", complete, GenerateBody, stream=NDJSON),
    Endpoint("GET", "/api/tags", "Lists the models", tags),
    Endpoint("POST", "/api/show", "Describes a model", show, ShowBody),
    Endpoint("GET", "/api/version", "The server's version", version),
]
