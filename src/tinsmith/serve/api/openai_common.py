"""Shared by OpenAI's interfaces: parts of bodies, tools, output schemas, replies, and our additions to them."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal

from pydantic import Field

from tinsmith.runtime.calls import Choice, Offer
from tinsmith.serve.endpoint import DONE, SSE, AnswerStream, ApiRequest, JsonResponse, sse, sse_error
from tinsmith.serve.errors import ApiError
from tinsmith.serve.fields import Body, Count, Metadata, Name, SamplingFields, Seed, Stop, TinsmithOptions
from tinsmith.serve.generate import Answer, Answers, record_usage
from tinsmith.serve.prepare import OutputSchema

Empty = Annotated[list[Any], Field(max_length=0)]
Detail = Literal["auto", "high"]  # images are always encoded in full


class CommonFields(Body):
    """user, metadata, safety_identifier, prompt_cache_key: no effect, and not stored."""

    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    metadata: Metadata | None = None
    tinsmith: TinsmithOptions | None = None


class StreamOptions(Body):
    include_usage: bool = False


class AnswerFields(SamplingFields):
    """Of a chat and of a completion."""

    model: Name
    max_tokens: Count | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    seed: Seed | None = None
    stop: Stop | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    tinsmith: TinsmithOptions | None = None


class TextPart(Body):
    type: Literal["text"]
    text: str


class RefusalPart(Body):
    type: Literal["refusal"]
    refusal: str


class ImageUrl(Body):
    """url: data:image/png;base64,… or a JPEG's; nothing is fetched."""

    url: str
    detail: Detail | None = None


class ImagePart(Body):
    type: Literal["image_url"]
    image_url: ImageUrl


class FunctionOf(Body):
    """strict: always in effect."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(Body):
    type: Literal["function"]
    function: FunctionOf


class PlainText(Body):
    type: Literal["text"]


class JsonObject(Body):
    type: Literal["json_object"]


class SchemaOf(Body):
    """strict: always in effect."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    description: str | None = None
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None


class JsonSchema(Body):
    type: Literal["json_schema"]
    json_schema: SchemaOf


def text_of(content: Any) -> str:
    """The text of a content that may be a text, or text parts."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(str(getattr(part, "text", "") or getattr(part, "refusal", "")) for part in content)


def image_part(url: str, param: str) -> dict[str, Any]:
    """An image in a message's content for the runtime. param: the request's field."""
    return {"type": "image_url", "image_url": url, "where": param}


def base64_image(data: str, param: str) -> dict[str, Any]:
    """As image_part, for a PNG or JPEG in base64."""
    return image_part(f"data:;base64,{data}", param)


def content_of(parts: Sequence[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """A message's content for the runtime: a text, or a list of parts with images."""
    if any(part["type"] != "text" for part in parts):
        return list(parts)
    return "".join(part["text"] for part in parts)


def image_content(parts: Sequence[TextPart | ImagePart], path: str) -> str | list[dict[str, Any]]:
    """A user message's content for the runtime."""
    return content_of(
        [
            {"type": "text", "text": part.text}
            if isinstance(part, TextPart)
            else image_part(part.image_url.url, f"{path}.{k}.image_url.url")
            for k, part in enumerate(parts)
        ]
    )


def output_schema(
    form: PlainText | JsonObject | JsonSchema | SchemaOf | None, param: str = "response_format"
) -> OutputSchema | None:
    if isinstance(form, JsonObject):
        return OutputSchema({"type": "object"}, param)
    described = form.json_schema if isinstance(form, JsonSchema) else form
    return OutputSchema(described.schema_, param) if isinstance(described, SchemaOf) else None


def declared(functions: Iterable[FunctionOf]) -> list[dict[str, Any]]:
    """Tools in the form of OpenAI's chat."""
    return [
        {
            "type": "function",
            "function": one.model_dump(exclude_none=True, include={"name", "description", "parameters"}),
        }
        for one in functions
    ]


def offer_of(
    tools: Sequence[dict[str, Any]],
    choice: Choice | None = None,
    parallel: bool | None = None,
    allowed: Sequence[str] | None = None,
) -> Offer | None:
    """tools: in the form of OpenAI's chat."""
    if not tools and (choice not in (None, "none", "auto") or allowed):
        raise ApiError(400, "tool_choice without tools; give tools", "tool_choice")
    if not tools or choice == "none":
        return None
    return Offer(tools, choice or "auto", parallel, allowed)


def extra_fields(answers: Answers, ended: Answer | None = None) -> dict[str, Any]:
    """The `tinsmith` field of a reply, or of one answer in it: seed, receipts, confidence, route."""
    fields: dict[str, Any] = {"seed": answers.seed}
    described = answers.all if ended is None else [ended]
    receipts = [one.receipt for one in described]
    confident = [one.completion.confident for one in described]
    for name, values in (("receipt", receipts), ("confident", confident)):
        if values and values[0] is not None:
            fields[name] = values[0] if len(values) == 1 else values
    if (route := answers.route) is not None:
        fields["route"] = {"task": route.task, "best": route.best, "probability": route.probability}
    return fields


def _head(answers: Answers, prefix: str, kind: str) -> dict[str, Any]:
    return {
        "id": f"{prefix}-{secrets.token_hex(12)}",
        "object": kind,
        "created": int(time.time()),
        "model": answers.ref.name,
        "system_fingerprint": answers.ref.served.digest[:16],
    }


def reply(
    request: ApiRequest, answers: Answers, prefix: str, kind: str, choices: list[dict[str, Any]]
) -> JsonResponse:
    content = {
        **_head(answers, prefix, kind),
        "choices": choices,
        "usage": record_usage(request, answers).openai,
        "tinsmith": extra_fields(answers),
    }
    return JsonResponse(content, receipts=answers.receipts)


def stream(
    request: ApiRequest,
    answers: Answers,
    prefix: str,
    kind: str,
    choices: AsyncGenerator[dict[str, Any], None],
    options: StreamOptions | None,
) -> AnswerStream:
    async def chunks() -> AsyncGenerator[bytes, None]:
        head, with_usage = _head(answers, prefix, kind), options is not None and options.include_usage
        no_usage = {"usage": None} if with_usage else {}
        async with aclosing(choices):
            async for choice in choices:
                yield sse({**head, "choices": [choice], **no_usage})
        usage = record_usage(request, answers).openai
        if with_usage:
            yield sse({**head, "choices": [], "usage": usage})
        yield DONE

    return AnswerStream(chunks(), SSE, on_error=sse_error(request), cancel=answers.cancel)
