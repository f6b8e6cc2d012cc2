"""What OpenAI's interfaces share: parts of bodies, tools, output schemas, and our additions to answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from tinsmith.runtime.offers import Choice, Offer
from tinsmith.serve.errors import ApiError
from tinsmith.serve.fields import Body, Metadata, Name, TinsmithOptions
from tinsmith.serve.generate import Answer, Answers
from tinsmith.serve.images import content_of, image_of_url
from tinsmith.serve.prepare import OutputSchema

Detail = Literal["auto", "high"]  # images are always encoded in full
USAGE = {
    "prompt_tokens": int,
    "completion_tokens": int,
    "total_tokens": int,
    "prompt_tokens_details": {"cached_tokens": int},
    "completion_tokens_details": {"reasoning_tokens": int},
}


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


class TextPart(Body):
    type: Literal["text"]
    text: str


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


def image_content(parts: Sequence[TextPart | ImagePart], path: str) -> str | list[dict[str, Any]]:
    """A user message's content for the runtime."""
    return content_of(
        [
            {"type": "text", "text": part.text}
            if isinstance(part, TextPart)
            else image_of_url(part.image_url.url, f"{path}.{k}.image_url.url").part
            for k, part in enumerate(parts)
        ]
    )


def output_schema(form: PlainText | JsonObject | JsonSchema | None) -> OutputSchema | None:
    if isinstance(form, JsonSchema):
        return OutputSchema(form.json_schema.schema_)
    return OutputSchema({"type": "object"}) if isinstance(form, JsonObject) else None


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
    if not tools:
        if choice not in (None, "none", "auto") or allowed:
            raise ApiError(400, "tool_choice without tools; give tools", "tool_choice")
        return None
    return Offer(tools, choice or "auto", parallel, allowed)


def stop_texts(stop: str | Sequence[str] | None) -> Sequence[str]:
    return [stop] if isinstance(stop, str) else stop or ()


def seed_of(seed: int | None) -> int | None:
    """As an unsigned 64-bit number."""
    return None if seed is None else seed % (1 << 64)


def receipts_of(answers: Sequence[Answer]) -> list[str]:
    return [one.ended.receipt for one in answers if one.ended]


def extra_fields(answers: Answers, collected: Sequence[Answer]) -> dict[str, Any]:
    """The `tinsmith` field of answers: seed, receipts, confidence, route."""
    fields: dict[str, Any] = {"seed": answers.seed}
    confident = [one.end.completion.confident for one in collected if one.ended]
    for name, values in (("receipt", receipts_of(collected)), ("confident", confident)):
        if values and values[0] is not None:
            fields[name] = values[0] if len(values) == 1 else values
    if (route := answers.route) is not None:
        fields["route"] = {"task": route.task, "best": route.best, "probability": route.probability}
    return fields
