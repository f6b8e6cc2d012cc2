"""LiteLLM and LangChain complete a loop: a call, its result, an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.serve.served import ASKED, Running
from tests.serve.test_openai_chat import LIGHT

pytestmark = pytest.mark.slow


def test_litellm(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it asks the network otherwise
    litellm = pytest.importorskip("litellm")
    litellm.telemetry = False
    for provider, base in (("openai", "/v1"), ("anthropic", ""), ("ollama_chat", "")):
        options: dict[str, Any] = {
            "model": f"{provider}/thinker",
            "api_base": server.url + base,
            "api_key": "none",
        }
        choice = {} if provider == "ollama_chat" else {"tool_choice": "required"}
        first = litellm.completion(messages=ASKED, tools=[LIGHT], max_tokens=400, **choice, **options)
        message = first.choices[0].message
        if choice:
            assert all(
                isinstance(json.loads(call.function.arguments)["on"], bool) for call in message.tool_calls
            )
        calls = message.tool_calls or ()
        results = [{"role": "tool", "tool_call_id": call.id, "content": "done"} for call in calls]
        turns = [*ASKED, message.model_dump(exclude_none=True), *results]
        last = litellm.completion(messages=turns, tools=[LIGHT], max_tokens=6, **options)
        assert last.choices[0].message.content and last.usage.completion_tokens == 6
        pieces = litellm.completion(messages=ASKED, max_tokens=6, stream=True, **options)
        assert "".join(piece.choices[0].delta.content or "" for piece in pieces)


def test_langchain(server: Running) -> None:
    openai = pytest.importorskip("langchain_openai")
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool

    @tool
    def light(on: bool) -> str:
        """switches it"""
        return f"it is {'on' if on else 'off'}"

    model = openai.ChatOpenAI(model="thinker", base_url=f"{server.url}/v1", api_key="none", max_tokens=400)
    turns: list[Any] = [HumanMessage("in the")]
    said = model.bind_tools([light], tool_choice="required").invoke(turns)
    assert said.tool_calls
    turns += [said, *(light.invoke(call) for call in said.tool_calls)]
    assert all(isinstance(turn, ToolMessage) for turn in turns[2:])
    last = model.bind_tools([light]).bind(max_tokens=6).invoke(turns)
    assert last.content and last.usage_metadata["output_tokens"] == 6
    assert "".join(str(piece.content) for piece in model.bind(max_tokens=6).stream("in the"))
    form = model.with_structured_output(
        {
            "title": "s",
            "type": "object",
            "properties": {"b": {"enum": ["x", "y"]}},
            "required": ["b"],
            "additionalProperties": False,
        },
        method="json_schema",
    )
    assert form.invoke("in the")["b"] in "xy"
