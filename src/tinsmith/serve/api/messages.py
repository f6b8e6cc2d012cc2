"""Anthropic's /v1/messages, and how many tokens one has."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from tinsmith.runtime.offers import Choice, Offer
from tinsmith.serve.api.messages_stream import CONTENT, events, said, stop_reason, usage_of
from tinsmith.serve.api.openai_parts import answer_facts, offer_of, text_of
from tinsmith.serve.asking import ask
from tinsmith.serve.endpoint import RECEIPT, SSE, Call, Endpoint, Json, Stream, failed_sse, like, sse_events
from tinsmith.serve.faults import Refused
from tinsmith.serve.fields import Body, Count, Name, Ours, Rows, Share, Some, Stops, Tools, TopK
from tinsmith.serve.gathering import gather
from tinsmith.serve.pictures import Sent, content_of
from tinsmith.serve.posing import counted_prompt
from tinsmith.serve.question import Form, Question
from tinsmith.serve.sampling import sampling


class Cached(Body):
    """A hint that changes nothing: prompts are always cached."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class TextBlock(Body):
    type: Literal["text"]
    text: str
    cache_control: Cached | None = None
    citations: Annotated[list[Any], Field(max_length=0)] | None = None


class ImageSource(Body):
    """data: in base64; nothing is fetched, and no files are kept."""

    type: Literal["base64"]
    media_type: Literal["image/png", "image/jpeg"]
    data: str


class ImageBlock(Body):
    type: Literal["image"]
    source: ImageSource
    cache_control: Cached | None = None

    @field_validator("source", mode="before")
    @classmethod
    def _here(cls, source: Any) -> Any:
        kind = source.get("type") if isinstance(source, dict) else None
        if kind in ("url", "file"):
            raise PydanticCustomError(
                "elsewhere", f"{kind}: nothing is fetched, and no files are kept; give base64"
            )
        return source


class ThinkingBlock(Body):
    type: Literal["thinking"]
    thinking: str
    signature: str = ""


class UseBlock(Body):
    type: Literal["tool_use"]
    id: str
    name: Name
    input: dict[str, Any]
    cache_control: Cached | None = None


class ResultBlock(Body):
    type: Literal["tool_result"]
    tool_use_id: str
    content: str | Rows[TextBlock] | None = None
    is_error: bool | None = None
    cache_control: Cached | None = None


Block = Annotated[TextBlock | ImageBlock | ThinkingBlock | UseBlock | ResultBlock, Field(discriminator="type")]


class Message(Body):
    role: Literal["user", "assistant"]
    content: str | Rows[Block]


class InputSchema(Body):
    model_config = ConfigDict(extra="allow", strict=True)

    type: Literal["object"]


class Tool(Body):
    """strict: it is kept to its schema in any case."""

    type: Literal["custom"] | None = None
    name: Name
    description: str | None = None
    input_schema: InputSchema
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
    """budget_tokens: max_tokens bounds thoughts and answer together."""

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
    messages: Some[Message]
    system: str | Rows[TextBlock] | None = None
    tools: Tools[Tool] | None = None
    tool_choice: Annotated[AnyChoice | NoChoice | OneChoice, Field(discriminator="type")] | None = None
    thinking: Annotated[Thinking | NoThinking, Field(discriminator="type")] | None = None
    output_config: OutputConfig | None = None


class MessagesBody(CountBody):
    """metadata: changes nothing, and is not kept."""

    max_tokens: Count
    stop_sequences: Stops | None = None
    stream: bool | None = None
    temperature: Share | None = None
    top_p: Share | None = None
    top_k: TopK | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    tinsmith: Ours | None = None


def _messages(body: CountBody) -> list[dict[str, Any]]:
    """Results of tools are messages of their own; what an assistant's message holds is one."""
    messages: list[dict[str, Any]] = []
    if body.system:
        texts = body.system if isinstance(body.system, str) else "\n\n".join(one.text for one in body.system)
        messages.append({"role": "system", "content": texts})
    for number, message in enumerate(body.messages):
        blocks = message.content
        if isinstance(blocks, str):
            blocks = [TextBlock(type="text", text=blocks)]
        messages += _turn(message.role, blocks, f"messages.{number}.content")
    if messages[-1]["role"] == "assistant":
        raise Refused(
            400, "messages: the last is the assistant's, and an answer can't be begun for it", "messages"
        )
    return messages


def _turn(role: str, blocks: Sequence[Any], where: str) -> list[dict[str, Any]]:
    texts = "".join(one.text for one in blocks if isinstance(one, TextBlock))
    if role == "assistant":
        misplaced: Any = (ResultBlock, ImageBlock)
        message: dict[str, Any] = {"role": "assistant", "content": texts}
        calls = [
            {"type": "function", "function": {"name": one.name, "arguments": one.input}}
            for one in blocks
            if isinstance(one, UseBlock)
        ]
        thoughts = "".join(one.thinking for one in blocks if isinstance(one, ThinkingBlock))
        message |= {"tool_calls": calls} if calls else {}
        message |= {"reasoning_content": thoughts} if thoughts else {}
        turn = [message]
    else:
        misplaced = (UseBlock, ThinkingBlock)
        turn = [_result(one) for one in blocks if isinstance(one, ResultBlock)]
        said = content_of(
            [
                {"type": "text", "text": one.text}
                if isinstance(one, TextBlock)
                else Sent(one.source.data, f"{where}.{k}.source.data").part
                for k, one in enumerate(blocks)
                if isinstance(one, TextBlock | ImageBlock)
            ]
        )
        turn += [{"role": "user", "content": said}] if said or not turn else []
    wrong = next((one.type for one in blocks if isinstance(one, misplaced)), None)
    if wrong is not None:
        raise Refused(400, f"{where}: a message of the {role} holds no {wrong}", "messages")
    return turn


def _result(block: ResultBlock) -> dict[str, Any]:
    text = text_of(block.content)
    return {"role": "tool", "content": f"Error: {text}" if block.is_error else text}


def _offer(body: CountBody) -> Offer | None:
    declared = [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                **({"description": tool.description} if tool.description else {}),
                "parameters": tool.input_schema.model_dump(),
            },
        }
        for tool in body.tools or ()
    ]
    choice = body.tool_choice
    alone = getattr(choice, "disable_parallel_tool_use", None)
    parallel = None if alone is None else not alone
    if isinstance(choice, OneChoice):
        return offer_of(declared, "required", parallel, [choice.name])
    names: dict[str, Choice] = {"auto": "auto", "any": "required", "none": "none"}
    return offer_of(declared, names[choice.type] if choice else None, parallel)


def _question(call: Call, body: CountBody, **more: Any) -> Question:
    config, thinking = body.output_config, body.thinking
    on = None if thinking is None or thinking.type == "adaptive" else thinking.type == "enabled"
    return Question(
        call.house.shelf.find(body.model),
        _messages(body),
        thinking=on,
        offer=_offer(body),
        form=Form(config.format.schema_, "output_config") if config and config.format else None,
        scope=call.scope,
        **more,
    )


async def create(call: Call, body: MessagesBody) -> Response:
    def question() -> Question:
        return _question(
            call,
            body,
            sampling=sampling(call.house.shelf.find(body.model).served.model, body),
            max_tokens=call.house.tokens(body.max_tokens),
            stop=body.stop_sequences or (),
            **(body.tinsmith or Ours()).held,
        )

    answers = await ask(call.house, await call.read(question))
    head: dict[str, Any] = {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": answers.target.name,
    }
    if body.stream:
        stream = sse_events(events(call, answers, head))
        return Stream(answers, stream, SSE, failed_sse(call.request.url.path, "error"))
    whole = await gather(answers.running)
    content = said(whole[0]) if whole else []
    end = whole[0].ended if whole else None
    receipt = end.receipt if end else None
    message = {
        **head,
        "content": content,
        "stop_reason": stop_reason(end),
        "stop_sequence": end.stop if end else None,
        "usage": usage_of(call, answers, whole),
        "tinsmith": answer_facts(answers, whole),
    }
    return Json(message, headers={RECEIPT: receipt} if receipt else None)


async def count(call: Call, body: CountBody) -> Response:
    question = await call.read(lambda: _question(call, body))
    return Json({"input_tokens": await counted_prompt(call.house, question)})


_REPLY = {
    "id": str,
    "type": "message",
    "role": "assistant",
    "model": str,
    "content": [CONTENT],
    "stop_reason": str,
    "stop_sequence": (str, None),
    "usage": {
        "input_tokens": int,
        "output_tokens": int,
        "cache_creation_input_tokens": int,
        "cache_read_input_tokens": int,
    },
    "tinsmith": dict,
}
ENDPOINTS = [
    Endpoint("POST", "/v1/messages", "Answers a conversation", create, MessagesBody, like(_REPLY), stream=SSE),
    Endpoint(
        "POST",
        "/v1/messages/count_tokens",
        "A conversation's tokens",
        count,
        CountBody,
        like({"input_tokens": int}),
    ),
]
