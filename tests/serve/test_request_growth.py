"""What reading a request takes grows with its length, in each interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from growth import growth

from tinsmith.chat.tool_formats import by_name, read_tools
from tinsmith.runtime.offers import Offer, terms
from tinsmith.serve.api import chat_body, messages, ollama, responses_body
from tinsmith.serve.fields import read
from tinsmith.serve.parts import Parts

TEXT = "a" * 300


def chats(count: int, kind: str = "user") -> Any:
    turns = [{"role": kind, "content": TEXT}] * count
    return read(chat_body.ChatBody, {"model": "m", "messages": turns}).messages


def blocks(count: int) -> Any:
    turns = [{"role": "user", "content": [{"type": "text", "text": TEXT}] * count}]
    return read(messages.CountBody, {"model": "m", "messages": turns})


def items(count: int, kind: str) -> Any:
    said = {"role": "assistant", "content": TEXT}
    thought = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": TEXT}]}
    called = {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}
    given = [{"said": said, "thought": thought, "called": called}[kind]] * count
    return read(responses_body.ResponsesBody, {"model": "m", "input": given})


def asked(count: int) -> Any:
    turns = [{"role": "assistant", "content": TEXT, "thinking": TEXT}] * count
    return read(ollama.ChatBody, {"model": "m", "messages": turns}).messages


def offered(count: int) -> Any:
    tools = [{"name": f"f{k}"} for k in range(count)]
    return Offer(tools, allowed=[f"f{k}" for k in range(count)])


def limited(offer: Any) -> Any:
    return terms(offer, read_tools(offer.tools), by_name("json"))


def parted(pieces: Any) -> None:
    parts = Parts(True, ("{",))
    for piece in pieces:
        parts.add(piece)
    parts.end()


@pytest.mark.parametrize(
    ("work", "made"),
    [
        (chat_body.messages_of, chats),
        (chat_body.messages_of, lambda count: chats(count, "system")),
        (messages._messages, blocks),
        (responses_body.messages_of, lambda count: items(count, "said")),
        (responses_body.messages_of, lambda count: items(count, "thought")),
        (responses_body.messages_of, lambda count: items(count, "called")),
        (ollama._messages, asked),
        (limited, offered),
        (parted, lambda count: ["thought "] * count),
        (parted, lambda count: ["</think>", *["text "] * count]),
    ],
    ids=["chat", "system", "messages", "said", "thought", "called", "ollama", "tools", "thoughts", "text"],
)
def test_time_grows_with_length(work: Callable[[Any], object], made: Callable[[int], Any]) -> None:
    assert growth(work, made(2000), made(4000)) < 3
