"""OpenAI's client, newest, on /v1/chat/completions: every answer is that of the runtime alone."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

import tinsmith
from tests.serve.served import ASKED, CONTEXT, Running

LIGHT = {
    "type": "function",
    "function": {
        "name": "light",
        "description": "switches it",
        "parameters": {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]},
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer", "maximum": 99, "minimum": 0}, "b": {"enum": ["x", "y"]}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
FORM = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA, "strict": True}}


def ask(client: openai.OpenAI, **options: Any) -> Any:
    return client.chat.completions.create(**{"model": "tiny", "messages": ASKED, "max_tokens": 8, **options})


def joined(chunks: list[Any], index: int = 0) -> str:
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(choice.delta.content or "" for choice in choices)


def test_search_applies_to_a_schema(chatgpt: openai.OpenAI, server: Running) -> None:
    said = set()
    for turns in (0, 1000):
        held = tinsmith.schema(SCHEMA).with_search(turns)
        expected = server.alone["tiny"].chat(ASKED, constraint=held, max_tokens=60).text
        extra = {"tinsmith": {"search": turns}}
        given = ask(chatgpt, response_format=FORM, max_tokens=60, extra_body=extra)
        assert given.choices[0].message.content == expected
        said.add(expected)
    assert len(said) == 2
    with pytest.raises(openai.BadRequestError, match="a search looks within"):
        ask(chatgpt, extra_body={"tinsmith": {"search": 3}})


def test_models(chatgpt: openai.OpenAI, server: Running) -> None:
    listed = list(chatgpt.models.list())
    assert [one.id for one in listed] == ["tiny", "tiny:a", "tiny:b", "tiny:auto", "thinker", "auto"]
    about = {
        "adapters": ["a", "b"],
        "constraint": False,
        "context": CONTEXT,
        "can_chat": True,
        "template": True,
        "vision": False,
    }
    assert listed[0].model_extra == {"tinsmith": about}
    assert chatgpt.models.retrieve("tiny:a").id == "tiny:a"
    with pytest.raises(openai.NotFoundError, match="no model 'other'"):
        chatgpt.models.retrieve("other")


@pytest.mark.parametrize("adapter", [None, "a", "b"])
def test_answer_equals_that_of_the_runtime(
    server: Running, chatgpt: openai.OpenAI, adapter: str | None
) -> None:
    alone = server.alone["tiny"].chat(ASKED, max_tokens=8, adapter=adapter)
    answer = ask(chatgpt, model=f"tiny:{adapter}" if adapter else "tiny")
    assert answer.choices[0].message.content == alone.content
    assert answer.choices[0].finish_reason == ("stop" if alone.finish == "stop" else "length")
    assert answer.usage.completion_tokens == len(alone.token_ids)
    assert answer.usage.prompt_tokens == alone.prompt_tokens
    again = ask(chatgpt, model=answer.model)
    assert again.usage.prompt_tokens_details.cached_tokens == alone.prompt_tokens - 1
    assert again.choices[0].message.content == alone.content


def test_bodies_match_openais_models(chatgpt: openai.OpenAI) -> None:
    """Its own types, which its client does not hold answers to."""
    raw = chatgpt.chat.completions.with_raw_response.create(
        model="tiny", messages=ASKED, max_tokens=4, logprobs=True, top_logprobs=2
    )
    ChatCompletion.model_validate_json(raw.text)
    with chatgpt.chat.completions.with_streaming_response.create(
        model="tiny", messages=ASKED, max_tokens=4, stream=True, stream_options={"include_usage": True}
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    assert lines.pop() == "[DONE]"
    chunks = [ChatCompletionChunk.model_validate_json(line) for line in lines]
    assert chunks[-1].choices == [] and chunks[-1].usage and chunks[-1].usage.completion_tokens == 4
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_stream_equals_the_whole_answer(server: Running, chatgpt: openai.OpenAI) -> None:
    options: dict[str, Any] = {"temperature": 1.2, "seed": 7, "n": 3, "max_tokens": 12}
    whole = ask(chatgpt, **options)
    chunks = list(ask(chatgpt, stream=True, **options))
    for k, choice in enumerate(whole.choices):
        alone = server.alone["tiny"].chat(ASKED, temperature=1.2, seed=7 + k, max_tokens=12)
        assert choice.index == k
        assert choice.message.content == joined(chunks, k) == alone.content
        ends = [one.choices[0] for one in chunks if one.choices[0].index == k and one.choices[0].finish_reason]
        assert [end.finish_reason for end in ends] == [choice.finish_reason]
    assert len({choice.message.content for choice in whole.choices}) > 1


def test_random_seed_is_reported(server: Running, chatgpt: openai.OpenAI) -> None:
    answer = ask(chatgpt, temperature=1)
    seed = answer.model_extra["tinsmith"]["seed"]
    again = ask(chatgpt, temperature=1, seed=seed)
    assert again.choices[0].message.content == answer.choices[0].message.content
    assert ask(chatgpt, temperature=1).model_extra["tinsmith"]["seed"] != seed


def test_stop_text_ends_the_answer_before_it(server: Running, chatgpt: openai.OpenAI) -> None:
    text = server.alone["tiny"].chat(ASKED, max_tokens=8).content
    stop = text[3:5]
    for given in (stop, ["never so", stop]):
        choice = ask(chatgpt, stop=given).choices[0]
        assert choice.message.content == text[: text.index(stop)]
        assert choice.finish_reason == "stop"
    assert joined(list(ask(chatgpt, stop=stop, stream=True))) == text[: text.index(stop)]


@pytest.mark.parametrize("stream", [False, True])
def test_answer_satisfies_the_schema(chatgpt: openai.OpenAI, server: Running, stream: bool) -> None:
    given = ask(chatgpt, response_format=FORM, max_tokens=60, stream=stream)
    text = joined(list(given)) if stream else given.choices[0].message.content
    value = json.loads(text)
    assert set(value) == {"a", "b"} and value["b"] in "xy" and 0 <= value["a"] <= 99
    own = server.alone["tiny"].chat(ASKED, constraint=tinsmith.schema(SCHEMA), max_tokens=60)
    assert text == own.content
    whatever = ask(chatgpt, response_format={"type": "json_object"}, max_tokens=20).choices[0].message.content
    assert isinstance(json.loads(whatever), dict)


def test_unsupported_schema_error_names_the_location(chatgpt: openai.OpenAI) -> None:
    wrong = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "intege"}}}
    with pytest.raises(openai.BadRequestError, match="#/type: 'intege' is no type") as error:
        ask(chatgpt, response_format=wrong)
    assert (error.value.param, error.value.code) == ("response_format", "invalid_schema")


@pytest.mark.parametrize("model", ["tiny", "thinker"])
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "light"}}])
def test_tools_are_called(chatgpt: openai.OpenAI, model: str, choice: Any) -> None:
    other = {"type": "function", "function": {"name": "other"}}
    options = {"model": model, "tools": [LIGHT, other], "tool_choice": choice, "max_tokens": 400}
    whole = ask(chatgpt, **options).choices[0]
    chunks = [chunk.choices[0] for chunk in ask(chatgpt, stream=True, **options)]
    assert whole.finish_reason == chunks[-1].finish_reason == "tool_calls"
    pieces = [call for chunk in chunks for call in chunk.delta.tool_calls or ()]
    names = [(call.index, call.function.name, bool(call.id)) for call in pieces if call.function.name]
    assert names == [(k, call.function.name, True) for k, call in enumerate(whole.message.tool_calls)]
    assert len(pieces) > 2 * len(names)
    for k, call in enumerate(whole.message.tool_calls):
        streamed = "".join(piece.function.arguments for piece in pieces if piece.index == k)
        assert json.loads(streamed) == json.loads(call.function.arguments)
        assert call.function.name == "light" or choice == "required"
        if call.function.name == "light":
            assert isinstance(json.loads(call.function.arguments)["on"], bool)
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "done"} for call in whole.message.tool_calls
    ]
    after = ask(chatgpt, model=model, messages=[*ASKED, whole.message, *results], tools=[LIGHT, other])
    assert after.usage.prompt_tokens > 100


def test_arguments_are_streamed(chatgpt: openai.OpenAI) -> None:
    """As OpenAI's own reader of streams has them."""
    strict = {"type": "function", "function": {**LIGHT["function"], "strict": True}}
    options = {"model": "thinker", "messages": ASKED, "tools": [strict], "tool_choice": "required"}
    with chatgpt.chat.completions.stream(**options, max_tokens=400, parallel_tool_calls=False) as stream:
        grown = [one for one in stream if one.type == "tool_calls.function.arguments.delta"]
        (call,) = stream.get_final_completion().choices[0].message.tool_calls
    assert len(grown) > 2 and call.function.name == grown[0].name == "light"
    assert "".join(one.arguments_delta for one in grown) == grown[-1].arguments == call.function.arguments
    assert isinstance(json.loads(call.function.arguments)["on"], bool)


def test_truncated_call_is_no_call(chatgpt: openai.OpenAI) -> None:
    parameters = {
        "type": "object",
        "properties": {"a": {"type": "string", "minLength": 300}},
        "required": ["a"],
    }
    long = {"type": "function", "function": {"name": "long", "parameters": parameters}}
    options = {"model": "thinker", "tools": [long], "tool_choice": "required", "max_tokens": 120}
    whole = ask(chatgpt, **options).choices[0]
    assert (whole.finish_reason, whole.message.tool_calls) == ("length", None)
    chunks = [chunk.choices[0] for chunk in ask(chatgpt, stream=True, **options)]
    pieces = [call.function for chunk in chunks for call in chunk.delta.tool_calls or ()]
    assert pieces[0].name == "long" and chunks[-1].finish_reason == "length"
    assert "".join(one.arguments for one in pieces).startswith('{"a": "')


def test_single_call_without_parallel_calls(chatgpt: openai.OpenAI) -> None:
    choice = ask(
        chatgpt, tools=[LIGHT], tool_choice="required", parallel_tool_calls=False, max_tokens=400
    ).choices[0]
    assert len(choice.message.tool_calls) == 1


def test_optional_tools_allow_a_text(chatgpt: openai.OpenAI) -> None:
    """A random model rarely begins a call."""
    said = ask(chatgpt, tools=[LIGHT], max_tokens=6).choices[0]
    assert said.message.content and said.message.tool_calls is None
    none = ask(chatgpt, tools=[LIGHT], tool_choice="none").choices[0].message.content
    assert none == ask(chatgpt).choices[0].message.content


def test_thoughts_are_separated(server: Running, chatgpt: openai.OpenAI) -> None:
    alone = server.alone["thinker"].chat(ASKED, thinking=True, max_tokens=8)
    choice = ask(chatgpt, model="thinker", reasoning_effort="high").choices[0].message
    assert (choice.model_extra.get("reasoning_content", ""), choice.content) == (
        alone.thinking or "",
        alone.content,
    )
    direct = server.alone["thinker"].chat(ASKED, thinking=False, max_tokens=8)
    switch = {"chat_template_kwargs": {"enable_thinking": False}}
    assert ask(chatgpt, model="thinker", extra_body=switch).choices[0].message.content == direct.content
    with pytest.raises(openai.BadRequestError, match="no switch for thinking"):
        ask(chatgpt, model="tiny", reasoning_effort="high")


def test_router_chooses_the_adapter(server: Running, chatgpt: openai.OpenAI) -> None:
    alone = server.alone["tiny"].chat(ASKED, route=True, max_tokens=8)
    assert alone.route
    for name in ("auto", "tiny:auto"):
        answer = ask(chatgpt, model=name)
        assert answer.choices[0].message.content == alone.content
        assert answer.model_extra["tinsmith"]["route"]["task"] == alone.route.task


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"audio": {"voice": "alloy", "format": "wav"}}, "audio"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"store": True}, "store"),
        ({"extra_body": {"grammar": "root ::= x"}}, "grammar"),
        ({"extra_body": {"chat_template": "{{ x }}"}}, "chat_template"),
        ({"temperature": 3}, "temperature"),
        ({"n": 99}, "n"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logit_bias": {"999999": 1}}, "logit_bias"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [LIGHT], "response_format": FORM}, "response_format"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, None),
        ({"messages": [{"role": "user", "content": "x" * 20_000}]}, "messages"),
    ],
)
def test_unsupported_fields_are_rejected_by_name(
    chatgpt: openai.OpenAI, options: dict[str, Any], param: str | None
) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        ask(chatgpt, **options)
    assert error.value.type == "invalid_request_error"
    assert error.value.param == param or param is None
    assert (param or "image_url") in str(error.value.body)


def test_union_error_is_of_the_right_type(chatgpt: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="stop: list should have at most 16 items"):
        ask(chatgpt, stop=["a"] * 17)
    with pytest.raises(openai.BadRequestError, match="prompt: list should have at least 1 item"):
        chatgpt.completions.create(model="tiny", prompt=[])
