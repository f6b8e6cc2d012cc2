"""An answer as events of OpenAI's Responses; the last event has the complete response."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, Literal

from tinsmith.runtime.choice import logprob
from tinsmith.serve.api import openai_common as common
from tinsmith.serve.endpoint import ApiRequest
from tinsmith.serve.errors import ApiError, openai_error
from tinsmith.serve.generate import Answer, Answers, Delta, record_usage
from tinsmith.serve.stream_parser import CallDelta

Event = dict[str, Any]
Kind = Literal["text", "thinking", "refusal"]
_PARTS = {"text": "output_text", "thinking": "reasoning_text", "refusal": "refusal"}


def _field(kind: Kind) -> str:
    """The field of a part's text."""
    return "refusal" if kind == "refusal" else "text"


def _id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(12)}"


def _copy(value: dict[str, Any]) -> dict[str, Any]:
    """A snapshot of an item that grows."""
    return {key: list(inner) if isinstance(inner, list) else inner for key, inner in value.items()}


class ResponseEvents:
    """head: the request's fields that the response repeats."""

    def __init__(self, request: ApiRequest, answers: Answers, head: dict[str, Any], logprobs: bool) -> None:
        self._request, self._answers, self._number = request, answers, -1
        self._output: list[dict[str, Any]] = []  # items
        self._open: Kind | Literal["call"] | None = None  # kind of the open item
        self._logprobs = logprobs
        self._response: dict[str, Any] = {
            "id": _id("resp"),
            "object": "response",
            "created_at": int(time.time()),
            "completed_at": None,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "model": answers.ref.name,
            "output": [],
            "usage": None,
            **head,
        }

    async def all(self) -> AsyncGenerator[Event, None]:
        for kind in ("created", "in_progress"):
            yield self._numbered({"type": f"response.{kind}", "response": dict(self._response)})
        answers = self._answers
        if not answers.all:
            for event in (*self._add("refusal", answers.refusal, []), *self._close()):
                yield self._numbered(event)
        async with aclosing(answers.events()) as events:
            async for answer, delta in events:
                for event in self._grow(delta) if delta else self._end(answer):
                    yield self._numbered(event)
        cut = answers.first is not None and answers.first.finish != "stop"
        usage = record_usage(self._request, answers)
        yield self._last(
            "incomplete" if cut else "completed",
            completed_at=int(time.time()),
            incomplete_details={"reason": "max_output_tokens"} if cut else None,
            usage={
                "input_tokens": usage.prompt,
                "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
                "output_tokens": usage.answer,
                "output_tokens_details": {"reasoning_tokens": usage.thinking},
                "total_tokens": usage.prompt + usage.answer,
            },
            tinsmith=common.extra_fields(answers),
        )

    def failed(self, error: ApiError) -> Iterator[Event]:
        """The last events after an error."""
        for event in self._close("incomplete"):
            yield self._numbered(event)
        fields = openai_error(error)["error"]
        yield self._numbered({"type": "error", "error": fields})
        code = fields["code"] or fields["type"]
        yield self._last("failed", error={"code": code, "message": fields["message"]})

    def _last(self, status: str, **more: Any) -> Event:
        self._response |= {"status": status, "output": self._output, **more}
        return self._numbered({"type": f"response.{status}", "response": self._response})

    def _numbered(self, event: Event) -> Event:
        self._number += 1
        return {**event, "sequence_number": self._number}

    @property
    def _position(self) -> dict[str, Any]:
        return {"item_id": self._output[-1]["id"], "output_index": len(self._output) - 1}

    def _add(self, kind: Kind, text: str, choices: list[Any]) -> Iterator[Event]:
        if self._open != kind:
            yield from self._close()
            yield from self._begin(kind)
        part = self._output[-1]["content"][0]
        part[_field(kind)] += text
        event = {"type": f"response.{part['type']}.delta", **self._position, "content_index": 0, "delta": text}
        if kind == "text":
            rows = [logprob(self._answers.ref.model.core, one) for one in choices] if self._logprobs else []
            part["logprobs"] += rows
            event["logprobs"] = rows
        yield event

    def _begin(self, kind: Kind) -> Iterator[Event]:
        self._open = kind
        head = {"id": _id("rs"), "type": "reasoning", "summary": []}
        if kind != "thinking":
            head = {"id": _id("msg"), "type": "message", "role": "assistant"}
        part: dict[str, Any] = {"type": _PARTS[kind], _field(kind): ""}
        if kind == "text":
            part |= {"annotations": [], "logprobs": []}
        yield self._added({**head, "status": "in_progress", "content": []})
        self._output[-1]["content"].append(part)
        yield {"type": "response.content_part.added", **self._position, "content_index": 0, "part": _copy(part)}

    def _close(self, status: str = "completed") -> Iterator[Event]:
        """Closes the open item."""
        kind, self._open = self._open, None
        if kind is None:
            return
        item = self._output[-1]
        item["status"] = status
        if kind == "call":
            done = {"name": item["name"], "arguments": item["arguments"]}
            yield {"type": "response.function_call_arguments.done", **self._position, **done}
        else:
            part, position = item["content"][0], {**self._position, "content_index": 0}
            done = {name: value for name, value in part.items() if name not in ("type", "annotations")}
            yield {"type": f"response.{part['type']}.done", **position, **done}
            yield {"type": "response.content_part.done", **position, "part": _copy(part)}
        yield {"type": "response.output_item.done", "output_index": len(self._output) - 1, "item": _copy(item)}

    def _call(self, delta: CallDelta) -> Iterator[Event]:
        if delta.name is not None:
            yield from self._close()
            self._open = "call"
            item = {"id": _id("fc"), "type": "function_call", "call_id": _id("call"), "name": delta.name}
            yield self._added({**item, "arguments": "", "status": "in_progress"})
        self._output[-1]["arguments"] += delta.arguments
        yield {"type": "response.function_call_arguments.delta", **self._position, "delta": delta.arguments}
        if delta.complete:
            yield from self._close()

    def _grow(self, delta: Delta) -> Iterator[Event]:
        choices = delta.choices
        for kind, text in delta.texts:
            yield from self._add(kind, text, choices)
            choices = []
        for call in delta.calls:
            yield from self._call(call)

    def _end(self, answer: Answer) -> Iterator[Event]:
        cut = answer.finish != "stop"
        thoughts_alone = all(item["type"] == "reasoning" for item in self._output)
        if not self._output or (thoughts_alone and not cut):
            yield from self._add("text", "", [])
        yield from self._close("incomplete" if cut else "completed")

    def _added(self, item: dict[str, Any]) -> Event:
        self._output.append(item)
        index = len(self._output) - 1
        return {"type": "response.output_item.added", "output_index": index, "item": _copy(item)}
