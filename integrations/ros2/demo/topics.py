"""The rover on ROS: std_msgs/String, commands in on rover/commands, calls out on rover/calls as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import rclpy
from std_msgs.msg import String


class Topics:
    """Spun by the control loop itself, a message a tick: no thread."""

    def __init__(self) -> None:
        rclpy.init()
        self._node = rclpy.create_node("rover")
        self._heard: list[str] = []
        self._calls = self._node.create_publisher(String, "rover/calls", 10)
        self._node.create_subscription(String, "rover/commands", lambda said: self._heard.append(said.data), 10)

    def commands(self, tick: int, idle: bool) -> Iterator[str]:
        rclpy.spin_once(self._node, timeout_sec=0)
        heard, self._heard = self._heard, []
        return iter(heard)

    def said(self, also: Callable[..., None]) -> Callable[..., None]:
        def say(answer: Any, tick: int, ticks: int) -> None:
            told = {"command": answer.command, "name": answer.name, "arguments": answer.arguments}
            self._calls.publish(String(data=json.dumps(told)))
            also(answer, tick, ticks)

        return say

    def close(self) -> None:
        self._node.destroy_node()
        rclpy.try_shutdown()
