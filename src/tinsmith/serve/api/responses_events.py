"""An answer as the events of OpenAI's Responses; the last of them has the whole."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal

from tinsmith.runtime.choice import logprob
from tinsmith.serve.api.openai_parts import answer_facts
from tinsmith.serve.faults import openai
from tinsmith.serve.gathering import Gathered, counted, merged

if TYPE_CHECKING:
    from tinsmith.serve.asking import Answers
    from tinsmith.serve.endpoint import Call
    from tinsmith.serve.faults import Refused
    from tinsmith.serve.parts import CallPart

Event = dict[str, Any]
Kind = Literal["text", "thinking", "refusal"]
_PARTS = {"text": "output_text", "thinking": "reasoning_text", "refusal": "refusal"}  # what they are of


class _Writer:
    """Items as they grow. model: gives tokens their texts, where log probabilities are wanted."""

    def __init__(self, model: Any, logprobs: bool) -> None:
        self.output: list[dict[str, Any]] = []
        self._model, self._logprobs = model, logprobs
        self._open: Kind | Literal["call"] | None = None  # of the item that grows

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": self.output[-1]["id"], "output_index": len(self.output) - 1}

    @property
    def said(self) -> bool:
        """Whether there is more than thoughts."""
        return any(item["type"] != "reasoning" for item in self.output)

    def add(self, kind: Kind, text: str, choices: list[Any]) -> Iterator[Event]:
        if self._open != kind:
            yield from self.close()
            yield from self._begin(kind)
        part = self.output[-1]["content"][0]
        part[_field(kind)] += text
        event = {"type": f"response.{part['type']}.delta", **self._place, "content_index": 0, "delta": text}
        if kind == "text":
            rows = [logprob(self._model.core, one) for one in choices] if self._logprobs else []
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
        self.output[-1]["content"].append(part)
        yield {"type": "response.content_part.added", **self._place, "content_index": 0, "part": _copy(part)}

    def close(self, status: str = "completed") -> Iterator[Event]:
        """Ends the item that grows."""
        kind, self._open = self._open, None
        if kind is None:
            return
        item = self.output[-1]
        item["status"] = status
        if kind == "call":
            done = {"name": item["name"], "arguments": item["arguments"]}
            yield {"type": "response.function_call_arguments.done", **self._place, **done}
        else:
            part, place = item["content"][0], {**self._place, "content_index": 0}
            done = {name: value for name, value in part.items() if name not in ("type", "annotations")}
            yield {"type": f"response.{part['type']}.done", **place, **done}
            yield {"type": "response.content_part.done", **place, "part": _copy(part)}
        yield {"type": "response.output_item.done", "output_index": len(self.output) - 1, "item": _copy(item)}

    def call(self, part: CallPart) -> Iterator[Event]:
        if part.name is not None:
            yield from self.close()
            self._open = "call"
            item = {"id": _id("fc"), "type": "function_call", "call_id": _id("call"), "name": part.name}
            yield self._added({**item, "arguments": "", "status": "in_progress"})
        self.output[-1]["arguments"] += part.arguments
        yield {"type": "response.function_call_arguments.delta", **self._place, "delta": part.arguments}
        if part.whole:
            yield from self.close()

    def _added(self, item: dict[str, Any]) -> Event:
        self.output.append(item)
        return {
            "type": "response.output_item.added",
            "output_index": len(self.output) - 1,
            "item": _copy(item),
        }


def _field(kind: Kind) -> str:
    """Where a part has its text."""
    return "refusal" if kind == "refusal" else "text"


def _id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(12)}"


def _copy(value: dict[str, Any]) -> dict[str, Any]:
    """As it is now: it grows on."""
    return {key: list(inner) if isinstance(inner, list) else inner for key, inner in value.items()}


class Events:
    """head: what the answer repeats of the request."""

    def __init__(self, call: Call, answers: Answers, head: dict[str, Any], logprobs: bool) -> None:
        self._call, self._answers, self._number = call, answers, -1
        self._writer = _Writer(answers.target.served.model, logprobs)
        self._response: dict[str, Any] = {
            "id": _id("resp"),
            "object": "response",
            "created_at": int(time.time()),
            "completed_at": None,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "model": answers.target.name,
            "output": [],
            "usage": None,
            **head,
        }

    async def all(self) -> AsyncGenerator[Event, None]:
        for kind in ("created", "in_progress"):
            yield self._numbered({"type": f"response.{kind}", "response": dict(self._response)})
        whole, answers = Gathered(), self._answers
        if not answers.running:
            for made in self._refused(answers.route.why if answers.route else ""):
                yield self._numbered(made)
        async with aclosing(merged(answers.running)) as pieces:
            async for _, event in pieces:
                whole.add(event)
                for made in _written(self._writer, event, whole):
                    yield self._numbered(made)
        cut = whole.end is not None and whole.end.finish != "stop"
        yield self._ended(
            "incomplete" if cut else "completed",
            completed_at=int(time.time()),
            incomplete_details={"reason": "max_output_tokens"} if cut else None,
            usage=_usage(self._call, answers, whole),
            tinsmith=answer_facts(answers, [whole] if whole.end else []),
        )

    def failed(self, fault: Refused) -> Iterator[Event]:
        """In place of those that are not there yet."""
        for made in self._writer.close("incomplete"):
            yield self._numbered(made)
        said = openai(fault)["error"]
        yield self._numbered({"type": "error", "error": said})
        yield self._ended("failed", error={"code": said["code"] or said["type"], "message": said["message"]})

    def _refused(self, why: str) -> Iterator[Event]:
        """Of a prompt that the router took for no task."""
        yield from self._writer.add("refusal", why, [])
        yield from self._writer.close()

    def _ended(self, status: str, **more: Any) -> Event:
        self._response |= {"status": status, "output": self._writer.output, **more}
        return self._numbered({"type": f"response.{status}", "response": self._response})

    def _numbered(self, event: Event) -> Event:
        self._number += 1
        return {**event, "sequence_number": self._number}


def _written(writer: _Writer, event: Any, whole: Gathered) -> Iterator[Event]:
    if whole.end is None:
        choices = event.choices
        for kind, text in event.parts:
            yield from writer.add(kind, text, choices)
            choices = []
        for part in event.calls:
            yield from writer.call(part)
        return
    cut = whole.end.finish != "stop"
    if not writer.output or not (writer.said or cut):
        yield from writer.add("text", "", [])
    yield from writer.close("incomplete" if cut else "completed")


def _usage(call: Call, answers: Answers, whole: Gathered) -> dict[str, Any]:
    made = counted(call, answers, [whole] if whole.end else [])
    return {
        "input_tokens": made.prompt,
        "input_tokens_details": {"cached_tokens": made.cached, "cache_write_tokens": 0},
        "output_tokens": made.answer,
        "output_tokens_details": {"reasoning_tokens": made.thoughts},
        "total_tokens": made.prompt + made.answer,
    }
