"""What OpenAI's /v1/responses is asked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from tinsmith.chat.roles import settled
from tinsmith.runtime.offers import Choice, Offer
from tinsmith.serve.api.openai_parts import (
    Detail,
    FunctionOf,
    JsonObject,
    Plain,
    Remarks,
    SchemaOf,
    offer_of,
    text_of,
)
from tinsmith.serve.faults import Refused
from tinsmith.serve.fields import (
    Body,
    Count,
    Effort,
    Name,
    Penalty,
    Rows,
    Share,
    Some,
    Temperature,
    Tools,
    Tops,
)
from tinsmith.serve.pictures import content_of, of_url
from tinsmith.serve.question import Form

Status = Literal["in_progress", "completed", "incomplete"]


class InputText(Body):
    type: Literal["input_text"]
    text: str


class InputImage(Body):
    """image_url: data:image/png;base64,… or a JPEG's; nothing is fetched. file_id: is refused, for no files are
    kept."""

    type: Literal["input_image"]
    image_url: str | None = None
    detail: Detail | None = None
    file_id: str | None = None


class OutputText(Body):
    type: Literal["output_text"]
    text: str
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    logprobs: Rows[Any] | None = None


class RefusalText(Body):
    type: Literal["refusal"]
    refusal: str


class Said(Body):
    """A message. phase: changes nothing; templates have no word for it."""

    type: Literal["message"] = "message"
    role: Literal["user", "system", "developer", "assistant"]
    content: (
        str | Rows[Annotated[InputText | InputImage | OutputText | RefusalText, Field(discriminator="type")]]
    )
    phase: Literal["commentary", "final_answer"] | None = None
    id: str | None = None
    status: Status | None = None


class Called(Body):
    type: Literal["function_call"]
    call_id: str
    name: Name
    arguments: str
    id: str | None = None
    status: Status | None = None


class Returned(Body):
    type: Literal["function_call_output"]
    call_id: str
    output: str | Rows[InputText]
    id: str | None = None
    status: Status | None = None


class ReasoningText(Body):
    type: Literal["reasoning_text"]
    text: str


class Thought(Body):
    type: Literal["reasoning"]
    summary: Annotated[list[Any], Field(max_length=0)] | None = None
    content: Rows[ReasoningText] | None = None
    encrypted_content: None = None
    id: str | None = None
    status: Status | None = None


def _kind(given: Any) -> str:
    kind = given.get("type") if isinstance(given, dict) else getattr(given, "type", None)
    return "message" if kind is None else str(kind)


Item = Annotated[
    Annotated[Said, Tag("message")]
    | Annotated[Called, Tag("function_call")]
    | Annotated[Returned, Tag("function_call_output")]
    | Annotated[Thought, Tag("reasoning")],
    Discriminator(_kind),
]


class Function(FunctionOf):
    type: Literal["function"]


class Chosen(Body):
    type: Literal["function"]
    name: Name


class Allowed(Body):
    """Of the tools that the model is told of, those that it may call."""

    type: Literal["allowed_tools"]
    tools: Annotated[Tools[Chosen], Field(min_length=1)]
    mode: Choice = "auto"


class SchemaFormat(SchemaOf):
    type: Literal["json_schema"]


class Text(Body):
    format: Annotated[Plain | JsonObject | SchemaFormat, Field(discriminator="type")] | None = None
    verbosity: Literal["medium"] | None = None


class Reasoning(Body):
    effort: Effort | None = None
    summary: None = None


class StreamOptions(Body):
    include_obfuscation: Literal[False] | None = None


class ResponsesBody(Remarks):
    model: Name
    input: str | Some[Item]
    instructions: str | None = None
    max_output_tokens: Count | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    top_logprobs: Tops | None = None
    include: Rows[Literal["message.output_text.logprobs"]] | None = None
    tools: Tools[Function] | None = None
    tool_choice: Choice | Chosen | Allowed | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: None = None
    previous_response_id: None = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    background: Literal[False] | None = None
    truncation: Literal["disabled"] | None = None


_TEXTS = ("content", "reasoning_content")


def messages_of(body: ResponsesBody) -> list[dict[str, Any]]:
    """Calls and thoughts that follow one another are one message of the assistant's."""
    messages: list[dict[str, Any]] = []
    if body.instructions:
        messages.append({"role": "system", "content": body.instructions})
    if isinstance(body.input, str):
        return [*messages, {"role": "user", "content": body.input}]
    for number, item in enumerate(body.input):
        if isinstance(item, Returned):
            messages.append({"role": "tool", "content": text_of(item.output), "tool_call_id": item.call_id})
        elif isinstance(item, Said) and item.role != "assistant":
            messages.append({"role": item.role, "content": _content(item, number)})
        else:
            _add(_assistants(messages), item, number)
    for message in messages:
        if message["role"] == "assistant":
            message.update({key: "".join(message[key]) for key in _TEXTS if key in message})
    return settled(messages)


def _content(item: Said, number: int) -> str | list[dict[str, Any]]:
    if isinstance(item.content, str):
        return item.content
    parts = []
    for k, part in enumerate(item.content):
        if not isinstance(part, InputImage):
            parts.append({"type": "text", "text": text_of([part])})
            continue
        where = f"input.{number}.content.{k}"
        if item.role != "user":
            raise Refused(400, f"{where}: only a user's message has pictures", where)
        if part.file_id is not None:
            where += ".file_id"
            raise Refused(400, f"{where}: no files are kept; give the picture itself as image_url", where)
        parts.append(of_url(part.image_url or "", f"{where}.image_url").part)
    return content_of(parts)


def _assistants(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The assistant's message that is not over, whose texts are lists until it is."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": []})
    return messages[-1]


def _add(message: dict[str, Any], item: Said | Called | Thought, number: int) -> None:
    if isinstance(item, Said):
        message["content"].append(_content(item, number))
    elif isinstance(item, Called):
        call = {"type": "function", "function": {"name": item.name, "arguments": item.arguments}}
        message.setdefault("tool_calls", []).append(call)
    elif item.content:
        message.setdefault("reasoning_content", []).extend(part.text for part in item.content)


def form_in(body: ResponsesBody) -> Form | None:
    given = body.text.format if body.text else None
    if isinstance(given, SchemaFormat):
        return Form(given.schema_, "text.format")
    return Form({"type": "object"}, "text.format") if isinstance(given, JsonObject) else None


def offer_in(body: ResponsesBody) -> Offer | None:
    declared = [
        {"type": "function", "function": tool.model_dump(exclude_none=True, exclude={"strict", "type"})}
        for tool in body.tools or ()
    ]
    choice, parallel = body.tool_choice, body.parallel_tool_calls
    if isinstance(choice, Allowed):
        return offer_of(declared, choice.mode, parallel, [one.name for one in choice.tools])
    if isinstance(choice, Chosen):
        return offer_of(declared, "required", parallel, [choice.name])
    return offer_of(declared, choice, parallel)
