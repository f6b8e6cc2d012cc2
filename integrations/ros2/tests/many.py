"""Sends many goals to a node, cancels some at random positions, and counts the results.

python many.py [--actions 1000] [--cancels 100] [--file TIN]    prints JSON
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import rclpy
from robot import CANCELED, SUCCEEDED, TINY, Robot, until
from tinsmith_msgs.action import Generate

PROMPTS = [f"Tell me about {thing}." for thing in ("rain", "iron", "owls", "salt", "kites")]

# Tokens of an answer; those that are cancelled are long, so that few are done before the cancel comes.
SHORT, LONG = 24, 900


def run(folder: Path, file: str, actions: int, cancels: int, seed: int = 1) -> dict[str, Any]:
    """wrong: answers that are not those of the same prompt alone. cancelled: by status; a cancel that comes too
    late finds an answer."""
    drawn = random.Random(seed)
    doomed = set(drawn.sample(range(actions), cancels))
    with Robot(folder, file=file, slots=8, queue=actions).started() as robot:
        alone = [robot.generate(prompt, max_tokens=SHORT).result.digest for prompt in PROMPTS]
        ends: dict[int, Any] = {}
        rejected: list[int] = []
        lock = threading.Lock()

        def accepted(number: int, sent: Any) -> None:
            handle = sent.result()
            if not handle.accepted:
                rejected.append(number)
                return
            handle.get_result_async().add_done_callback(lambda done: ended(number, done.result()))
            if number in doomed:
                handle.cancel_goal_async()

        def ended(number: int, result: Any) -> None:
            with lock:
                ends[number] = result

        began = time.perf_counter()
        for number in range(actions):
            most = LONG if number in doomed else SHORT
            goal = Generate.Goal(prompt=PROMPTS[number % len(PROMPTS)], max_tokens=most)
            sent = robot.actions.send_goal_async(goal)
            sent.add_done_callback(lambda done, number=number: accepted(number, done))
            if number % 16 == 15:
                time.sleep(drawn.random() * 0.02)  # so that cancels fall into all stages of an answer
        until(lambda: len(ends) + len(rejected) == actions)
        seconds = time.perf_counter() - began
        assert robot.stop() == 0, robot.log
    status = Counter(one.status for one in ends.values())
    right = [
        one.result.digest == alone[number % len(PROMPTS)]
        for number, one in ends.items()
        if one.status == SUCCEEDED and number not in doomed
    ]
    return {
        "actions": actions,
        "asked_to_cancel": cancels,
        "succeeded": status[SUCCEEDED],
        "cancelled": status[CANCELED],
        "rejected": len(rejected),
        "lost": actions - len(ends) - len(rejected),
        "wrong": right.count(False),
        "seconds": round(seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--actions", type=int, default=1000)
    parser.add_argument("--cancels", type=int, default=100)
    parser.add_argument("--file", default=TINY)
    given = parser.parse_args()
    rclpy.init()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(run(Path(folder), given.file, given.actions, given.cancels), indent=2))
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
