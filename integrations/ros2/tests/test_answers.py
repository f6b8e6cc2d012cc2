"""The node's answers equal Python's to the last bit, in the cases of integrations/conformance."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from robot import ABORTED, CANCELED, CASES, GIVEN, PLAIN, SUCCEEDED, TINS, Robot, asked, found, until
from tinsmith_msgs.msg import Message

results: dict[str, str] = {}


@pytest.fixture(scope="module", autouse=True)
def table():
    """What `scripts/hosts table` reads."""
    yield
    told = {"host": "ros2", "version": "rclpy, Fast DDS", "cases": results}
    if len(results) == len(CASES):
        Path(os.environ["WORK"], "conformance.json").write_text(json.dumps(told, indent=2) + "\n")


def check(name, *pairs):
    wrong = [f"{here} is not {there}" for here, there in pairs if here != there]
    results[name] = "; ".join(wrong) or "passed"
    assert not wrong


@pytest.mark.parametrize("name", ["answer", "unconstrained", "adapter", "choose"])
def test_an_answer_is_the_one_that_python_gives(plain, name):
    case = CASES[name]
    result = plain.generate(**asked(case))
    assert result.status == SUCCEEDED
    expected = dict(case["expect"])
    pairs = []
    if name == "choose":
        pairs.append((case["options"].index(result.result.text), expected.pop("chosen")))
    if name == "adapter":  # and then without it
        again = plain.generate(**asked(case) | {"adapter": ""})
        pairs.append((found(again.result), case["then"]))
    check(name, (found(result.result), expected), *pairs)
    response = plain.ask(**asked(case))
    assert (found(response), response.receipt) == (found(result.result), result.result.receipt)


def test_pieces_make_the_answer(plain):
    pieces = []
    result = plain.generate(**asked(CASES["answer"]), on_piece=pieces.append).result
    assert until(lambda: "".join(pieces) == result.text) and len(pieces) > 1


def test_a_cancelled_goal_leaves_nothing(plain):
    case, pieces = CASES["cancel"], []
    long = asked(case) | {"unconstrained": True, "max_tokens": 400, "temperature": 1.0}
    handle = plain.send(**long, on_piece=pieces.append)
    assert until(lambda: len(pieces) >= case["after_tokens"])
    assert plain.peer.wait(handle.cancel_goal_async()).goals_canceling
    result = plain.peer.wait(handle.get_result_async())
    assert result.status == CANCELED and result.result.text.startswith("".join(pieces[:3]))
    assert result.result.error == "cancelled"
    check("cancel", (found(plain.generate(**asked(case)).result), case["expect"]))


def test_a_conversation_goes_on_in_another_node(plain, tmp_path):
    """The goal carries it: there is nothing else to save."""
    case = CASES["restore"]
    first = plain.generate(**asked(case)).result
    said = [Message(**one) for one in case["messages"]] + [Message(role="assistant", content=first.text)]
    with Robot(tmp_path, file=PLAIN, context=512).started() as other:
        then = other.generate(case["next"], before=said, max_tokens=case["max_tokens"]).result
    check("restore", (found(first), case["expect"]), (found(then), case["then"]))


def test_a_budget_changes_no_bit(tmp_path):
    case = CASES["budget"]
    with Robot(tmp_path, file=PLAIN, context=512, budget=case["budget_us"], period=400).started() as robot:
        check("budget", (found(robot.generate(**asked(case)).result), case["expect"]))


@pytest.mark.parametrize("name", ["missing", "key", "memory"])
def test_what_is_refused_is_said_and_the_node_stays(tmp_path, name):
    case = CASES[name]
    wrong = {
        "missing": {"file": str(TINS / case.get("file", ""))},
        "key": {"file": PLAIN, "key": GIVEN["keys"]["other"]},
        "memory": {"file": PLAIN, "most_bytes": case.get("most_bytes")},
    }
    with Robot(tmp_path, **wrong[name]) as robot:
        assert not robot.change("configure") and robot.state == "unconfigured"
        assert robot.logs("not configured: ")
        line = next(line for line in robot.log.splitlines() if "not configured: " in line)
        assert robot.stop() == 0
    if name == "key":
        with Robot(tmp_path, file=PLAIN, key=GIVEN["keys"]["maker"]) as robot:
            assert robot.change("configure"), robot.log
    says = case["expect"]["says"]
    check(name, (says if says in line else line, says))


def test_a_schema_of_the_question(plain):
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}}}
    schema |= {"required": ["n"], "additionalProperties": False}
    result = plain.generate("a digit", schema=json.dumps(schema)).result
    assert set(json.loads(result.text)) == {"n"}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"schema": "{"}, "schema"),
        ({"schema": "{}", "unconstrained": True}, "schema and unconstrained are given"),
        ({"adapter": "c"}, "the model has no adapter 'c'; it has: a, b"),
        ({"call": True}, "the node has no tools to call"),
        ({"temperature": -1.0}, "temperature"),
        ({"max_tokens": 600}, "they may be 512 in all"),
    ],
)
def test_a_wrong_question_is_one_line(plain, fields, says):
    result = plain.generate("hello", **fields)
    assert result.status == ABORTED and says in result.result.error and "\n" not in result.result.error
