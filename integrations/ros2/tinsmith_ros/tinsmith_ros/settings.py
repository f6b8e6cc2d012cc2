"""The node's parameters. They are read when it is configured."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from rcl_interfaces.msg import IntegerRange, ParameterDescriptor

if TYPE_CHECKING:
    from rclpy.node import Node

_LARGE = 2**62


@dataclass(frozen=True)
class Settings:
    """Defaults and descriptions."""

    file: str = ""
    key: str = ""
    adapter: str = ""
    tools: str = ""
    system: str = ""
    context: int = 0
    slots: int = 4
    queue: int = 1024
    threads: int = 1
    max_tokens: int = 256
    most_bytes: int = 0
    budget: int = 0
    period: int = 20_000
    executor_threads: int = 2
    autostart: bool = False


_TOLD = {
    "file": "the .tin",
    "key": "public key of minisign (RW…) or its file; with it, a file that its owner did not sign is refused",
    "adapter": "adapter of the file that questions are asked under, unless they name another",
    "tools": "what can be called: JSON in OpenAI's shape, or the path of such a file",
    "system": "a system message put before every conversation that has none",
    "context": "most tokens of a conversation with its answer; 0: the model's own number",
    "slots": "answers that are computed at once, in one batch",
    "queue": "goals that may wait for a place; more are rejected",
    "threads": "threads that compute",
    "max_tokens": "most tokens of an answer, unless the question says",
    "most_bytes": "of memory beside the file; a model that needs more is refused. 0: any",
    "budget": "microseconds of every `period` that the model may compute; 0: all of it",
    "period": "microseconds",
    "executor_threads": "threads of the executor; one waits while a service is answered. Read at the start",
    "autostart": "configure and activate at the start; where that fails, exit with 1",
}
_RANGES = {
    "context": (0, 1 << 20),
    "slots": (1, 64),
    "queue": (0, 1 << 20),
    "threads": (1, 64),
    "max_tokens": (1, 1 << 20),
    "most_bytes": (0, _LARGE),
    "budget": (0, 1_000_000),
    "period": (100, 1_000_000),
    "executor_threads": (2, 64),
}


def declare(node: Node) -> None:
    """ROS itself refuses values of another type or out of range."""
    for field in fields(Settings):
        told = ParameterDescriptor(description=_TOLD[field.name])
        if field.name in _RANGES:
            low, high = _RANGES[field.name]
            told.integer_range = [IntegerRange(from_value=low, to_value=high)]
        node.declare_parameter(field.name, field.default, told)


def read(node: Node) -> Settings:
    return Settings(**{field.name: node.get_parameter(field.name).value for field in fields(Settings)})
