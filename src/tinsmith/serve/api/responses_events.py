"""An answer as the events of OpenAI's Responses; the last of them has the whole."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from tinsmith.serve.api.openai_parts import answer_facts
from tinsmith.serve.gathering import Gathered, counted, logprob, merged

if TYPE_CHECKING:
    from tinsmith.serve.asking import Answers
    from tinsmith.serve.endpoint import Call
    from tinsmith.serve.parts import CallPart

Event = dict[str, Any]


class _Writer:
    """Items as they grow. model: gives tokens their texts, where log probabilities are wanted."""

    def __init__(self, model: Any, logprobs: bool) -> None:
        self.output: list[dict[str, Any]] = []
        self._model, self._logprobs = model, logprobs
        self._open: str | None = None  # the kind of the item that grows

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": self.output[-1]["id"], "output_index": len(self.output) - 1}

    @property
    def said(self) -> bool:
        """Whether there is more than thoughts."""
        return any(item["type"] != "reasoning" for item in self.output)

    def add(self, kind: str, text: str, choices: list[Any]) -> Iterator[Event]:
        if self._open != kind:
            yield from self.close()
            yield from self._begin(kind)
        part = self.output[-1]["content"][0]
        part["text"] += text
        event = {**self._place, "content_index": 0, "delta": text}
        if kind == "text":
            rows = [logprob(self._model, one) for one in choices] if self._logprobs else []
            part["logprobs"] += rows
            yield {"type": "response.output_text.delta", **event, "logprobs": rows}
        else:
            yield {"type": "response.reasoning_text.delta", **event}

    def _begin(self, kind: str) -> Iterator[Event]:
        self._open = kind
        item: dict[str, Any]
        if kind == "text":
            item = {"id": _id("msg"), "type": "message", "role": "assistant"}
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        else:
            item = {"id": _id("rs"), "type": "reasoning", "summary": []}
            part = {"type": "reasoning_text", "text": ""}
        item |= {"status": "in_progress", "content": []}
        self.output.append(item)
        yield {"type": "response.output_item.added", "output_index": len(self.output) - 1, "item": _copy(item)}
        item["content"].append(part)
        yield {"type": "response.content_part.added", **self._place, "content_index": 0, "part": _copy(part)}

    def close(self, status: str = "completed") -> Iterator[Event]:
        """Ends the item that grows."""
        if self._open is None:
            return
        if self._open == "call":
            yield from self._close_call(status)
            return
        item, place = self.output[-1], {**self._place, "content_index": 0}
        part, item["status"] = item["content"][0], status
        if self._open == "text":
            more = {"text": part["text"], "logprobs": part["logprobs"]}
            yield {"type": "response.output_text.done", **place, **more}
        else:
            yield {"type": "response.reasoning_text.done", **place, "text": part["text"]}
        self._open = None
        yield {"type": "response.content_part.done", **place, "part": _copy(part)}
        yield {"type": "response.output_item.done", "output_index": len(self.output) - 1, "item": _copy(item)}

    def call(self, part: CallPart) -> Iterator[Event]:
        if part.name is not None:
            yield from self.close()
            self._open = "call"
            item = {"id": _id("fc"), "type": "function_call", "call_id": _id("call"), "name": part.name}
            item |= {"arguments": "", "status": "in_progress"}
            self.output.append(item)
            index = len(self.output) - 1
            yield {"type": "response.output_item.added", "output_index": index, "item": _copy(item)}
        self.output[-1]["arguments"] += part.arguments
        yield {"type": "response.function_call_arguments.delta", **self._place, "delta": part.arguments}
        if part.whole:
            yield from self.close()

    def _close_call(self, status: str) -> Iterator[Event]:
        item, self._open = self.output[-1], None
        item["status"] = status
        done = {"name": item["name"], "arguments": item["arguments"]}
        yield {"type": "response.function_call_arguments.done", **self._place, **done}
        yield {"type": "response.output_item.done", "output_index": len(self.output) - 1, "item": _copy(item)}

    def refuse(self, why: str) -> None:
        """Of a prompt that the router took for no task."""
        part = {"type": "refusal", "refusal": why}
        message = {"id": _id("msg"), "type": "message", "role": "assistant", "status": "completed"}
        self.output.append({**message, "content": [part]})


def _id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(12)}"


def _copy(value: dict[str, Any]) -> dict[str, Any]:
    """As it is now: it grows on."""
    return {key: list(inner) if isinstance(inner, list) else inner for key, inner in value.items()}


async def events(
    call: Call, answers: Answers, head: dict[str, Any], logprobs: bool
) -> AsyncGenerator[Event, None]:
    """head: what the answer repeats of the request."""
    number = -1
    response: dict[str, Any] = {
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

    def numbered(event: Event) -> Event:
        nonlocal number
        number += 1
        return {**event, "sequence_number": number}

    yield numbered({"type": "response.created", "response": dict(response)})
    yield numbered({"type": "response.in_progress", "response": dict(response)})
    writer, whole = _Writer(answers.target.served.model, logprobs), Gathered()
    if not answers.running:
        writer.refuse(answers.route.why if answers.route else "")
    async with aclosing(merged(answers.running)) as pieces:
        async for _, event in pieces:
            whole.add(event)
            for made in _written(writer, event, whole):
                yield numbered(made)
    cut = whole.end is not None and whole.end.finish != "stop"
    response |= {
        "status": "incomplete" if cut else "completed",
        "completed_at": int(time.time()),
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": writer.output,
        "usage": _usage(call, answers, whole),
        "tinsmith": answer_facts(answers, [whole] if whole.end else []),
    }
    yield numbered({"type": f"response.{response['status']}", "response": response})


def _written(writer: _Writer, event: Any, whole: Gathered) -> Iterator[Event]:
    if whole.end is None:
        choices = event.choices
        for kind, text in event.parts:
            yield from writer.add(kind, text, choices)
            choices = []
        for part in event.calls:
            yield from writer.call(part)
        return
    if not writer.said:
        yield from writer.add("text", "", [])
    yield from writer.close("completed" if whole.end.finish == "stop" else "incomplete")


def _usage(call: Call, answers: Answers, whole: Gathered) -> dict[str, Any]:
    made = counted(call, answers, [whole] if whole.end else [])
    return {
        "input_tokens": made.prompt,
        "input_tokens_details": {"cached_tokens": made.cached, "cache_write_tokens": 0},
        "output_tokens": made.answer,
        "output_tokens_details": {"reasoning_tokens": made.thoughts},
        "total_tokens": made.prompt + made.answer,
    }
