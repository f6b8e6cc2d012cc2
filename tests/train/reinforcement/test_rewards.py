"""What answers are worth, and one line for a function that does not work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinsmith.data.readers import Example
from tinsmith.errors import InputError, UnsupportedError
from tinsmith.train.reinforcement.rewards import Reward

CALL = Example("lamp on", '{"name":"on","arguments":{"area":"hall","name":"lamp","level":3}}')


def reward(name: str, task: str = "call") -> Reward:
    return Reward({name: 1.0}, task, frozenset({"on", "off"}))


def call(name: str, arguments: str) -> str:
    return f'{{"name": "{name}", "arguments": {{{arguments}}}}}'


@pytest.mark.parametrize(
    ("answer", "exact", "valid", "fields"),
    [
        (CALL.output, 1, 1, 1),
        (call("on", '"level": 3.0, "area": "hall", "name": "lamp"'), 1, 1, 1),
        (call("on", '"area": "hall", "name": "lamp", "level": 4'), 0, 1, 6 / 8),
        (call("on", '"area": "hall"'), 0, 1, 4 / 6),
        (call("on", '"area": "hall", "name": "lamp", "level": true'), 0, 1, 6 / 8),
        (call("off", ""), 0, 1, 0),
        ('{"name":"on","arguments":{"area":"hall"', 0, 0, 0),
        ("", 0, 0, 0),
    ],
)
def test_rewards_by_rule(answer: str, exact: float, valid: float, fields: float) -> None:
    found = [reward(name)(answer, CALL) for name in ("exact", "valid", "fields")]
    assert found == pytest.approx([exact, valid, fields])


def test_the_best_of_the_right_answers_counts_for_fields() -> None:
    wanted = Example("x", '{"a": 1, "b": [1, 2]}', accept=('{"a": 2, "b": [2, 1]}',))
    assert reward("fields", "extract")('{"a": 2, "b": [1, 2]}', wanted) == 1
    assert reward("fields", "extract")('{"a": 3, "b": [1, 2]}', wanted) == pytest.approx(4 / 6)
    assert reward("fields", "extract")("{}", Example("x", "{}")) == 1


def test_a_sum_is_a_weighted_mean() -> None:
    both = Reward({"exact": 3, "valid": 1}, "call", frozenset())
    assert [both(text, CALL) for text in (CALL.output, call("off", ""), "?")] == [1, 0.25, 0]


def test_validity_is_also_the_constraints() -> None:
    kept = Reward({"valid": 1.0}, "call", frozenset(), allows=lambda text: "hall" in text)
    assert (kept(CALL.output, CALL), kept(call("off", ""), CALL)) == (1, 0)


def test_a_function_is_given_the_answer_and_the_example(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(
        "import math\nBEST = 2\n\ndef score(answer, example):\n"
        "    return BEST if answer == example['output'] else math.sqrt(len(example['input']))\n"
    )
    own = reward(f"{path}:score")
    assert own(CALL.output, CALL) == 2
    assert own("", CALL) == pytest.approx(7**0.5)


@pytest.mark.parametrize("first", ["", "from __future__ import annotations\n"])
def test_a_function_s_file_is_a_module_of_its_own(first: str, tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(
        f"{first}from dataclasses import dataclass\nimport numpy\n\n"
        "@dataclass\nclass Own:\n    worth: int = 3\n\n"
        "def score(answer, example):\n    return numpy.float32(0.5) if answer else numpy.int64(Own().worth)\n"
    )
    own = reward(f"{path}:score")
    assert (own("on", CALL), own("", CALL)) == (0.5, 3)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\n", "own.py: has no function score; define score(answer, example)"),
        ("def score(answer, example)\n", "own.py:1: can't be run: SyntaxError: expected ':'"),
        ("import nothing_of_this_name\n", "own.py:1: can't be run: ModuleNotFoundError: No module named"),
        ("\n\nraise ValueError('a\\nb')\n", "own.py:3: can't be run: ValueError: a b"),
        ("import sys\nsys.exit(3)\n", "own.py:2: can't be run: SystemExit: 3"),
    ],
)
def test_files_that_do_not_run(source: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(source)
    with pytest.raises(InputError) as fault:
        reward(f"{tmp_path}/own.py:score")
    assert said in str(fault.value)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return helper(answer)", "own.py:2: score failed on the answer 'on': KeyError: 'on'"),
        ("raise SystemExit", "own.py:5: score failed on the answer 'on': SystemExit"),
        ("return None", "own.py:4: score gave None for 'on'; return a finite number"),
        ("return float('nan')", "own.py:4: score gave nan for 'on'; return a finite number"),
    ],
)
def test_functions_that_fail(body: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(
        f"def helper(answer):\n    return {{}}[answer]\n\ndef score(answer, example):\n    {body}\n"
    )
    with pytest.raises(InputError) as fault:
        reward(f"{path}:score")("on", CALL)
    assert said in str(fault.value)


def test_an_unknown_reward_lists_those_there_are() -> None:
    with pytest.raises(UnsupportedError, match='reward "right" does not exist; give exact, valid, fields, or'):
        reward("right")
