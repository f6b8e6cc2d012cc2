from __future__ import annotations

import pytest

from tinsmith import tasks
from tinsmith.errors import UnsupportedError
from tinsmith.tasks._json import json_equal

RIGHT = '{"name": "LightSet", "arguments": {"area": "kitchen", "brightness": 40}}'


def grade(answer: str, *accept: str, task: str = "call", output: str = RIGHT) -> tasks.Grade:
    return tasks.by_name(task).grade(answer, output, accept, frozenset({"yes", "no"}))


@pytest.mark.parametrize(
    "answer",
    [
        RIGHT,
        f"  {RIGHT}\n",
        '{"arguments":{"brightness":40.0,"area":"kitchen"},"name":"LightSet"}',
        '{"name": "LightSet", "arguments": {"area": "k\\u0069tchen", "brightness": 4e1}}',
    ],
)
def test_exact_is_equality_of_json_values(answer: str) -> None:
    assert grade(answer) == tasks.Grade(True, True, True, True, "LightSet")


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "kitchen",
        RIGHT + " and more",
        "```json\n" + RIGHT + "\n```",
        RIGHT[:-1],
        '{"name": "LightSet", "name": "LightSet", "arguments": {}}',
        '{"name": "LightSet", "arguments": {"a": 1, "a": 1}}',
        '{"name": "LightSet", "arguments": {"a": NaN}}',
        '{"name": "LightSet"}',
        '{"name": 1, "arguments": {}}',
        '{"name": "LightSet", "arguments": []}',
        '{"name": "LightSet", "arguments": {}, "why": ""}',
        '[{"name": "LightSet", "arguments": {}}]',
        "[" * 100_000,
    ],
)
def test_what_is_not_a_strict_call_is_invalid(answer: str) -> None:
    assert grade(answer) == tasks.Grade(False, False, False, False, None)


def test_right_function_with_wrong_arguments() -> None:
    answer = '{"name": "LightSet", "arguments": {"area": "kitchen", "brightness": "40"}}'
    assert grade(answer) == tasks.Grade(True, True, False, False, "LightSet")
    assert grade(answer, answer).equivalent


def test_json_equality_keeps_booleans_and_numbers_apart() -> None:
    assert not json_equal({"on": True}, {"on": 1})
    assert not json_equal([0], [False])
    assert json_equal({"a": [1, None]}, {"a": [1.0, None]})


def test_other_tasks() -> None:
    assert grade('{"b": 2, "a": 1}', task="extract", output='{"a": 1, "b": 2}').exact
    assert grade('{"a": 1}', task="extract", output='{"a": 1}').function is None
    assert grade(" yes ", task="classify", output="yes") == tasks.Grade(True, True, True, True, "yes")
    assert grade("maybe", task="classify", output="yes") == tasks.Grade(False, False, False, False, "maybe")
    assert grade("so it is", "so it is", task="chat", output="it is") == tasks.Grade(
        True, None, False, True, None
    )
    with pytest.raises(UnsupportedError, match="the tasks are call, chat, classify, extract"):
        grade("x", task="cal")


ON, OFF = '{"name":"On","arguments":{"level":40}}', '{"name":"Off","arguments":{}}'


def test_several_calls_are_right_in_any_order() -> None:
    both = f"[{ON},{OFF}]"
    right = tasks.Grade(True, True, True, True, "Off + On")
    assert grade(f"[{OFF}, {ON.replace('40', '40.0')}]", output=both) == right
    assert grade(ON, output=both) == tasks.Grade(True, False, False, False, "On")
    assert not grade(f"[{ON},{ON}]", output=both).function
    assert not grade(f"[{ON},{{}}]", output=both).valid and not grade("[]", output=both).valid


def test_calls_are_scored_whole_and_by_function() -> None:
    from dataclasses import dataclass

    from tinsmith.data.readers import Example

    @dataclass(frozen=True)
    class Answer:
        text: str
        options: None = None
        expected_log_probability: None = None
        expected_tokens: None = None

    wanted = [Example("a", f"[{ON},{OFF}]"), Example("b", OFF), Example("c", ON)]
    given = [Answer(f"[{OFF},{ON.replace('40', '41')}]"), Answer(OFF), Answer("on!")]
    found = tasks.by_name("call").measures(list(zip(given, wanted, strict=True)))
    assert (found["precision"], found["recall"], found["f1"]) == (2 / 3, 2 / 4, 4 / 7)
    assert found["rows"]["On"] == {"precision": 0, "recall": 0, "f1": 0, "expected": 2}
    assert found["rows"]["Off"]["f1"] == 1
