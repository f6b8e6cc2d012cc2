"""A model that a host asks: the answers are those of `chat`, and a host can leave at any slice."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count

import pytest

from tests.models.tiny_models import tiny_spec
from tests.models.transformers_models import CHATML
from tinsmith import _core
from tinsmith.compiler import build_image
from tinsmith.constraint.makers import schema, tools
from tinsmith.errors import ConstraintError, InputError
from tinsmith.runtime import Model
from tinsmith.runtime.answerer import Answerer, Question, own_calls
from tinsmith.runtime.generation import Sampling, TokenRequest
from tinsmith.runtime.receipt import receipt

ASKED = [{"role": "user", "content": "Which one?"}]
SHAPE = {
    "type": "object",
    "properties": {"n": {"enum": [1, 20, 300]}},
    "required": ["n"],
    "additionalProperties": False,
}
TOOLS = [{"name": "turn", "parameters": {"type": "object", "properties": {"on": {"type": "boolean"}}}}]


@pytest.fixture(scope="module")
def model() -> Model:
    image = build_image(replace(tiny_spec("llama"), chat_template=CHATML))
    return Model(_core.Model(image), image, threads=1)


@pytest.fixture
def answerer(model: Model) -> Answerer:
    return Answerer(model, context=512)


def test_a_free_answer_and_its_receipt_are_those_of_chat(model: Model, answerer: Answerer) -> None:
    drawn = Sampling(temperature=0.8, seed=3, lookup=4)
    answer = answerer.answer(Question(messages=ASKED, max_tokens=20, sampling=drawn))
    want = model.chat(ASKED, max_tokens=20, temperature=0.8, seed=3, record=True)
    assert answer is not None
    assert (answer.token_ids, answer.finish, answer.calls) == (want.token_ids, want.finish, [])
    asked = TokenRequest(tokens=model.render(ASKED), max_tokens=20, sampling=replace(drawn, lookup=0))
    assert answer.receipt == receipt(model, asked, want)


def test_a_schema_holds(model: Model, answerer: Answerer) -> None:
    answer = answerer.answer(Question(messages=ASKED, schema=SHAPE, max_tokens=40))
    want = model.chat(ASKED, constraint=schema(SHAPE), max_tokens=40)
    assert answer is not None
    assert answer.text == want.text
    assert json.loads(answer.text)["n"] in (1, 20, 300)
    with pytest.raises(InputError, match="did not end by itself"):
        answerer.answer(Question(messages=ASKED, schema=SHAPE, max_tokens=2))
    with pytest.raises(ConstraintError):
        answerer.answer(Question(messages=ASKED, schema={"type": "nothing"}))


def test_tools_are_called(model: Model, answerer: Answerer) -> None:
    answer = answerer.answer(Question(messages=ASKED, tools=TOOLS, max_tokens=60))
    assert answer is not None
    assert [call.name for call in answer.calls] == ["turn"]
    assert [call.arguments for call in answer.calls] == [
        call.arguments for call in model.call(ASKED, TOOLS, max_tokens=60)
    ]
    text = answerer.answer(Question(messages=ASKED, tools=TOOLS, must_call=False, max_tokens=60))
    assert text is not None
    assert all(call.name == "turn" for call in text.calls)


def test_the_files_own_tools_are_read_from_its_answers(model: Model, answerer: Answerer) -> None:
    skill = model.skill
    skill.__dict__["constraint"] = tools(TOOLS)  # as a cached property keeps it
    try:
        answer = answerer.answer(Question(messages=ASKED, max_tokens=60))
        free = answerer.answer(Question(messages=ASKED, unconstrained=True, max_tokens=8))
    finally:
        del skill.__dict__["constraint"]
    assert answer is not None
    assert free is not None
    assert [call.name for call in answer.calls] == ["turn"]
    assert free.calls == []


@pytest.mark.parametrize("looks", [0, 1, 3])
def test_an_unwanted_answer_ends_and_leaves_nothing(model: Model, answerer: Answerer, looks: int) -> None:
    seen = count()
    assert answerer.answer(Question(messages=ASKED, max_tokens=60), lambda: next(seen) >= looks) is None
    answer = answerer.answer(Question(messages=ASKED, max_tokens=20))
    assert answer is not None
    assert answer.token_ids == model.chat(ASKED, max_tokens=20).token_ids


def test_too_long_conversations_are_rejected(model: Model, answerer: Answerer) -> None:
    with pytest.raises(InputError, match=r"tokens, and the context 512"):
        answerer.answer(Question(messages=[{"role": "user", "content": "x" * 800}]))
    with pytest.raises(InputError, match="over the limit of 1,000"):
        Answerer(model, context=512, most_bytes=1000)
    assert Answerer(model, context=512, most_bytes=answerer.memory).memory == answerer.memory


@pytest.mark.parametrize(
    "text", ["no JSON", "3", '{"name": "turn"}', '{"arguments": {}}', '[{"name": "turn", "arguments": []}]']
)
def test_own_calls_rejects_invalid_calls(text: str) -> None:
    with pytest.raises(InputError):
        own_calls(text)


def test_calls_are_read_one_or_several() -> None:
    one, two = '{"name":"turn","arguments":{"on":true}}', '{"name":"stop","arguments":{}}'
    assert [call.name for call in own_calls(one)] == ["turn"]
    assert [call.name for call in own_calls(f"[{one},{two}]")] == ["turn", "stop"]
    assert own_calls("[]") == []
