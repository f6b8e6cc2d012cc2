"""Cases of public test suites for servers, with our own prompts.

Open Responses' compliance suite (github.com/openresponses/openresponses, src/lib/compliance-tests.ts) and its
schema, as the package openresponses-types has it; FastChat's tests of its OpenAI API (tests/test_openai_api.py
and tests/test_openai_vision_api.py of github.com/lm-sys/FastChat).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import openai
import openresponses_types.types as spec
import pytest

import tinsmith
from tests.models import random_adapters
from tests.models.tiny_models import in_format, tiny_spec
from tests.models.transformers_models import CHATML
from tests.serve.served import CONTEXT, Running, running
from tests.vision.chat_models import photo, png, with_words
from tinsmith import models
from tinsmith.compiler import build_tin
from tinsmith.formats.router import ENTRY, Router
from tinsmith.models import family

EVENTS = {
    next(iter(kind.model_fields["type"].annotation)): kind  # type: ignore[arg-type]
    for name, kind in vars(spec).items()
    if name.endswith("StreamingEvent")
}
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "what the weather is somewhere",
    "parameters": {"type": "object", "properties": {"where": {"enum": ["a", "b"]}}, "required": ["where"]},
}


@pytest.fixture(scope="module")
def judged(eyes: Path, files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """sees: has eyes, and answers that come to an end; off: takes no prompt for its task; and the thinker."""
    folder = tmp_path_factory.mktemp("judged")
    held = {"grammar/answer.bin": tinsmith.choices(["left", "right"]).data}
    made = with_words("smolvlm", models.load(eyes.parent))
    build_tin(made, folder / "sees.tin", entries=held)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": CONTEXT}
    small = in_format(replace(tiny_spec(family.by_name("llama"), **sizes), chat_template=CHATML), "Q8_0")
    router = Router(("a",), 64, [0.0] * 3 * 64, [0.0, 9.0, 0.0], [0.9])
    adapter = {"adapter/a.bin": random_adapters.compiled(files[0], seed=1)}
    build_tin(small, folder / "off.tin", entries={**adapter, ENTRY: router.pack()})
    with running([folder / "sees.tin", folder / "off.tin", files[1]], slots=2, context=1024) as server:
        yield server


def post(server: Running, path: str, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{server.url}/v1{path}", json=body, timeout=30)


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content, **more}


def as_documented(value: Any) -> Any:
    """Without the two things in which OpenAI's clients know better than the document: it lets the schema of a
    form be null alone, and its events of thoughts are named without "_text"."""
    if isinstance(value, list):
        return [as_documented(one) for one in value]
    if not isinstance(value, dict):
        return value
    made = {key: as_documented(inner) for key, inner in value.items()}
    if made.get("type") == "json_schema":
        made["schema"] = None
    elif str(made.get("type")).startswith("response.reasoning_text"):
        made["type"] = made["type"].replace("reasoning_text", "reasoning")
    return made


def streamed(server: Running, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of an answer, each held to the schema, all to the order that the specification has."""
    answer = post(server, "/responses", {**body, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *blocks, done, rest = answer.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    events = []
    for block in blocks:
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
        documented = as_documented(event)
        EVENTS[documented["type"]].model_validate(documented)
    in_order(events)
    return events


def in_order(events: list[dict[str, Any]]) -> None:
    """Items and their parts are begun, grow and end, one after the other; the last event has them all."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert kinds[:2] == ["created", "in_progress"] and kinds[-1] == events[-1]["response"]["status"]
    output = events[-1]["response"]["output"]
    for index, item in enumerate(output):
        own = [k for k, event in enumerate(events) if event.get("output_index") == index]
        assert own == list(range(own[0], own[-1] + 1))
        begun, ended = events[own[0]]["item"], events[own[-1]]["item"]
        assert (begun["id"], begun["status"], ended) == (item["id"], "in_progress", item)
        assert all(events[k]["item_id"] == item["id"] for k in own[1:-1])
        name = item["content"][0]["type"] if "content" in item else "function_call_arguments"
        inside = ["content_part.added"] * ("content" in item)
        *grown, last = [kinds[k] for k in own[1 + len(inside) : -1 - len(inside)]]
        assert set(grown) == {f"{name}.delta"} and last == f"{name}.done"
        if inside:
            assert (kinds[own[1]], kinds[own[-2]]) == ("content_part.added", "content_part.done")
            assert events[own[-2]]["part"] == item["content"][0]
        deltas = "".join(events[k]["delta"] for k in own if kinds[k].endswith(".delta"))
        whole = item["arguments"] if "arguments" in item else item["content"][0]
        assert deltas == (whole if isinstance(whole, str) else whole.get("text", whole.get("refusal")))
    states = [item["status"] for item in output]
    assert all(state == "completed" for state in states[:-1])
    assert (states[-1:] == ["incomplete"]) <= (kinds[-1] in ("incomplete", "failed"))


def shape(value: Any) -> Any:
    """A response without what is new in each."""
    new = {"id", "call_id", "created_at", "completed_at", "usage"}
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items() if key not in new}
    return [shape(one) for one in value] if isinstance(value, list) else value


HEART = f"data:image/png;base64,{base64.b64encode(png(photo(32, 32))).decode()}"
CASES: dict[str, dict[str, Any]] = {
    "basic-response": {"input": [said("user", "Hello in three words.")]},
    "system-prompt": {"input": [said("system", "You are a pirate."), said("user", "Hello.")]},
    "multi-turn": {
        "input": [said("user", "I am Alice."), said("assistant", "Hello Alice."), said("user", "Who am I?")]
    },
    "assistant-phase": {
        "input": [
            said("assistant", "I look the number up.", phase="commentary"),
            said("assistant", "It is four.", phase="final_answer"),
            said("user", "The number alone?"),
        ]
    },
    "image-input": {
        "input": [
            said(
                "user",
                [{"type": "input_text", "text": "What is seen?"}, {"type": "input_image", "image_url": HEART}],
            )
        ]
    },
    "tool-calling": {
        "model": "thinker",
        "input": [said("user", "What is the weather in a?")],
        "tools": [WEATHER],
        "tool_choice": "required",  # a random model calls nothing of its own accord
    },
    "every field": {
        "input": "left?",
        "instructions": "Say it.",
        "text": {"format": {"type": "json_schema", "name": "s", "schema": {"enum": ["yes", "no"]}}},
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 2,
        "temperature": 0.5,
        "top_p": 0.9,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "max_output_tokens": 64,
        "reasoning": None,
        "metadata": {"a": "b"},
        "safety_identifier": "who",
        "prompt_cache_key": "key",
        "store": False,
        "background": False,
        "truncation": "disabled",
        "service_tier": "default",
        "stream_options": {"include_obfuscation": False},
        "previous_response_id": None,
        "max_tool_calls": None,
    },
}


@pytest.mark.parametrize("case", CASES)
def test_open_responses(judged: Running, case: str) -> None:
    """Each case streamed too, and the schema in full."""
    body = {"model": "sees", **CASES[case]}
    answer = post(judged, "/responses", body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    whole = answer.json()
    spec.ResponseResource.model_validate(as_documented(whole))
    assert whole["status"] == "completed" and whole["output"]
    assert any(item["type"] == "function_call" for item in whole["output"]) == ("tools" in body)
    if case != "every field":  # drawn anew each time
        assert shape(streamed(judged, body)[-1]["response"]) == shape(whole)
        return
    streamed(judged, body)
    given = ("instructions", "top_p", "presence_penalty", "frequency_penalty", "metadata", "prompt_cache_key")
    assert all(whole[name] == body[name] for name in given)
    assert whole["text"]["format"] == {**body["text"]["format"], "description": None, "strict": True}
    assert json.loads(whole["output"][0]["content"][0]["text"]) in ("yes", "no")


def test_incomplete_response_has_its_reason(judged: Running) -> None:
    """A thought that is cut off is the last item; a prompt that is no task's is refused in events as well."""
    thought = {"model": "thinker", "input": "in", "reasoning": {"effort": "high"}, "max_output_tokens": 5}
    last = streamed(judged, thought)[-1]["response"]
    assert last["status"] == "incomplete" and last["incomplete_details"] == {"reason": "max_output_tokens"}
    assert [item["status"] for item in last["output"]] == ["incomplete"]
    refused = streamed(judged, {"model": "off:auto", "input": "in"})[-1]["response"]
    assert refused["status"] == "completed"
    assert refused["output"][0]["content"][0]["type"] == "refusal"
    shape_of = shape(post(judged, "/responses", {"model": "off:auto", "input": "in"}).json())
    assert shape_of == shape(refused)


def test_only_allowed_tools_are_called(judged: Running) -> None:
    """They must be kept to, whatever else the model is told of."""
    other = {**WEATHER, "name": "other"}
    for name in ("other", "get_weather"):
        choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": name}]}
        body = {"model": "thinker", "input": "in", "tools": [WEATHER, other], "tool_choice": choice}
        last = streamed(judged, body)[-1]["response"]
        assert {item["name"] for item in last["output"]} == {name} and last["tool_choice"] == choice
    choice["tools"] = [{"type": "function", "name": "third"}]
    wrong = post(judged, "/responses", {**body, "tool_choice": choice})
    assert wrong.status_code == 400 and "'third'" in wrong.json()["error"]["message"]


def test_failed_stream_ends_with_an_error_event(
    judged: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = judged.state.find("off").served.worker
    step, steps = worker._scheduler.step, iter(range(100))

    def broken(budget: float) -> list[Any]:
        if next(steps) > 4:
            raise ValueError("a fault of ours")
        return step(budget)

    monkeypatch.setattr(worker._scheduler, "step", broken)
    events = streamed(judged, {"model": "off", "input": "in", "max_output_tokens": 200})
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert events[-1]["response"]["error"]["code"] == events[-2]["error"]["code"] == "server_error"
    assert "a fault of ours" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["/responses/compact", "/responses/resp_1", "/conversations"])
def test_unsupported_cases_of_open_responses(judged: Running, path: str) -> None:
    assert post(judged, path, {"model": "sees", "input": "in"}).status_code in (404, 405)


def test_fastchat(judged: Running) -> None:
    """Of every model that is listed: a completion and a chat, whole and streamed, and an embedding."""
    client = openai.OpenAI(base_url=f"{judged.url}/v1/", api_key="EMPTY", max_retries=0)
    listed = [one.id for one in client.models.list()]
    assert listed == [one["id"] for one in httpx.get(f"{judged.url}/v1/models").json()["data"]]
    asked: Any = [{"role": "user", "content": "Hello! What is your name?"}]
    for model in (name for name in listed if "auto" not in name):
        given: Any = {"model": model, "prompt": "Once upon a time", "max_tokens": 16, "temperature": 0}
        whole = client.completions.create(**given, logprobs=1).choices[0]
        assert whole.logprobs and whole.logprobs.token_logprobs
        assert whole.text == "".join(
            one.choices[0].text for one in client.completions.create(**given, stream=True)
        )
        chat: Any = {"model": model, "messages": asked, "temperature": 0, "max_tokens": 16}
        text = client.chat.completions.create(**chat).choices[0].message
        pieces = [one.choices[0].delta for one in client.chat.completions.create(**chat, stream=True)]
        assert (text.content or "") == "".join(one.content or "" for one in pieces)
    assert len(client.embeddings.create(model="off", input="Hello world!").data[0].embedding) == 64
    drawn = {"model": "sees", "prompt": "Once upon a time", "max_tokens": 41, "temperature": 0.5}
    for path, body in (
        ("/chat/completions", {"model": "sees", "messages": asked}),
        ("/completions", drawn),
        ("/embeddings", {"model": "sees", "input": "Hello world!"}),
    ):
        assert post(judged, path, body).status_code == 200


def test_fastchat_images(judged: Running) -> None:
    client = openai.OpenAI(base_url=f"{judged.url}/v1/", api_key="EMPTY", max_retries=0)

    def chat(*parts: Any, **more: Any) -> Any:
        asked: Any = [{"role": "user", "content": [{"type": "text", "text": "What's seen?"}, *parts]}]
        return client.chat.completions.create(model="sees", messages=asked, temperature=0, **more)

    shown = {"type": "image_url", "image_url": {"url": HEART}}
    assert chat().choices[0].message.content in ("left", "right")
    text = chat(shown, max_tokens=300).choices[0].message.content
    assert text in ("left", "right")
    assert text == "".join(one.choices[0].delta.content or "" for one in chat(shown, stream=True))
    # Of their list the one case that is refused: nothing is fetched.
    with pytest.raises(openai.BadRequestError, match="url"):
        chat({"type": "image_url", "image_url": {"url": "https://picsum.photos/seed/picsum/1024/1024"}})
