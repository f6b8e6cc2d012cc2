"""The node in a process of its own, and a peer in this one that asks it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
import yaml
from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.action import ActionClient
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from std_msgs.msg import String
from tinsmith_msgs.action import Generate
from tinsmith_msgs.msg import Message
from tinsmith_msgs.srv import Ask, Call
from tinsmith_ros.goals import DEEP

TINS = Path(os.environ["TINS"])
GIVEN = json.loads((TINS / "cases.json").read_text())
CASES = {case["name"]: case for case in GIVEN["cases"]}
PLAIN, TINY = (str(TINS / GIVEN["files"][name]) for name in ("plain", "tiny"))
SUCCEEDED, CANCELED, ABORTED = (
    GoalStatus.STATUS_SUCCEEDED,
    GoalStatus.STATUS_CANCELED,
    GoalStatus.STATUS_ABORTED,
)
PATIENCE = 60  # seconds: of a machine that is busy with other things
# Seconds after a server was found in which it finds its client as well: an answer sent earlier is lost.
MEETING = 1.0
_numbers = itertools.count()


def command(package: str, program: str) -> str:
    """What `ros2 run` runs."""
    folders = os.environ["AMENT_PREFIX_PATH"].split(os.pathsep)
    (found,) = (path for one in folders if (path := Path(one, "lib", package, program)).is_file())
    return str(found)


class Peer:
    """A node that is spun by a thread."""

    def __init__(self) -> None:
        self.node = rclpy.create_node(f"peer_{next(_numbers)}")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def wait(self, future: Any) -> Any:
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        assert done.wait(PATIENCE), "no answer"
        return future.result()

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()


class Robot:
    """parameters: of the node. It is neither configured nor active, but by autostart."""

    def __init__(self, folder: Path, **parameters: Any) -> None:
        self.space = f"/robot_{next(_numbers)}"
        self.name = f"{self.space}/tin"
        settings = folder / "params.yaml"
        settings.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}))
        self._log = (folder / f"log{next(_numbers)}").open("w+")
        arguments = ["--ros-args", "--params-file", str(settings), "-r", f"__ns:={self.space}"]
        self.process = subprocess.Popen(
            [command("tinsmith_ros", "tin"), *arguments], stdout=self._log, stderr=subprocess.STDOUT, text=True
        )
        self.peer = Peer()
        self._met: list[Any] = []
        node = self.peer.node
        self.actions = ActionClient(
            node,
            Generate,
            f"{self.name}/generate",
            goal_service_qos_profile=DEEP,
            result_service_qos_profile=DEEP,
            cancel_service_qos_profile=DEEP,
            feedback_sub_qos_profile=DEEP,
        )
        self._ask = node.create_client(Ask, f"{self.name}/ask")
        self._call = node.create_client(Call, f"{self.name}/call")
        self._change = node.create_client(ChangeState, f"{self.name}/change_state")
        self._state = node.create_client(GetState, f"{self.name}/get_state")

    def __enter__(self) -> Robot:
        return self

    def __exit__(self, *_: Any) -> None:
        self.peer.close()
        if self.process.poll() is None:
            self.stop()
        self._log.close()

    def stop(self) -> int:
        """Its exit code, asked to end as by Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)

    @property
    def log(self) -> str:
        return Path(self._log.name).read_text()

    def logs(self, what: str) -> bool:
        return until(lambda: what in self.log)

    def _meet(self, client: Any, wait: Callable[[float], bool]) -> None:
        if client not in self._met:
            assert wait(PATIENCE), self.log
            time.sleep(MEETING)
            self._met.append(client)

    def _request(self, client: Any, request: Any) -> Any:
        self._meet(client, client.wait_for_service)
        return self.peer.wait(client.call_async(request))

    def change(self, name: str) -> bool:
        """A transition by name; whether it succeeded."""
        number = getattr(Transition, f"TRANSITION_{name.upper()}")
        return self._request(self._change, ChangeState.Request(transition=Transition(id=number))).success

    @property
    def state(self) -> str:
        return self._request(self._state, GetState.Request()).current_state.label

    def started(self) -> Robot:
        assert self.change("configure") and self.change("activate"), self.log
        return self

    def ask(self, prompt: str, **fields: Any) -> Ask.Response:
        return self._request(self._ask, Ask.Request(prompt=prompt, **fields))

    def call(self, prompt: str, **fields: Any) -> Call.Response:
        return self._request(self._call, Call.Request(prompt=prompt, **fields))

    def send(self, prompt: str, on_piece: Callable[[str], None] | None = None, **fields: Any) -> Any:
        """The goal's handle."""
        self._meet(self.actions, self.actions.wait_for_server)
        goal = Generate.Goal(prompt=prompt, **fields)
        told = None if on_piece is None else lambda message: on_piece(message.feedback.piece)
        return self.peer.wait(self.actions.send_goal_async(goal, told))

    def generate(self, prompt: str, on_piece: Callable[[str], None] | None = None, **fields: Any) -> Any:
        """The result with its status."""
        handle = self.send(prompt, on_piece, **fields)
        assert handle.accepted, self.log
        return self.peer.wait(handle.get_result_async())


def until(what: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def said(publisher: Any, text: str, heard: list[Any]) -> bool:
    """Says it on a topic, and waits a little for what is heard of it. What is said before both ends have found
    each other is lost: it is to be said again."""
    publisher.publish(String(data=text))
    time.sleep(0.5)
    return bool(heard)


def asked(case: dict[str, Any]) -> dict[str, Any]:
    """The goal's fields for a case of cases.json."""
    *before, last = case["messages"]
    drawn = dict(case.get("sampling", {}))
    if drawn:
        drawn["repetition_penalty"] = drawn.pop("repetition")
    return {
        "prompt": last["content"],
        "before": [Message(**one) for one in before],
        "max_tokens": case["max_tokens"],
        "unconstrained": not case.get("constrained", True),
        "choices": case.get("options", []),
        "adapter": case.get("adapter", ""),
        **drawn,
    }


def found(result: Any) -> dict[str, Any]:
    """As a case's `expect` has it."""
    finish = ("", "stop", "length", "context", "constraint").index(result.finish)
    return {"text": result.text, "tokens": result.tokens, "finish": finish, "digest": str(result.digest)}
