"""OpenAI's /v1/responses, without storage."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag
from starlette.responses import Response

from tinsmith.chat.roles import normalized
from tinsmith.runtime.calls import Choice, Offer
from tinsmith.serve import fields
from tinsmith.serve.api import openai_common as common
from tinsmith.serve.api.responses_events import ResponseEvents
from tinsmith.serve.endpoint import DONE, SSE, AnswerStream, ApiRequest, Endpoint, JsonResponse, sse, sse_events
from tinsmith.serve.errors import ApiError
from tinsmith.serve.fields import Body, Name, NonEmpty, Rows, Tools
from tinsmith.serve.generate import generate
from tinsmith.serve.prepare import GenerationRequest, generation_request

Status = Literal["in_progress", "completed", "incomplete"]


class OutputItem(Body):
    """An item with the fields that it has in a response."""

    id: str | None = None
    status: Status | None = None


class InputText(Body):
    type: Literal["input_text"]
    text: str


class InputImage(Body):
    """image_url: data:image/png;base64,… or a JPEG's; nothing is fetched. file_id: not supported."""

    type: Literal["input_image"]
    image_url: str | None = None
    detail: common.Detail | None = None
    file_id: None = None


class OutputText(Body):
    type: Literal["output_text"]
    text: str
    annotations: common.Empty | None = None
    logprobs: Rows[Any] | None = None


Part = InputText | InputImage | OutputText | common.RefusalPart


class Message(OutputItem):
    """phase: no effect."""

    type: Literal["message"] = "message"
    role: Literal["user", "system", "developer", "assistant"]
    content: str | Rows[Annotated[Part, Field(discriminator="type")]]
    phase: Literal["commentary", "final_answer"] | None = None


class FunctionCall(OutputItem):
    type: Literal["function_call"]
    call_id: str
    name: Name
    arguments: str


class FunctionCallOutput(OutputItem):
    type: Literal["function_call_output"]
    call_id: str
    output: str | Rows[InputText]


class ReasoningText(Body):
    type: Literal["reasoning_text"]
    text: str


class ReasoningItem(OutputItem):
    type: Literal["reasoning"]
    summary: common.Empty | None = None
    content: Rows[ReasoningText] | None = None
    encrypted_content: None = None


def _kind(given: Any) -> str:
    kind = given.get("type") if isinstance(given, dict) else getattr(given, "type", None)
    return "message" if kind is None else str(kind)


Item = Annotated[
    Annotated[Message, Tag("message")]
    | Annotated[FunctionCall, Tag("function_call")]
    | Annotated[FunctionCallOutput, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")],
    Discriminator(_kind),
]


class Function(common.FunctionOf):
    type: Literal["function"]


class NamedChoice(Body):
    type: Literal["function"]
    name: Name


class AllowedTools(Body):
    """The tools that the model may call, of those in the prompt."""

    type: Literal["allowed_tools"]
    tools: Annotated[Tools[NamedChoice], Field(min_length=1)]
    mode: Choice = "auto"


class SchemaFormat(common.SchemaOf):
    type: Literal["json_schema"]


class Text(Body):
    format: (
        Annotated[common.PlainText | common.JsonObject | SchemaFormat, Field(discriminator="type")] | None
    ) = None
    verbosity: Literal["medium"] | None = None


class Reasoning(Body):
    effort: fields.Effort | None = None
    summary: None = None


class StreamOptions(Body):
    include_obfuscation: Literal[False] | None = None


class ResponsesBody(common.CommonFields):
    model: Name
    input: str | NonEmpty[Item]
    instructions: str | None = None
    max_output_tokens: fields.Count | None = None
    temperature: fields.Temperature | None = None
    top_p: fields.Share | None = None
    presence_penalty: fields.Penalty | None = None
    frequency_penalty: fields.Penalty | None = None
    top_logprobs: fields.TopCount | None = None
    include: Rows[Literal["message.output_text.logprobs"]] | None = None
    tools: Tools[Function] | None = None
    tool_choice: Choice | NamedChoice | AllowedTools | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: None = None
    previous_response_id: None = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    background: Literal[False] | None = None
    truncation: Literal["disabled"] | None = None

    @property
    def with_logprobs(self) -> bool:
        return bool(self.include) or self.top_logprobs is not None


def messages_of(body: ResponsesBody) -> list[dict[str, Any]]:
    """Messages for the runtime, where adjacent calls and thoughts of the assistant are one message."""
    messages: list[dict[str, Any]] = []
    if body.instructions:
        messages.append({"role": "system", "content": body.instructions})
    if isinstance(body.input, str):
        return [*messages, {"role": "user", "content": body.input}]
    for number, item in enumerate(body.input):
        if isinstance(item, FunctionCallOutput):
            output = common.text_of(item.output)
            messages.append({"role": "tool", "content": output, "tool_call_id": item.call_id})
        elif isinstance(item, Message) and item.role != "assistant":
            messages.append({"role": item.role, "content": _content(item, number)})
        else:
            if not messages or messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": []})
            _add(messages[-1], item, number)
    for message in messages:
        for key in ("content", "reasoning_content") if message["role"] == "assistant" else ():
            if key in message:
                message[key] = "".join(message[key])
    return normalized(messages)


def _content(item: Message, number: int) -> str | list[dict[str, Any]]:
    if isinstance(item.content, str):
        return item.content
    parts = []
    for k, part in enumerate(item.content):
        path = f"input.{number}.content.{k}"
        if not isinstance(part, InputImage):
            parts.append({"type": "text", "text": common.text_of([part])})
        elif item.role != "user":
            raise ApiError(400, f"{path}: only a user's message may have images", path)
        else:
            parts.append(common.image_part(part.image_url or "", f"{path}.image_url"))
    return common.content_of(parts)


def _add(message: dict[str, Any], item: Message | FunctionCall | ReasoningItem, number: int) -> None:
    """Adds an item to the assistant's message, whose texts are lists until they are joined."""
    if isinstance(item, Message):
        message["content"].append(_content(item, number))
    elif isinstance(item, FunctionCall):
        function = {"name": item.name, "arguments": item.arguments}
        message.setdefault("tool_calls", []).append({"type": "function", "function": function})
    elif item.content:
        message.setdefault("reasoning_content", []).extend(part.text for part in item.content)


def _offer(body: ResponsesBody) -> Offer | None:
    tools = common.declared(body.tools or ())
    choice, parallel = body.tool_choice, body.parallel_tool_calls
    if isinstance(choice, AllowedTools):
        return common.offer_of(tools, choice.mode, parallel, [one.name for one in choice.tools])
    if isinstance(choice, NamedChoice):
        return common.offer_of(tools, "required", parallel, [choice.name])
    return common.offer_of(tools, choice, parallel)


def _to_generation(request: ApiRequest, body: ResponsesBody) -> GenerationRequest:
    return generation_request(
        request,
        body,
        messages=messages_of(body),
        thinking=fields.thinking(body.reasoning.effort if body.reasoning else None, None),
        offer=_offer(body),
        schema=common.output_schema(body.text.format if body.text else None, "text.format"),
        max_tokens=request.state.limits.check_tokens(body.max_output_tokens, "max_output_tokens"),
        tops=body.top_logprobs or 0,
        record=body.with_logprobs,
    )


async def respond(request: ApiRequest, body: ResponsesBody) -> Response:
    answers = await generate(request.state, await request.parse(lambda: _to_generation(request, body)))
    events = ResponseEvents(request, answers, _head(body), body.with_logprobs)
    if body.stream:
        return AnswerStream(
            sse_events(events.all(), DONE),
            SSE,
            on_error=lambda error: b"".join(map(sse, events.failed(error))) + DONE,
            cancel=answers.cancel,
        )
    last: dict[str, Any] = {}
    async for event in events.all():
        last = event
    receipt = last["response"]["tinsmith"].get("receipt")
    return JsonResponse(last["response"], receipts=[receipt] if receipt else ())


def _head(body: ResponsesBody) -> dict[str, Any]:
    """The request's fields with their defaults, for the response."""
    tools = [tool.model_dump() for tool in body.tools or ()]
    choice, form = body.tool_choice, body.text.format if body.text else None
    text = form.model_dump(by_alias=True) if form else {"type": "text"}
    for one in (*tools, *([text] if isinstance(form, SchemaFormat) else ())):
        one["strict"] = True if one["strict"] is None else one["strict"]
    repeated = ("instructions", "max_output_tokens", "user", "safety_identifier", "prompt_cache_key")
    return {
        **{name: getattr(body, name) for name in repeated},
        "max_tool_calls": None,
        "metadata": body.metadata or {},
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": body.reasoning.effort if body.reasoning else None, "summary": None},
        "store": False,
        "temperature": body.temperature or 0.0,
        "text": {"format": text, "verbosity": "medium"},
        "presence_penalty": body.presence_penalty or 0.0,
        "frequency_penalty": body.frequency_penalty or 0.0,
        "tool_choice": choice.model_dump() if isinstance(choice, Body) else choice or "auto",
        "tools": tools,
        "top_logprobs": body.top_logprobs or 0,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "truncation": "disabled",
        "background": False,
        "service_tier": "default",
    }


ENDPOINTS = [Endpoint("POST", "/v1/responses", "Answers a conversation", respond, ResponsesBody, stream=SSE)]
