"""Anthropic's client, newest, on /v1/messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import tinsmith
from tests.serve.served import ASKED, Running
from tests.serve.test_openai_chat import LIGHT, SCHEMA

if TYPE_CHECKING:  # its import takes seconds
    import anthropic

TOOL = {
    "name": "light",
    "description": "switches it",
    "input_schema": LIGHT["function"]["parameters"],  # type: ignore[index]
}


@pytest.fixture(scope="session")
def client(server: Running) -> anthropic.Anthropic:
    import anthropic

    return anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0)


def ask(client: anthropic.Anthropic, **options: Any) -> Any:
    return client.messages.create(**{"model": "tiny", "messages": ASKED, "max_tokens": 8, **options})


def test_an_answer_and_its_stream(server: Running, client: anthropic.Anthropic) -> None:
    alone = server.alone["tiny"].chat([{"role": "system", "content": "be"}, *ASKED], max_tokens=8)
    answer = ask(client, system=[{"type": "text", "text": "be", "cache_control": {"type": "ephemeral"}}])
    assert answer.content[0].text == alone.content
    assert answer.stop_reason == ("end_turn" if alone.finish == "stop" else "max_tokens")
    usage = answer.usage
    assert usage.input_tokens + usage.cache_read_input_tokens == alone.prompt_tokens
    with client.messages.stream(model="tiny", messages=ASKED, max_tokens=8, system="be") as stream:
        assert "".join(stream.text_stream) == alone.content
        assert stream.get_final_message().usage.output_tokens == len(alone.token_ids)
    raw = client.messages.with_raw_response.create(model="tiny", messages=ASKED, max_tokens=2)
    from anthropic.types import Message

    Message.model_validate_json(raw.text())


def test_stop_sequence_is_named(server: Running, client: anthropic.Anthropic) -> None:
    text = server.alone["tiny"].chat(ASKED, max_tokens=8).content
    answer = ask(client, stop_sequences=["never so", text[3:5]])
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", text[3:5])


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "light"}])
def test_tools(client: anthropic.Anthropic, choice: dict[str, str]) -> None:
    options: dict[str, Any] = {"model": "thinker", "tools": [TOOL], "tool_choice": choice, "max_tokens": 400}
    answer = ask(client, **options)
    uses = [block for block in answer.content if block.type == "tool_use"]
    assert answer.stop_reason == "tool_use" and uses
    with client.messages.stream(messages=ASKED, **options) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
        streamed = stream.get_final_message()
    assert len(pieces) > 2 * len(uses)
    assert [(one.name, one.input) for one in streamed.content] == [(one.name, one.input) for one in uses]
    results = [
        {"type": "tool_result", "tool_use_id": one.id, "content": "no", "is_error": True} for one in uses
    ]
    turns = [*ASKED, {"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
    after = ask(client, messages=turns, model="thinker", tools=[TOOL])
    assert after.content[0].type == "text"
    counted = client.messages.count_tokens(model="thinker", messages=turns, tools=[TOOL])
    assert counted.input_tokens == after.usage.input_tokens + after.usage.cache_read_input_tokens


def test_schema_constrains_the_answer(server: Running, client: anthropic.Anthropic) -> None:
    config = {"format": {"type": "json_schema", "schema": SCHEMA}}
    alone = server.alone["tiny"].chat(ASKED, constraint=tinsmith.schema(SCHEMA), max_tokens=60)
    assert ask(client, output_config=config, max_tokens=60).content[0].text == alone.content


def test_thinking(server: Running, client: anthropic.Anthropic) -> None:
    alone = server.alone["thinker"].chat(ASKED, thinking=False, max_tokens=8)
    assert ask(client, model="thinker", thinking={"type": "disabled"}).content[0].text == alone.content


@pytest.mark.parametrize(
    "refused",
    [
        {"messages": [*ASKED, {"role": "assistant", "content": "so"}]},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"container": "c"},
        {"max_tokens": 0},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    ],
)
def test_errors(client: anthropic.Anthropic, refused: dict[str, Any]) -> None:
    import anthropic

    with pytest.raises(anthropic.BadRequestError) as error:
        ask(client, **refused)
    assert error.value.body["error"]["type"] == "invalid_request_error"  # type: ignore[index,call-overload]
    assert next(iter(refused)) in str(error.value)
    with pytest.raises(anthropic.NotFoundError):
        ask(client, model="other")
