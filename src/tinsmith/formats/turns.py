"""A chat template as a table: what stands before and after each message. Needs no template engine."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tinsmith.errors import FormatError, InputError

ROLES = ("system", "user", "assistant")  # in the order of TIN_ROLE_*


def check_messages(messages: Sequence[Mapping[str, Any]]) -> None:
    """Raises InputError for an unknown role, a system message that is not the first, or a message without
    content."""
    for number, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise InputError(f"message {number + 1}: role {role!r} is not one of {', '.join(ROLES)}")
        if not isinstance(content, str):
            raise InputError(f"message {number + 1}: content must be a text, got {type(content).__name__}")
        if role == "system" and number > 0:
            raise InputError(f"message {number + 1}: a system message can only be the first")


@dataclass(frozen=True)
class TurnTable:
    """start_system: before the content of a system message, which can only come first; start: what a
    conversation without one begins with; opening, ending: the texts around a user's or assistant's content, and
    after a system message's; generation: what opens the answer to be generated; strip: whether white space
    around a content is dropped.
    """

    start_system: str
    start: str
    opening: dict[str, str]  # user, assistant
    ending: dict[str, str]  # system, user, assistant
    generation: str
    strip: bool = False

    def render(self, messages: Sequence[Mapping[str, Any]], *, generate: bool = True) -> str:
        """The conversation as text. Raises InputError as `check_messages`."""
        check_messages(messages)
        first_is_system = bool(messages) and messages[0]["role"] == "system"
        found = [] if first_is_system else [self.start]
        for message in messages:
            role, content = message["role"], message["content"]
            found.append(self.start_system if role == "system" else self.opening[role])
            found.append(content.strip() if self.strip else content)
            found.append(self.ending[role])
        return "".join([*found, self.generation] if generate else found)

    @property
    def default_system(self) -> str:
        """What the template says as the system message of a conversation that has none."""
        ending = self.ending["system"]
        if not self.start.startswith(self.start_system) or not self.start.endswith(ending):
            return ""
        return self.start[len(self.start_system) : len(self.start) - len(ending)]

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> TurnTable:
        """Raises FormatError for anything that `to_json` does not write."""
        try:
            table = cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise FormatError(f"turn table: {error}; the file is damaged, build it again") from error
        table._check()
        return table

    def _check(self) -> None:
        for name, roles in (("opening", ROLES[1:]), ("ending", ROLES)):
            texts: Any = getattr(self, name)
            if not isinstance(texts, dict) or set(texts) != set(roles) or not _are_texts(texts.values()):
                raise FormatError(f"turn table: {name} must hold a text for {', '.join(roles)}; build it again")
        if not _are_texts((self.start_system, self.start, self.generation)) or not isinstance(self.strip, bool):
            raise FormatError("turn table: start_system, start and generation must be texts; build it again")


def _are_texts(values: Any) -> bool:
    return all(isinstance(value, str) for value in values)
