"""Anthropic's /v1/messages and /v1/messages/count_tokens."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.responses import Response

from tinsmith.runtime.calls import Choice, Offer
from tinsmith.serve.api import openai_common as common
from tinsmith.serve.endpoint import SSE, AnswerStream, ApiRequest, Endpoint, JsonResponse, sse_error, sse_events
from tinsmith.serve.errors import ApiError
from tinsmith.serve.fields import Body, Count, Name, NonEmpty, Rows, Share, Stops, TinsmithOptions, Tools, TopK
from tinsmith.serve.generate import Answer, Answers, Delta, generate, record_usage
from tinsmith.serve.prepare import GenerationRequest, OutputSchema, count_prompt_tokens, generation_request


class Cached(Body):
    """No effect: prompts are always cached."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class TextBlock(Body):
    type: Literal["text"]
    text: str
    cache_control: Cached | None = None
    citations: common.Empty | None = None


class ImageSource(Body):
    """data: base64; nothing is fetched, and no files are stored."""

    type: Literal["base64"]
    media_type: Literal["image/png", "image/jpeg"]
    data: str


class ImageBlock(Body):
    type: Literal["image"]
    source: ImageSource
    cache_control: Cached | None = None


class ThinkingBlock(Body):
    type: Literal["thinking"]
    thinking: str
    signature: str = ""


class ToolUseBlock(Body):
    type: Literal["tool_use"]
    id: str
    name: Name
    input: dict[str, Any]
    cache_control: Cached | None = None


class ToolResultBlock(Body):
    type: Literal["tool_result"]
    tool_use_id: str
    content: str | Rows[TextBlock] | None = None
    is_error: bool | None = None
    cache_control: Cached | None = None


class UserMessage(Body):
    role: Literal["user"]
    content: str | Rows[Annotated[TextBlock | ImageBlock | ToolResultBlock, Field(discriminator="type")]]


class AssistantMessage(Body):
    role: Literal["assistant"]
    content: str | Rows[Annotated[TextBlock | ToolUseBlock | ThinkingBlock, Field(discriminator="type")]]


Message = Annotated[UserMessage | AssistantMessage, Field(discriminator="role")]


class Tool(Body):
    """strict: always in effect."""

    type: Literal["custom"] | None = None
    name: Name
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None
    cache_control: Cached | None = None


class AnyChoice(Body):
    type: Literal["auto", "any"]
    disable_parallel_tool_use: bool | None = None


class NoChoice(Body):
    type: Literal["none"]


class OneChoice(Body):
    type: Literal["tool"]
    name: Name
    disable_parallel_tool_use: bool | None = None


class Thinking(Body):
    """budget_tokens: no effect; max_tokens limits thoughts and answer together."""

    type: Literal["enabled"]
    budget_tokens: Count


class NoThinking(Body):
    type: Literal["disabled", "adaptive"]


class SchemaFormat(Body):
    type: Literal["json_schema"]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(Body):
    format: SchemaFormat | None = None


class Metadata(Body):
    user_id: str | None = None


class CountBody(Body):
    model: Name
    messages: NonEmpty[Message]
    system: str | Rows[TextBlock] | None = None
    tools: Tools[Tool] | None = None
    tool_choice: Annotated[AnyChoice | NoChoice | OneChoice, Field(discriminator="type")] | None = None
    thinking: Annotated[Thinking | NoThinking, Field(discriminator="type")] | None = None
    output_config: OutputConfig | None = None


class MessagesBody(CountBody):
    """metadata: no effect, and not stored."""

    max_tokens: Count
    stop: Annotated[Stops | None, Field(alias="stop_sequences")] = None
    stream: bool | None = None
    temperature: Share | None = None
    top_p: Share | None = None
    top_k: TopK | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    tinsmith: TinsmithOptions | None = None


def messages_of(body: CountBody) -> list[dict[str, Any]]:
    """Messages for the runtime, where tool results are messages of their own."""
    messages: list[dict[str, Any]] = []
    if body.system:
        texts = body.system if isinstance(body.system, str) else "\n\n".join(one.text for one in body.system)
        messages.append({"role": "system", "content": texts})
    for number, message in enumerate(body.messages):
        blocks: Sequence[Any] = (
            [TextBlock(type="text", text=message.content)]
            if isinstance(message.content, str)
            else message.content
        )
        if message.role == "assistant":
            messages.append(_assistant(blocks))
        else:
            messages += _user(blocks, f"messages.{number}.content")
    if messages[-1]["role"] == "assistant":
        problem = "messages: the last is the assistant's, and prefilled answers are not supported"
        raise ApiError(400, problem, "messages")
    return messages


def _assistant(blocks: Sequence[Any]) -> dict[str, Any]:
    calls = [
        {"type": "function", "function": {"name": one.name, "arguments": one.input}}
        for one in blocks
        if isinstance(one, ToolUseBlock)
    ]
    thoughts = "".join(one.thinking for one in blocks if isinstance(one, ThinkingBlock))
    return {
        "role": "assistant",
        "content": "".join(one.text for one in blocks if isinstance(one, TextBlock)),
        **({"tool_calls": calls} if calls else {}),
        **({"reasoning_content": thoughts} if thoughts else {}),
    }


def _user(blocks: Sequence[Any], path: str) -> list[dict[str, Any]]:
    messages, parts = [], []
    for k, block in enumerate(blocks):
        if isinstance(block, TextBlock):
            parts.append({"type": "text", "text": block.text})
        elif isinstance(block, ImageBlock):
            parts.append(common.base64_image(block.source.data, f"{path}.{k}.source.data"))
        else:
            text = common.text_of(block.content)
            messages.append({"role": "tool", "content": f"Error: {text}" if block.is_error else text})
    content = common.content_of(parts)
    return [*messages, {"role": "user", "content": content}] if content or not messages else messages


def _offer(body: CountBody) -> Offer | None:
    tools: list[dict[str, Any]] = []
    for tool in body.tools or ():
        described = {"description": tool.description} if tool.description else {}
        function = {"name": tool.name, **described, "parameters": tool.input_schema}
        tools.append({"type": "function", "function": function})
    choice = body.tool_choice
    single = getattr(choice, "disable_parallel_tool_use", None)
    parallel = None if single is None else not single
    if isinstance(choice, OneChoice):
        return common.offer_of(tools, "required", parallel, [choice.name])
    names: dict[str, Choice] = {"auto": "auto", "any": "required", "none": "none"}
    return common.offer_of(tools, names[choice.type] if choice else None, parallel)


def _to_generation(request: ApiRequest, body: CountBody, **more: Any) -> GenerationRequest:
    config, thinking = body.output_config, body.thinking
    return generation_request(
        request,
        body,
        messages=messages_of(body),
        thinking=None if thinking is None or thinking.type == "adaptive" else thinking.type == "enabled",
        offer=_offer(body),
        schema=OutputSchema(config.format.schema_, "output_config") if config and config.format else None,
        **more,
    )


async def create(request: ApiRequest, body: MessagesBody) -> Response:
    most = request.state.limits.check_tokens(body.max_tokens)
    generation = await request.parse(lambda: _to_generation(request, body, max_tokens=most))
    answers = await generate(request.state, generation)
    head: dict[str, Any] = {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": answers.ref.name,
    }
    if body.stream:
        pieces = sse_events(_events(request, answers, head))
        return AnswerStream(pieces, SSE, on_error=sse_error(request), cancel=answers.cancel)
    await answers.collect()
    answer = answers.first
    reply = {
        **head,
        "content": _content(answer) if answer else [],
        **_stop_fields(answer),
        "usage": _usage(request, answers),
        "tinsmith": common.extra_fields(answers),
    }
    return JsonResponse(reply, receipts=answers.receipts)


async def count_tokens(request: ApiRequest, body: CountBody) -> Response:
    generation = await request.parse(lambda: _to_generation(request, body))
    return JsonResponse({"input_tokens": await count_prompt_tokens(request.state, generation)})


def _content(answer: Answer) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if answer.thinking:
        blocks.append({"type": "thinking", "thinking": answer.thinking, "signature": ""})
    if answer.text or not answer.calls:
        blocks.append({"type": "text", "text": answer.text, "citations": None})
    return blocks + [_tool_use(call.name, call.arguments) for call in answer.calls]


def _tool_use(name: str, given: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{secrets.token_hex(12)}", "name": name, "input": given}


def _stop_fields(answer: Answer | None) -> dict[str, Any]:
    """answer: None where the router chose no adapter."""
    if answer is None:
        return {"stop_reason": "refusal", "stop_sequence": None}
    reasons = {"stop": "end_turn", "context": "model_context_window_exceeded"}
    reason = "stop_sequence" if answer.stop is not None else reasons.get(answer.finish, "max_tokens")
    return {"stop_reason": "tool_use" if answer.calls else reason, "stop_sequence": answer.stop}


def _usage(request: ApiRequest, answers: Answers) -> dict[str, Any]:
    """Anthropic's input tokens exclude cached ones."""
    usage = record_usage(request, answers)
    return {
        "input_tokens": usage.prompt - usage.cached,
        "output_tokens": usage.answer,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
    }


class _Blocks:
    """The content blocks of a stream. Each text or thinking delta goes to the open block of its kind."""

    def __init__(self) -> None:
        self._index, self.kind = -1, ""

    def open(self, kind: str, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from self.close()
        self._index, self.kind = self._index + 1, kind
        yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def text(self, kind: str) -> Iterator[dict[str, Any]]:
        if kind != self.kind:
            signature = {"signature": ""} if kind == "thinking" else {}
            yield from self.open(kind, {"type": kind, kind: "", **signature})

    def delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def close(self) -> Iterator[dict[str, Any]]:
        if self.kind:
            yield {"type": "content_block_stop", "index": self._index}

    def add(self, event: Delta) -> Iterator[dict[str, Any]]:
        for kind, text in event.texts:
            yield from self.text(kind)
            yield self.delta({"type": f"{kind}_delta", kind: text})
        for call in event.calls:
            if call.name is not None:
                yield from self.open("tool_use", _tool_use(call.name, {}))
            yield self.delta({"type": "input_json_delta", "partial_json": call.arguments})


async def _events(
    request: ApiRequest, answers: Answers, head: dict[str, Any]
) -> AsyncGenerator[dict[str, Any], None]:
    answer, blocks = answers.first, _Blocks()
    usage = {"input_tokens": answer.prompt_tokens if answer else 0, "output_tokens": 0}
    message = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    yield {"type": "message_start", "message": message}
    async with aclosing(answers.events()) as events:
        async for _, delta in events:
            for event in blocks.add(delta) if delta else ():
                yield event
    if answer and blocks.kind != "tool_use":  # an answer without calls has a text
        for event in blocks.text("text"):
            yield event
    for event in blocks.close():
        yield event
    yield {
        "type": "message_delta",
        "delta": _stop_fields(answer),
        "usage": _usage(request, answers),
        "tinsmith": common.extra_fields(answers),
    }
    yield {"type": "message_stop"}


ENDPOINTS = [
    Endpoint("POST", "/v1/messages", "Answers a conversation", create, MessagesBody, stream=SSE),
    Endpoint("POST", "/v1/messages/count_tokens", "Counts a conversation's tokens", count_tokens, CountBody),
]
