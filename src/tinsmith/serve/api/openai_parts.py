"""What OpenAI's interfaces have in common: texts, tools, forms, and what answers say beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from tinsmith.runtime.offers import Choice, Offer
from tinsmith.serve.asking import Answers
from tinsmith.serve.faults import Refused
from tinsmith.serve.fields import Body, Metadata, Name, Ours
from tinsmith.serve.gathering import Gathered
from tinsmith.serve.question import Form

Detail = Literal["auto", "high"]  # a picture is seen in full


class Remarks(Body):
    """What chats and responses may say besides. user, metadata, safety_identifier, prompt_cache_key: change
    nothing, and are not kept."""

    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    metadata: Metadata | None = None
    tinsmith: Ours | None = None


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
    """strict: it is kept to its schema in any case."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(Body):
    type: Literal["function"]
    function: FunctionOf


class Plain(Body):
    type: Literal["text"]


class JsonObject(Body):
    type: Literal["json_object"]


class SchemaOf(Body):
    """strict: it is kept in any case."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    description: str | None = None
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None


class JsonSchema(Body):
    type: Literal["json_schema"]
    json_schema: SchemaOf


def text_of(content: Any) -> str:
    """Of a content that is a text, or parts of one."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(str(getattr(part, "text", "") or getattr(part, "refusal", "")) for part in content)


def form(given: Plain | JsonObject | JsonSchema | None, param: str) -> Form | None:
    if isinstance(given, JsonSchema):
        return Form(given.json_schema.schema_, param)
    return Form({"type": "object"}, param) if isinstance(given, JsonObject) else None


def declared(functions: Iterable[FunctionOf]) -> list[dict[str, Any]]:
    return [
        {"type": "function", "function": one.model_dump(exclude_none=True, exclude={"strict"})}
        for one in functions
    ]


def offer_of(
    declared: Sequence[dict[str, Any]],
    choice: Choice | None = None,
    parallel: bool | None = None,
    allowed: Sequence[str] | None = None,
) -> Offer | None:
    """declared: tools in the shape of chat's. The rest: as Offer. Raises Refused for a choice without tools."""
    if not declared:
        if choice not in (None, "none", "auto") or allowed:
            raise Refused(400, "tool_choice is given, and no tools are", "tool_choice")
        return None
    return Offer(declared, choice or "auto", parallel, allowed)


def answer_facts(answers: Answers, whole: Sequence[Gathered]) -> dict[str, Any]:
    """What is ours in an answer: the seed that it can be had again by, how sure the model was, its receipts,
    and the route that was taken."""
    facts: dict[str, Any] = {"seed": answers.seed}
    receipts = [one.ended.receipt for one in whole]
    if receipts:
        facts["receipt"] = receipts[0] if len(receipts) == 1 else receipts
    sure = [one.ended.completion.confident for one in whole if one.end]
    if sure and sure[0] is not None:
        facts["sure"] = sure[0] if len(sure) == 1 else sure
    if answers.route is not None:
        route = answers.route
        facts["route"] = {"task": route.task, "best": route.best, "probability": route.probability}
    return facts
