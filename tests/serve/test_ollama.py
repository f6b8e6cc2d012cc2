"""Ollama's client, newest, on its own interface."""

from __future__ import annotations

import json
from typing import Any

import ollama
import pytest

import tinsmith
from tests.serve.served import ASKED, CONTEXT, Running
from tests.serve.test_openai_chat import LIGHT, SCHEMA
from tinsmith import _core

FEW = {"num_predict": 8}


def test_models(server: Running, llama: ollama.Client) -> None:
    assert [one.model for one in llama.list().models] == list(server.state.refs)
    shown = llama.show("tiny")
    assert shown.modelinfo and shown.modelinfo["llama.context_length"] == CONTEXT
    assert shown.capabilities == ["completion", "embedding", "tools"]
    assert "thinking" in (llama.show("thinker").capabilities or ())
    assert llama._client.get("/api/version").json() == {"version": _core.VERSION}
    with pytest.raises(ollama.ResponseError, match="no model 'other'") as error:
        llama.show("other")
    assert error.value.status_code == 404


def test_chat_and_its_stream(server: Running, llama: ollama.Client) -> None:
    alone = server.alone["tiny"].chat(ASKED, max_tokens=8)
    answer = llama.chat("tiny", ASKED, options=FEW)
    assert answer.message.content == alone.content
    assert (answer.eval_count, answer.prompt_eval_count) == (len(alone.token_ids), alone.prompt_tokens)
    assert answer.done_reason == ("stop" if alone.finish == "stop" else "length")
    pieces = list(llama.chat("tiny", ASKED, options=FEW, stream=True))
    assert "".join(piece.message.content or "" for piece in pieces) == alone.content
    assert [piece.done for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    first = llama.chat("tiny", ASKED, options=FEW, logprobs=True, top_logprobs=2).logprobs
    assert first and len(first) == len(alone.token_ids) and len(first[0].top_logprobs or ()) == 2


def test_generate(server: Running, llama: ollama.Client) -> None:
    model = server.alone["tiny"]
    options = {**FEW, "temperature": 1, "seed": 5, "top_k": 9, "repeat_penalty": 1.2}
    own = {"max_tokens": 8, "temperature": 1, "seed": 5, "top_k": 9, "repetition_penalty": 1.2}
    messages = [{"role": "system", "content": "be"}, *ASKED]
    answer = llama.generate("tiny", "in the", system="be", options=options)
    assert answer.response == model.chat(messages, **own).text
    raw = llama.generate("tiny", "in the", raw=True, options=options, stream=True)
    assert "".join(piece.response or "" for piece in raw) == model.generate("in the", **own).text
    assert llama.generate("tiny").done_reason == "load"
    thinker = server.alone["thinker"]
    filled = llama.generate("thinker", "in the", suffix=" thin", options=FEW)
    assert filled.response == thinker.generate(thinker.infill_prompt("in the", " thin"), max_tokens=8).text


def test_tools_and_schemas(server: Running, llama: ollama.Client) -> None:
    alone = server.alone["tiny"].chat(ASKED, constraint=tinsmith.schema(SCHEMA), max_tokens=60)
    answer = llama.chat("tiny", ASKED, format=SCHEMA, options={"num_predict": 60})
    assert answer.message.content == alone.content
    assert isinstance(json.loads(llama.generate("tiny", "in", format="json", options=FEW).response or ""), dict)
    call = {"function": {"name": "light", "arguments": {"on": True}}}
    turns = [
        *ASKED,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "done", "tool_name": "light"},
    ]
    assert llama.chat("thinker", turns, tools=[LIGHT], options=FEW).message.content


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"options": {"mirostat": 1}}, "options.mirostat"),
        ({"options": {"num_ctx": 1 << 20}}, "num_ctx"),
        ({"template": "{{ .Prompt }}"}, "template"),
        ({"suffix": "x"}, "fill in a middle"),
        ({"images": ["aGk="]}, "images"),
        ({"context": [1]}, "context"),
        ({"format": {"type": "intege"}}, "is no type"),
    ],
)
def test_errors(llama: ollama.Client, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ollama.ResponseError, match=said) as error:
        llama.generate("tiny", "in", **more)
    assert error.value.status_code == 400
