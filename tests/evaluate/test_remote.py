"""Systems that run elsewhere: an endpoint on loopback, and files of answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.backends.scripted_endpoint import Reply, says, serving
from tinsmith.backends.endpoint import Endpoint
from tinsmith.data.readers import Example
from tinsmith.errors import DataError, InputError
from tinsmith.evaluate import remote, systems
from tinsmith.evaluate.answers import Item

ITEMS = [Item([{"role": "user", "content": f"number {n}"}]) for n in range(5)]
EXAMPLES = [Example("a", "1"), Example("b", "2"), Example("a", "3")]


def repeated(body: dict[str, Any]) -> Reply:
    return says(f"said {body['messages'][-1]['content']}")


def test_an_endpoint_is_asked_each_item_once(tmp_path: Path) -> None:
    done: list[int] = []
    with serving(repeated) as server:
        for _ in range(2):
            outcome = remote.ask("far", Endpoint(server.url, "big"), ITEMS, 9, tmp_path, done.append)
        assert [body["messages"][-1]["content"] for body in server.asked] == [f"number {n}" for n in range(5)]
        assert {body["max_tokens"] for body in server.asked} == {9}
    assert [answer.text for answer in outcome.answers] == [f"said number {n}" for n in range(5)]
    costs = systems.costs(outcome)
    assert (costs["prompt_tokens"], costs["generated_tokens"], costs["peak_memory"]) == (7, 3, None)
    assert costs["ms_per_item"] > 0
    assert done[:5] == [0, 1, 2, 3, 4]


def test_what_was_answered_before_a_fault_is_not_asked_again(tmp_path: Path) -> None:
    def script(body: dict[str, Any]) -> Reply:
        return repeated(body) if len(server.asked) != 4 else Reply(b'{"error": "no"}', status=400)

    with serving(script) as server:
        far = Endpoint(server.url, "big")
        with pytest.raises(InputError, match="HTTP 400"):
            remote.ask("far", far, ITEMS, 9, tmp_path, lambda _: None)
        outcome = remote.ask("far", far, ITEMS, 9, tmp_path, lambda _: None)
        assert len(server.asked) == 6
    assert [answer.text for answer in outcome.answers] == [f"said number {n}" for n in range(5)]


def test_another_model_or_prompt_is_asked_anew(tmp_path: Path) -> None:
    with serving(repeated) as server:
        for model, items in (("big", ITEMS), ("bigger", ITEMS), ("bigger", ITEMS[::-1])):
            remote.ask("far", Endpoint(server.url, model), items, 9, tmp_path, lambda _: None)
        assert len(server.asked) == 15


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_answers_by_input_and_equal_inputs_in_order(tmp_path: Path) -> None:
    path = write(
        tmp_path / "answers.jsonl",
        {"input": "b", "text": "2", "tokens": 4, "prompt_tokens": 10, "seconds": 0.5},
        {"input": "a", "text": "1"},
        {"input": "a", "text": "3"},
        {"input": "not asked", "text": "9"},
    )
    outcome = remote.given(path, EXAMPLES)
    assert [answer.text for answer in outcome.answers] == ["1", "2", "3"]
    costs = systems.costs(outcome)
    assert (costs["ms_per_item"], costs["generated_tokens"], costs["prompt_tokens"]) == (500, 4, 10)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "1"}, r':1: "input" is missing'),
        ({"input": "a"}, r':1: "text" must be the answer'),
        ({"input": "a", "text": "1", "seconds": -1}, r':1: "seconds" must be a number, 0 or more'),
        ({"input": "a", "text": "1", "tokens": True}, r':1: "tokens" must be a number'),
        (["a"], r":1: got a list"),
        ({"input": "a", "text": "1"}, r"has no answer to 1 of 3 test inputs, such as 'b'"),
    ],
)
def test_a_file_that_does_not_answer_says_where(tmp_path: Path, row: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        remote.given(write(tmp_path / "answers.jsonl", row), EXAMPLES)
