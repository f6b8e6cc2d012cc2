"""The leaf, in a tree that is ticked as a robot's is."""

from __future__ import annotations

import time

import py_trees
import pytest
from py_trees.common import Access, Status
from robot import CASES, PLAIN, TINY, Robot, asked, found, until
from tinsmith_ros.leaf import Ask


@pytest.fixture
def board():
    py_trees.blackboard.Blackboard.clear()
    client = py_trees.blackboard.Client(name="test")
    client.register_key("command", access=Access.WRITE)
    client.register_key("answer", access=Access.READ)
    return client


def ticked(tree, end=lambda: False):
    for _ in range(3000):
        tree.tick_once()
        if tree.status != Status.RUNNING or end():
            return tree.status
        time.sleep(0.02)
    raise AssertionError("no end")


def test_the_answer_comes_to_the_blackboard(tmp_path, board):
    case = CASES["answer"]
    goal = asked(case)
    board.command = goal.pop("prompt")
    with Robot(tmp_path, file=PLAIN, context=512).started() as robot:
        leaf = Ask("ask", robot.peer.node, server=f"{robot.name}/generate", **goal)
        leaf.setup()
        assert ticked(leaf) == Status.SUCCESS
        assert found(board.answer) == case["expect"]
        assert leaf.feedback_message == board.answer.text


def test_interrupted_it_cancels(tmp_path, board):
    board.command = "tell me"
    with Robot(tmp_path, file=TINY, budget=200, period=20_000).started() as robot:
        leaf = Ask("ask", robot.peer.node, server=f"{robot.name}/generate", max_tokens=800)
        leaf.setup()
        ticked(leaf, end=lambda: leaf.feedback_message)
        leaf.stop(Status.INVALID)
        began = time.monotonic()
        assert robot.ask("hello", max_tokens=1).text is not None  # which waits for no 800 tokens
        assert time.monotonic() - began < 30
        assert until(lambda: leaf._result is None)


def test_a_node_that_is_not_active_is_a_failure(tmp_path, board):
    board.command = "hello"
    with Robot(tmp_path, file=TINY) as robot:
        leaf = Ask("ask", robot.peer.node, server=f"{robot.name}/generate")
        leaf.setup()
        assert ticked(leaf) == Status.FAILURE and "not active" in leaf.feedback_message
        assert robot.started()
        assert ticked(leaf) == Status.SUCCESS
