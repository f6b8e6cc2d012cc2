"""OpenAI's client on probabilities and penalties, /v1/completions, /v1/responses and /v1/embeddings."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import ollama
import openai
import pytest
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.responses import Response
from pydantic import TypeAdapter

import tinsmith
from tests.chat.test_chat_template import THINKING
from tests.models.tiny_models import tiny_spec
from tests.serve.served import ASKED, Running, running
from tests.serve.test_openai_chat import LIGHT, SCHEMA, ask
from tinsmith.compiler import build_tin
from tinsmith.runtime.generation import Sampling, TokenRequest
from tinsmith.runtime.scheduler import Scheduler
from tinsmith.serve.api.responses import ResponsesBody, messages_of
from tinsmith.serve.fields import validate


def test_logprobs_equal_those_of_the_logits(server: Running, chatgpt: openai.OpenAI) -> None:
    np = pytest.importorskip("numpy")
    model = server.alone["tiny"]
    tokens = model.chat(ASKED, max_tokens=6).token_ids
    content = ask(chatgpt, max_tokens=6, logprobs=True, top_logprobs=3).choices[0].logprobs.content
    prompt = model.render(ASKED)
    rows = np.asarray(model.logits(prompt + tokens))[len(prompt) - 1 : -1].astype(np.float64)
    assert [bytes(one.bytes) for one in content] == [model.token_bytes(token) for token in tokens]
    for row, token, one in zip(rows, tokens, content, strict=True):
        known = row - (row.max() + math.log(np.exp(row - row.max()).sum()))
        best = np.argsort(-known, kind="stable")[:3]
        assert one.logprob == pytest.approx(known[token], abs=1e-4)
        assert [top.logprob for top in one.top_logprobs] == pytest.approx(list(known[best]), abs=1e-4)
        assert [bytes(top.bytes) for top in one.top_logprobs] == [model.token_bytes(int(k)) for k in best]


@pytest.mark.parametrize(
    "given",
    [
        {"presence_penalty": 1.5},
        {"frequency_penalty": 2.0},
        {"logit_bias": {"264": -100, "30": 5}},
        {"extra_body": {"repetition_penalty": 1.5, "top_k": 3, "min_p": 0.1}, "temperature": 1, "seed": 3},
    ],
)
def test_sampling_parameters_are_applied(
    server: Running, chatgpt: openai.OpenAI, given: dict[str, Any]
) -> None:
    options = {**given, **given.get("extra_body", {})}
    options.pop("extra_body", None)
    if "logit_bias" in options:
        options["logit_bias"] = {int(token): value for token, value in options["logit_bias"].items()}
    model = server.alone["tiny"]
    scheduler = Scheduler(model, slots=1)
    job = scheduler.add(
        TokenRequest(tokens=model.render(ASKED), max_tokens=8, sampling=Sampling(lookup=4, **options))
    )
    while not job.completion:
        scheduler.step()
    assert ask(chatgpt, **given).choices[0].message.content == job.completion.text
    assert job.completion.text != ask(chatgpt).choices[0].message.content


def test_token_choices_are_reported(chatgpt: openai.OpenAI) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"enum": ["abc", "abd"]}}}
    extra = {"tinsmith": {"choices": True}}
    whole = ask(chatgpt, response_format=form, extra_body=extra).choices[0].model_extra["tinsmith"]["choices"]
    chunks = ask(chatgpt, response_format=form, extra_body=extra, stream=True)
    streamed = [
        one
        for chunk in chunks
        for one in (chunk.choices[0].model_extra or {}).get("tinsmith", {}).get("choices", ())
    ]
    assert streamed == whole
    assert [one["forced"] for one in whole] == [True, True, True, False, True]
    assert [one["allowed"] for one in whole] == [1, 1, 1, 2, 1]
    assert sum(math.exp(value) for _, value in whole[3]["top"]) == pytest.approx(1, abs=1e-5)
    assert bytes(value for one in whole for value in one["bytes"]) in (b'"abc"', b'"abd"')


def test_prompts_are_continued(server: Running, chatgpt: openai.OpenAI) -> None:
    model = server.alone["tiny"]
    answer = chatgpt.completions.create(
        model="tiny", prompt=["in", "the"], max_tokens=5, n=2, temperature=1, seed=4, logprobs=1
    )
    assert [one.index for one in answer.choices] == [0, 1, 2, 3]
    for k, one in enumerate(answer.choices):
        alone = model.generate(["in", "the"][k // 2], max_tokens=5, temperature=1, seed=4 + k % 2)
        assert one.text == alone.text
        assert one.logprobs and len(one.logprobs.tokens or ()) == len(alone.token_ids)
    assert answer.usage and answer.usage.prompt_tokens == 1 + 1
    tokens = model.tokenize("in the")
    chunks = list(chatgpt.completions.create(model="tiny", prompt=tokens, max_tokens=5, stream=True, echo=True))
    text = "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert text == "in the" + model.generate(tokens, max_tokens=5).text
    raw = chatgpt.completions.with_raw_response.create(model="tiny", prompt="in", max_tokens=2)
    Completion.model_validate_json(raw.text)
    control = chatgpt.completions.create(model="tiny", prompt="<|im_start|>in", max_tokens=5)
    assert control.usage and control.usage.prompt_tokens == 2
    assert control.choices[0].text == model.generate("<|im_start|>in", max_tokens=5).text
    tokens_before = {"suffix": "x", "prompt": [5]}
    for refused in (tokens_before, {"best_of": 3}, {"echo": True, "logprobs": 1}, {"prompt": [9999]}):
        with pytest.raises(openai.BadRequestError, match=next(iter(refused))):
            chatgpt.completions.create(**{"model": "tiny", "prompt": "in", **refused})


def test_stream_has_text_offsets(chatgpt: openai.OpenAI) -> None:
    given: dict[str, Any] = {"model": "tiny", "prompt": ["in", "the"], "max_tokens": 6, "logprobs": 1}
    whole = [one.logprobs.text_offset for one in chatgpt.completions.create(**given).choices]
    streamed: list[list[int]] = [[], []]
    for chunk in chatgpt.completions.create(**given, stream=True):
        for one in chunk.choices:
            streamed[one.index] += one.logprobs.text_offset
    assert streamed == whole and all(offsets[-1] for offsets in whole)


def test_completion_text_is_unparsed(tmp_path: Path) -> None:
    held = tinsmith.regex(r"\n<think>\nhm\n</think>\n\n[ab]{2}")
    spec = replace(tiny_spec("llama"), chat_template=THINKING)
    build_tin(spec, tmp_path / "own.tin", entries={"grammar/answer.bin": held.data})
    with running([tmp_path / "own.tin"]) as server:
        expected = server.alone["own"].generate("in").text
        assert "hm" in expected
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        assert client.completions.create(model="own", prompt="in").choices[0].text == expected
        chunks = client.completions.create(model="own", prompt="in", stream=True)
        assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == expected
        raw = ollama.Client(host=server.url).generate("own", "in", raw=True)
        assert raw.response == expected and not raw.thinking


def test_all_thoughts_of_a_turn_are_kept() -> None:
    thoughts = [
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": one}]} for one in ("a", "b")
    ]
    call = {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}
    asked = [{"role": "user", "content": "x"}, thoughts[0], call, thoughts[1], call]
    _, turn = messages_of(validate(ResponsesBody, {"model": "m", "input": asked}))
    assert turn["reasoning_content"] == "ab" and len(turn["tool_calls"]) == 2


def test_fill_in_the_middle(server: Running, chatgpt: openai.OpenAI) -> None:
    model = server.alone["thinker"]
    prompt = model.infill_prompt("in the", " thin<|im_end|>")
    expected = model.generate(prompt, max_tokens=5).text
    given = {"prompt": "in the", "suffix": " thin<|im_end|>", "max_tokens": 5}
    answer = chatgpt.completions.create(model="thinker", echo=True, **given)
    assert answer.choices[0].text == "in the" + expected
    assert answer.usage and answer.usage.prompt_tokens == len(prompt)
    with pytest.raises(openai.BadRequestError, match="can't fill in a middle"):
        chatgpt.completions.create(model="tiny", **given)


def test_embeddings_are_the_last_states(server: Running, chatgpt: openai.OpenAI) -> None:
    model = server.alone["tiny"]
    answer = chatgpt.embeddings.create(model="tiny", input=["in the", "the"])
    for text, one in zip(["in the", "the"], answer.data, strict=True):
        state = list(model.states([model.tokenize(text, bos=True)])[0])
        length = math.sqrt(sum(value * value for value in state))
        assert one.embedding == pytest.approx([value / length for value in state], abs=1e-6)
    tokens = model.tokenize("in the", bos=True)
    states = [list(model.states([tokens[: k + 1]])[0]) for k in range(len(tokens))]
    mean = [math.fsum(column) / len(tokens) for column in zip(*states, strict=True)]
    length = math.sqrt(math.fsum(value * value for value in mean))
    more = {"extra_body": {"tinsmith": {"pooling": "mean"}}}
    (one,) = chatgpt.embeddings.create(model="tiny", input="in the", **more).data
    assert one.embedding == pytest.approx([value / length for value in mean], abs=1e-6)
    assert one.embedding != answer.data[0].embedding
    raw = chatgpt.embeddings.with_raw_response.create(model="tiny", input=[1, 2], encoding_format="float")
    CreateEmbeddingResponse.model_validate_json(raw.text)
    for model_name, options in (("tiny:a", {}), ("tiny", {"dimensions": 3}), ("tiny", {"input": ["x"] * 300})):
        with pytest.raises(openai.BadRequestError):
            chatgpt.embeddings.create(**{"model": model_name, "input": "x", **options})


def test_a_response(server: Running, chatgpt: openai.OpenAI) -> None:
    alone = server.alone["tiny"].chat([{"role": "system", "content": "be"}, *ASKED], max_tokens=8)
    options: dict[str, Any] = {"model": "tiny", "input": ASKED, "instructions": "be", "max_output_tokens": 8}
    raw = chatgpt.responses.with_raw_response.create(**options)
    answer = Response.model_validate_json(raw.text)
    assert answer.output_text == alone.content
    assert (answer.status, answer.usage.input_tokens if answer.usage else 0) == (
        "incomplete",
        alone.prompt_tokens,
    )
    events = list(chatgpt.responses.create(stream=True, **options))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (
        "".join(event.delta for event in events if event.type == "response.output_text.delta") == alone.content
    )
    last = events[-1]
    assert last.type == "response.incomplete" and last.response.output_text == alone.content
    for event in events:
        TypeAdapter(type(event)).validate_python(event.model_dump(by_alias=True, warnings=False))


def test_response_continues_after_a_call(chatgpt: openai.OpenAI) -> None:
    tool = {"type": "function", **LIGHT["function"]}
    options: dict[str, Any] = {"model": "thinker", "tools": [tool], "max_output_tokens": 400}
    with chatgpt.responses.stream(input=ASKED, tool_choice="required", **options) as stream:
        events = list(stream)
        answer = stream.get_final_response()
    calls = [item for item in answer.output if item.type == "function_call"]
    grown = [event for event in events if event.type == "response.function_call_arguments.delta"]
    done = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert len(grown) > 2 * len(calls)
    assert [event.arguments for event in done] == [call.arguments for call in calls]
    for event in done:
        pieces = [one.delta for one in grown if one.item_id == event.item_id]
        assert "".join(pieces) == event.arguments
    assert calls and all(isinstance(json.loads(call.arguments)["on"], bool) for call in calls)
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": "done"} for call in calls]
    after = chatgpt.responses.create(
        input=[*ASKED, *answer.output, *results], tool_choice="none", **{**options, "max_output_tokens": 4}
    )
    assert after.usage and after.usage.output_tokens == 4


def test_response_satisfies_the_schema(server: Running, chatgpt: openai.OpenAI) -> None:
    text = {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA, "strict": True}}
    answer = chatgpt.responses.create(model="tiny", input="in the", text=text)
    alone = server.alone["tiny"].chat(ASKED, constraint=tinsmith.schema(SCHEMA))
    assert answer.output_text == alone.content and answer.status == "completed"


@pytest.mark.parametrize(
    "refused",
    [
        {"previous_response_id": "resp_1"},
        {"store": True},
        {"background": True},
        {"conversation": "c"},
        {"truncation": "auto"},
        {"tools": [{"type": "web_search"}]},
        {"reasoning": {"summary": "auto"}},
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x", "detail": "low"}]}]},
    ],
)
def test_unsupported_fields_of_responses(chatgpt: openai.OpenAI, refused: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError, match=next(iter(refused))):
        chatgpt.responses.create(**{"model": "tiny", "input": "in", **refused})
