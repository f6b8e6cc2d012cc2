"""What OpenAI's /v1/chat/completions is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from tinsmith.chat.roles import settled
from tinsmith.runtime.offers import Choice, Offer
from tinsmith.serve.api.openai_parts import (
    FunctionTool,
    ImagePart,
    JsonObject,
    JsonSchema,
    Plain,
    Remarks,
    TextPart,
    declared,
    offer_of,
    text_of,
)
from tinsmith.serve.fields import Body, Count, Drawing, Effort, Name, Rows, Seed, Some, Stop, Tools, Tops
from tinsmith.serve.pictures import content_of, of_url


class Function(Body):
    name: Name
    arguments: str


class ToolCall(Body):
    id: str
    type: Literal["function"] = "function"
    function: Function
    index: int | None = None


class RefusalPart(Body):
    type: Literal["refusal"]
    refusal: str


Texts = str | Rows[TextPart]


class System(Body):
    role: Literal["system", "developer"]
    content: Texts


class User(Body):
    role: Literal["user"]
    content: str | Rows[Annotated[TextPart | ImagePart, Field(discriminator="type")]]


class Assistant(Body):
    """annotations, audio, function_call: as answers of OpenAI's have them, and empty."""

    role: Literal["assistant"]
    content: str | Rows[TextPart | RefusalPart] | None = None
    tool_calls: Rows[ToolCall] | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    audio: None = None
    function_call: None = None


class Tool(Body):
    role: Literal["tool"]
    content: Texts
    tool_call_id: str
    name: str | None = None


Message = Annotated[System | User | Assistant | Tool, Field(discriminator="role")]


class NamedFunction(Body):
    name: Name


class NamedChoice(Body):
    type: Literal["function"]
    function: NamedFunction


class AllowedNames(Body):
    mode: Literal["auto", "required"]
    tools: Annotated[Tools[NamedChoice], Field(min_length=1)]


class AllowedTools(Body):
    """Of the tools that the model is told of, those that it may call."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedNames


class StreamOptions(Body):
    include_usage: bool = False


class TemplateSwitch(Body):
    enable_thinking: bool | None = None


class ChatBody(Drawing, Remarks):
    model: Name
    messages: Some[Message]
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    seed: Seed | None = None
    stop: Stop | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: Tops | None = None
    tools: Tools[FunctionTool] | None = None
    tool_choice: Choice | NamedChoice | AllowedTools | None = None
    parallel_tool_calls: bool | None = None
    response_format: Annotated[Plain | JsonObject | JsonSchema, Field(discriminator="type")] | None = None
    reasoning_effort: Effort | None = None
    chat_template_kwargs: TemplateSwitch | None = None
    modalities: Rows[Literal["text"]] | None = None


def messages_of(given: Sequence[Any]) -> list[dict[str, Any]]:
    """As the runtime takes them."""
    messages = []
    for number, one in enumerate(given):
        role = one.role
        seen = role == "user" and not isinstance(one.content, str)
        content = _seen(one.content, number) if seen else text_of(one.content)
        message: dict[str, Any] = {"role": role, "content": content}
        if role == "assistant":
            message["content"] = message["content"] or one.refusal or ""
            if one.tool_calls:
                message["tool_calls"] = [call.model_dump(exclude={"index"}) for call in one.tool_calls]
            if one.reasoning_content is not None:
                message["reasoning_content"] = one.reasoning_content
        messages.append(message)
    return settled(messages)


def _seen(parts: Sequence[TextPart | ImagePart], number: int) -> str | list[dict[str, Any]]:
    where = f"messages.{number}.content"
    return content_of(
        [
            {"type": "text", "text": part.text}
            if isinstance(part, TextPart)
            else of_url(part.image_url.url, f"{where}.{k}.image_url.url").part
            for k, part in enumerate(parts)
        ]
    )


def offer_in(body: ChatBody) -> Offer | None:
    tools = declared(tool.function for tool in body.tools or ())
    choice, parallel = body.tool_choice, body.parallel_tool_calls
    if isinstance(choice, AllowedTools):
        names = [one.function.name for one in choice.allowed_tools.tools]
        return offer_of(tools, choice.allowed_tools.mode, parallel, names)
    if isinstance(choice, NamedChoice):
        return offer_of(tools, "required", parallel, [choice.function.name])
    return offer_of(tools, choice, parallel)
