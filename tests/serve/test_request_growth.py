"""The time to read a request is linear in its length, in each interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.system.growth import growth
from tinsmith.chat.tool_formats import by_name, read_tools
from tinsmith.runtime.calls import Offer, terms
from tinsmith.serve.api import chat, messages, ollama, responses
from tinsmith.serve.fields import validate
from tinsmith.serve.stream_parser import AnswerParser

TEXT = "a" * 300


def chats(count: int, kind: str = "user") -> Any:
    turns = [{"role": kind, "content": TEXT}] * count
    return validate(chat.ChatBody, {"model": "m", "messages": turns}).messages


def blocks(count: int) -> Any:
    turns = [{"role": "user", "content": [{"type": "text", "text": TEXT}] * count}]
    return validate(messages.CountBody, {"model": "m", "messages": turns})


def items(count: int, kind: str) -> Any:
    said = {"role": "assistant", "content": TEXT}
    thought = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": TEXT}]}
    called = {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}
    given = [{"said": said, "thought": thought, "called": called}[kind]] * count
    return validate(responses.ResponsesBody, {"model": "m", "input": given})


def asked(count: int) -> Any:
    turns = [{"role": "assistant", "content": TEXT, "thinking": TEXT}] * count
    return validate(ollama.ChatBody, {"model": "m", "messages": turns}).messages


def offered(count: int) -> Any:
    tools = [{"name": f"f{k}"} for k in range(count)]
    return Offer(tools, allowed=[f"f{k}" for k in range(count)])


def limited(offer: Any) -> Any:
    return terms(offer, read_tools(offer.tools), by_name("json"))


def parted(pieces: Any) -> None:
    parts = AnswerParser(True, ("{",))
    for piece in pieces:
        parts.add(piece)
    parts.end()


@pytest.mark.parametrize(
    ("work", "made"),
    [
        (chat.messages_of, chats),
        (chat.messages_of, lambda count: chats(count, "system")),
        (messages.messages_of, blocks),
        (responses.messages_of, lambda count: items(count, "said")),
        (responses.messages_of, lambda count: items(count, "thought")),
        (responses.messages_of, lambda count: items(count, "called")),
        (ollama.messages_of, asked),
        (limited, offered),
        (parted, lambda count: ["thought "] * count),
        (parted, lambda count: ["</think>", *["text "] * count]),
    ],
    ids=["chat", "system", "messages", "said", "thought", "called", "ollama", "tools", "thoughts", "text"],
)
def test_time_grows_with_length(work: Callable[[Any], object], made: Callable[[int], Any]) -> None:
    assert growth(work, made(2000), made(4000)) < 3
