"""An answer as Anthropic's content blocks, and as the events that they come in."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from tinsmith.serve.api.openai_parts import answer_facts
from tinsmith.serve.asking import Piece
from tinsmith.serve.gathering import Gathered, counted, merged

if TYPE_CHECKING:
    from tinsmith.serve.asking import Answers, End
    from tinsmith.serve.endpoint import Call

CONTENT = {"type": ("text", "thinking", "tool_use")}
_STOPS = {"stop": "end_turn", "context": "model_context_window_exceeded"}


def said(whole: Gathered) -> list[dict[str, Any]]:
    """An answer's blocks."""
    blocks: list[dict[str, Any]] = []
    if whole.thinking:
        blocks.append({"type": "thinking", "thinking": whole.thinking, "signature": ""})
    if whole.text or not whole.ended.calls:
        blocks.append({"type": "text", "text": whole.text, "citations": None})
    return blocks + [_use(made.name, made.arguments) for made in whole.ended.calls]


def _use(name: str, given: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{secrets.token_hex(12)}", "name": name, "input": given}


def stop_reason(end: End | None) -> str:
    """None: the router took the prompt for no task."""
    if end is None:
        return "refusal"
    if end.calls:
        return "tool_use"
    return "stop_sequence" if end.stop is not None else _STOPS.get(end.finish, "max_tokens")


def usage_of(call: Call, answers: Answers, whole: Sequence[Gathered]) -> dict[str, Any]:
    """What was cached is not among the input tokens, as Anthropic counts."""
    made = counted(call, answers, whole)
    return {
        "input_tokens": made.prompt - made.cached,
        "output_tokens": made.answer,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": made.cached,
    }


async def events(call: Call, answers: Answers, head: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
    prompt = max((one.prompt_tokens for one in answers.running), default=0)
    usage = {"input_tokens": prompt, "output_tokens": 0}
    message = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    yield {"type": "message_start", "message": message}
    index, open, whole = -1, "", Gathered()
    async with aclosing(merged(answers.running)) as pieces:
        async for _, event in pieces:
            whole.add(event)
            for kind, text in event.parts if isinstance(event, Piece) else ():
                if kind != open:
                    if open:
                        yield {"type": "content_block_stop", "index": index}
                    index, open = index + 1, kind
                    yield _begun(index, kind)
                delta = {"type": f"{kind}_delta", kind: text}
                yield {"type": "content_block_delta", "index": index, "delta": delta}
            for part in event.calls if isinstance(event, Piece) else ():
                if part.name is not None:
                    if open:
                        yield {"type": "content_block_stop", "index": index}
                    index, open = index + 1, "tool_use"
                    yield {"type": "content_block_start", "index": index, "content_block": _use(part.name, {})}
                delta = {"type": "input_json_delta", "partial_json": part.arguments}
                yield {"type": "content_block_delta", "index": index, "delta": delta}
    if whole.end is not None and open not in ("text", "tool_use"):
        if open:
            yield {"type": "content_block_stop", "index": index}
        index, open = index + 1, "text"
        yield _begun(index, "text")
    if open:
        yield {"type": "content_block_stop", "index": index}
    all = [whole] if whole.end else []
    yield {
        "type": "message_delta",
        "delta": {
            "stop_reason": stop_reason(whole.end),
            "stop_sequence": whole.end.stop if whole.end else None,
        },
        "usage": usage_of(call, answers, all),
        "tinsmith": answer_facts(answers, all),
    }
    yield {"type": "message_stop"}


def _begun(index: int, kind: str) -> dict[str, Any]:
    block: dict[str, Any] = {"type": kind, kind: ""}
    if kind == "thinking":
        block["signature"] = ""
    return {"type": "content_block_start", "index": index, "content_block": block}
