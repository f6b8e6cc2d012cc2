"""The server and a batch read a request to OpenAI's chat alike. They have separate parsers, since a batch also
runs without the extra `serve`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

import tinsmith
from tests.serve.served import Running
from tinsmith import cli
from tinsmith.batch import openai, requests
from tinsmith.batch.settings import Settings
from tinsmith.errors import TinsmithError
from tinsmith.runtime.generation import LOOKUP, Sampling
from tinsmith.serve.api.chat import ChatBody, messages_of, offer_in
from tinsmith.serve.fields import validate
from tinsmith.serve.prepare import sampling_of

GO = {
    "type": "function",
    "function": {
        "name": "go",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"to": {"enum": ["a", "b"]}},
            "required": ["to"],
        },
    },
}
STAY = {"type": "function", "function": {"name": "stay", "parameters": {"type": "object", "properties": {}}}}
ASKED = {"model": "m", "messages": [{"role": "user", "content": "in the"}]}


def test_server_accepts_all_fields_of_a_batch() -> None:
    assert set(openai._KNOWN) <= set(ChatBody.model_fields)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"temperature": 0.7, "top_p": 0.9, "seed": 3, "presence_penalty": -1.0, "frequency_penalty": 2},
        {"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.5, "stop": "x"},
        {"stop": ["x", "y"], "max_tokens": 5, "max_completion_tokens": 7, "logit_bias": {"3": -100}},
        {"n": 3, "stream": False, "logprobs": True, "top_logprobs": 2, "user": "u", "metadata": {"a": "b"}},
    ],
)
def test_server_and_batch_read_the_same(files: list[Path], given: dict[str, Any]) -> None:
    made, offer, *counts = openai.settings_of({**ASKED, **given}, Settings())
    body = validate(ChatBody, {**ASKED, **given})
    drawn = replace(sampling_of(tinsmith.load(files[0]), body), seed=(body.seed or 0) % (1 << 64))
    assert Sampling(**{"lookup": LOOKUP, **made.options}) == drawn
    if given:
        assert made.max_tokens == (body.max_completion_tokens or body.max_tokens or Settings().max_tokens)
    assert list(made.stop) == ([body.stop] if isinstance(body.stop, str) else body.stop or [])
    assert offer is None and offer_in(body) is None
    assert counts == [body.n or 1, (body.top_logprobs or 0) if body.logprobs else None]


NAMED = {"type": "function", "function": {"name": "go"}}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"tool_choice": "required"},
        {"tool_choice": "required", "max_tokens": 20},
        {"tool_choice": "none"},
        {"parallel_tool_calls": False},
        {"tool_choice": NAMED, "max_tokens": 80},
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED]}}},
    ],
)
def test_server_and_batch_give_the_same_answer_with_tools(
    server: Running, chatgpt: OpenAI, files: list[Path], tmp_path: Path, given: dict[str, Any]
) -> None:
    asked = {**ASKED, "model": "thinker", "tools": [GO, STAY], "max_tokens": 60, **given}
    _, offer, *_ = openai.settings_of(asked, Settings())
    read_by_server = offer_in(validate(ChatBody, asked))
    assert offer == (read_by_server if given.get("tool_choice") != "none" else None)
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": asked}
    (tmp_path / "in.jsonl").write_text(json.dumps(line))
    out = tmp_path / "out.jsonl"
    assert cli.main(["batch", str(files[1]), str(tmp_path / "in.jsonl"), str(out), "--workers", "1"]) == 0
    (made,) = json.loads(out.read_text())["response"]["body"]["choices"]
    answered = chatgpt.chat.completions.create(**asked, temperature=0).choices[0].model_dump()
    assert made["finish_reason"] == answered["finish_reason"]
    if made["finish_reason"] != "length":  # of a call that was cut off, a batch shows what was written
        assert made["message"]["content"] == answered["message"]["content"]
    calls = [[one["function"] for one in side["message"].get("tool_calls") or []] for side in (made, answered)]
    assert calls[0] == calls[1]
    if made["finish_reason"] == "tool_calls":
        assert calls[0] and {one["name"] for one in calls[0]} <= {"go", "stay"}
    if given.get("tool_choice") == NAMED:
        assert calls[0]
    if "function" in str(given):
        assert all(one["name"] == "go" for one in calls[0])


def test_refusal_is_the_message_content() -> None:
    told = [{"role": "user", "content": "in"}, {"role": "assistant", "content": None, "refusal": "no"}]
    asked = {**ASKED, "messages": told}
    texts = [one["content"] for one in messages_of(validate(ChatBody, asked).messages)]
    assert texts == [requests._plain(one)["content"] for one in told] == ["in", "no"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"audio": {}},
        {"stop": 3},
        {"logit_bias": {"x": 1}},
        {"response_format": {"type": "xml"}},
        {"n": 0},
        {"top_logprobs": 21},
    ],
)
def test_server_and_batch_reject_the_same(wrong: dict[str, Any]) -> None:
    named = next(iter(wrong))
    with pytest.raises(TinsmithError, match=named):
        openai.settings_of({**ASKED, **wrong}, Settings())
    with pytest.raises(TinsmithError, match=named):
        validate(ChatBody, {**ASKED, **wrong})
