"""OpenAI's /v1/chat/completions."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.responses import Response

from tinsmith.chat.roles import normalized
from tinsmith.runtime.calls import Choice, Offer
from tinsmith.runtime.choice import TokenChoice, logprob
from tinsmith.serve import fields
from tinsmith.serve.api import openai_common as common
from tinsmith.serve.api.openai_common import ImagePart, TextPart
from tinsmith.serve.endpoint import SSE, ApiRequest, Endpoint
from tinsmith.serve.errors import ApiError
from tinsmith.serve.fields import Body, Name, NonEmpty, Rows
from tinsmith.serve.generate import Answer, Answers, Delta, choice_json, generate
from tinsmith.serve.prepare import GenerationRequest, generation_request
from tinsmith.serve.stream_parser import CallDelta


class Function(Body):
    name: Name
    arguments: str


class ToolCall(Body):
    id: str
    type: Literal["function"] = "function"
    function: Function
    index: int | None = None


Texts = str | Rows[TextPart]


class System(Body):
    role: Literal["system", "developer"]
    content: Texts


class User(Body):
    role: Literal["user"]
    content: str | Rows[Annotated[TextPart | ImagePart, Field(discriminator="type")]]


class Assistant(Body):
    """annotations, audio, function_call: empty, as in OpenAI's answers."""

    role: Literal["assistant"]
    content: str | Rows[TextPart | common.RefusalPart] | None = None
    tool_calls: Rows[ToolCall] | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    annotations: common.Empty | None = None
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
    tools: Annotated[fields.Tools[NamedChoice], Field(min_length=1)]


class AllowedTools(Body):
    """The tools that the model may call, of those in the prompt."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedNames


class TemplateSwitch(Body):
    enable_thinking: bool | None = None


class ChatBody(common.AnswerFields, common.CommonFields):
    messages: NonEmpty[Message]
    max_completion_tokens: fields.Count | None = None
    logprobs: bool | None = None
    top_logprobs: fields.TopCount | None = None
    tools: fields.Tools[common.FunctionTool] | None = None
    tool_choice: Choice | NamedChoice | AllowedTools | None = None
    parallel_tool_calls: bool | None = None
    response_format: (
        Annotated[common.PlainText | common.JsonObject | common.JsonSchema, Field(discriminator="type")] | None
    ) = None
    reasoning_effort: fields.Effort | None = None
    chat_template_kwargs: TemplateSwitch | None = None
    modalities: Rows[Literal["text"]] | None = None

    @property
    def with_choices(self) -> bool:
        return self.tinsmith is not None and self.tinsmith.choices


def messages_of(given: Sequence[Any]) -> list[dict[str, Any]]:
    """Messages for the runtime."""
    messages = []
    for number, one in enumerate(given):
        content: Any = common.text_of(one.content)
        if one.role == "user" and not isinstance(one.content, str):
            content = common.image_content(one.content, f"messages.{number}.content")
        message: dict[str, Any] = {"role": one.role, "content": content}
        if one.role == "assistant":
            message["content"] = content or one.refusal or ""
            if one.tool_calls:
                message["tool_calls"] = [call.model_dump(exclude={"index"}) for call in one.tool_calls]
            if one.reasoning_content is not None:
                message["reasoning_content"] = one.reasoning_content
        messages.append(message)
    return normalized(messages)


def offer_in(body: ChatBody) -> Offer | None:
    tools = common.declared(tool.function for tool in body.tools or ())
    choice, parallel = body.tool_choice, body.parallel_tool_calls
    if isinstance(choice, AllowedTools):
        names = [one.function.name for one in choice.allowed_tools.tools]
        return common.offer_of(tools, choice.allowed_tools.mode, parallel, names)
    if isinstance(choice, NamedChoice):
        return common.offer_of(tools, "required", parallel, [choice.function.name])
    return common.offer_of(tools, choice, parallel)


def to_generation(request: ApiRequest, body: ChatBody) -> GenerationRequest:
    limits, switch = request.state.limits, body.chat_template_kwargs
    if body.top_logprobs and not body.logprobs:
        raise ApiError(400, 'top_logprobs needs "logprobs": true', "top_logprobs")
    return generation_request(
        request,
        body,
        messages=messages_of(body.messages),
        thinking=fields.thinking(body.reasoning_effort, switch.enable_thinking if switch else None),
        offer=offer_in(body),
        schema=common.output_schema(body.response_format),
        answers=limits.check_answers(body.n),
        max_tokens=limits.check_tokens(body.max_completion_tokens or body.max_tokens),
        tops=body.top_logprobs or (5 if body.with_choices else 0),
        record=bool(body.logprobs) or body.with_choices,
    )


async def chat(request: ApiRequest, body: ChatBody) -> Response:
    answers = await generate(request.state, await request.parse(lambda: to_generation(request, body)))
    if body.stream:
        pieces, kind = _stream(body, answers), "chat.completion.chunk"
        return common.stream(request, answers, "chatcmpl", kind, pieces, body.stream_options)
    choices = [_answer(body, one) for one in await answers.collect()]
    if not choices:  # the router chose no adapter
        message = {"role": "assistant", "content": None, "refusal": answers.refusal}
        choices.append(_choice("message", 0, message, "stop"))
    return common.reply(request, answers, "chatcmpl", "chat.completion", choices)


def _choice(
    kind: Literal["message", "delta"], index: int, value: dict[str, Any], finish: str | None, **more: Any
) -> dict[str, Any]:
    return {"index": index, kind: value, "logprobs": None, "finish_reason": finish, **more}


def _answer(body: ChatBody, answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.thinking:
        message["reasoning_content"] = answer.thinking
    if answer.calls:
        calls = [_call(one.name, json.dumps(one.arguments, ensure_ascii=False)) for one in answer.calls]
        message |= {"content": answer.text or None, "tool_calls": calls}
    details = _details(body, answer, answer.choices)
    return _choice("message", answer.index, message, _finish_reason(answer), **details)


def _call(name: str, arguments: str) -> dict[str, Any]:
    return {
        "id": f"call_{secrets.token_hex(12)}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _call_delta(delta: CallDelta) -> dict[str, Any]:
    if delta.name is not None:
        return {"index": delta.number, **_call(delta.name, delta.arguments)}
    return {"index": delta.number, "function": {"arguments": delta.arguments}}


def _details(body: ChatBody, answer: Answer, choices: Sequence[TokenChoice]) -> dict[str, Any]:
    """How tokens were chosen."""
    details: dict[str, Any] = {}
    model = answer.request.ref.model
    if body.logprobs:
        details["logprobs"] = {"content": [logprob(model.core, one) for one in choices], "refusal": None}
    if body.with_choices:
        details["tinsmith"] = {"choices": [choice_json(model, one) for one in choices]}
    return details


def _finish_reason(answer: Answer) -> str:
    return "tool_calls" if answer.calls else answer.reason


async def _stream(body: ChatBody, answers: Answers) -> AsyncGenerator[dict[str, Any], None]:
    choice = partial(_choice, "delta", finish=None)
    for index in range(max(1, len(answers.all))):
        yield choice(index, {"role": "assistant", "content": ""})
    if not answers.all:
        yield choice(0, {"refusal": answers.refusal}, finish="stop")
    async with aclosing(answers.events()) as events:
        async for answer, delta in events:
            if delta is None:
                extra = common.extra_fields(answers, answer)
                yield choice(answer.index, {}, finish=_finish_reason(answer), tinsmith=extra)
                continue
            *deltas, last = _deltas(delta) or [{}]
            for one in deltas:
                yield choice(answer.index, one)
            details = _details(body, answer, delta.choices) if delta.choices else {}
            if last or details:
                yield choice(answer.index, last, **details)


def _deltas(event: Delta) -> list[dict[str, Any]]:
    names = {"thinking": "reasoning_content", "text": "content"}
    deltas: list[dict[str, Any]] = [{names[kind]: text} for kind, text in event.texts]
    if event.calls:
        deltas.append({"tool_calls": [_call_delta(one) for one in event.calls]})
    return deltas


ENDPOINTS = [Endpoint("POST", "/v1/chat/completions", "Answers a conversation", chat, ChatBody, stream=SSE)]
