"""Tasks: what kind of answer is wanted, and the messages that ask for it."""

from __future__ import annotations

from typing import Literal, TypedDict, get_args

from tinsmith.data.readers import Example
from tinsmith.errors import UnsupportedError

TaskName = Literal["extract", "call", "classify", "chat"]
TASKS: tuple[TaskName, ...] = get_args(TaskName)


class Message(TypedDict):
    role: Literal["system", "user", "assistant"]
    content: str


class Task:
    """extract: JSON of what the text holds; call: a function call as JSON; classify: one of a few labels; chat:
    free text. All four are asked alike, and what is learned is the whole answer."""

    def __init__(self, name: str) -> None:
        if name not in TASKS:
            raise UnsupportedError(f'task "{name}" does not exist; the tasks are {", ".join(TASKS)}')
        self.name: TaskName = name

    def messages(self, example: Example, system: str = "") -> list[Message]:
        """The conversation up to the answer. system: the recipe's system prompt; empty for none."""
        asked: list[Message] = [{"role": "user", "content": example.input}]
        return [{"role": "system", "content": system}, *asked] if system else asked
