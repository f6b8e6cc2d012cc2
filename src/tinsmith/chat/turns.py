"""A chat template as a table: the texts before and after each message. Needs no template engine.

chat/packed.py encodes the table for kernels/core/text/turns.c, which applies it too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from tinsmith.errors import FormatError, InputError, UnsupportedError
from tinsmith.system import reading

ROLES = ("system", "user", "assistant", "tool")  # in the order of TIN_ROLE_*
# Contents with whitespace rules; "first": the user's content right after a system message.
SLOTS = ("system", "first", "user", "assistant", "tool")
# Whitespace stripped from a content, by TINI_STRIP_*: 1 left, 2 right, 4 only line ends.
STRIPS = {"": 0, "left": 1, "right": 2, "both": 3, "left lines": 5, "right lines": 6, "lines": 7}
# Treatment of the thoughts in an assistant's content, by TINI_THINK_*: unchanged; dropped; written if there are
# any; always written.
MODES = ("raw", "drop", "some", "always")
# Positions of an assistant's message: before the last message of the role `until`; after that; at the end.
PLACES = ("earlier", "current", "last")
OPENING, CLOSING = "<think>", "</think>"
IMAGE = "\U0010fffd"  # placeholder of an image in a content; the last of Unicode's private characters

Messages = Sequence[Mapping[str, Any]]


def check_messages(messages: Messages) -> None:
    """Raises InputError for an empty conversation, an unknown role, a system message after the first, a tool's
    message that answers no call, or a missing content."""
    if not messages:
        raise InputError("the conversation is empty; give at least one message")
    for number, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role not in ROLES:
            raise InputError(f"message {number + 1}: role {role!r} is not one of {', '.join(ROLES)}")
        if not isinstance(content, str):
            raise InputError(f"message {number + 1}: content must be a text, got {type(content).__name__}")
        if role == "system" and number > 0:
            raise InputError(f"message {number + 1}: a system message can only be the first")
        if role == "tool" and (not number or messages[number - 1]["role"] not in ("assistant", "tool")):
            raise InputError(f"message {number + 1}: a tool's message follows the assistant's or a tool's")


def split_answer(text: str, opened: bool = False) -> tuple[str | None, str]:
    """An answer's thoughts, if any, and the rest. opened: the prompt began the thoughts."""
    body = text.lstrip()
    if not opened and not body.startswith(OPENING):
        return None, text
    thoughts, _, rest = (body if body.startswith(OPENING) else text).removeprefix(OPENING).partition(CLOSING)
    return thoughts.strip(), rest.lstrip()


@dataclass(frozen=True)
class Thoughts:
    """How a template treats thoughts, the text between OPENING and CLOSING of an assistant's content.

    before, after: written around thoughts. places: a mode per place. strip: around the thoughts. rest: around
    the text after them. until: user or assistant; messages before the last of this role are `earlier`.
    """

    before: str
    after: str
    places: tuple[str, str, str]
    strip: str
    rest: str
    until: str = "user"

    def placed(self, roles: Sequence[str]) -> list[int]:
        """The index in PLACES of each message's place."""
        last = max((n for n, role in enumerate(roles) if role == self.until), default=len(roles))
        return [0 if k < last else 1 if k + 1 < len(roles) else 2 for k in range(len(roles))]

    def write(self, content: str, place: int) -> str:
        mode = self.places[place]
        if mode == "raw":
            return content
        thoughts, rest = "", content
        if CLOSING in content:
            thoughts = stripped(content.split(CLOSING)[0].split(OPENING)[-1], self.strip)
            rest = stripped(content.split(CLOSING)[-1], self.rest)
        if mode == "drop" or (mode == "some" and not thoughts):
            return rest
        return self.before + thoughts + self.after + stripped(rest, self.rest)


@dataclass(frozen=True)
class TurnTable:
    """start_system: before a system message. start: of a conversation without one. first: before a user's
    message that is the first, or follows a system message. opening, ending: around a content, by role. between:
    between two tools' contents. generation: opens the answer. finish: ends a conversation that asks for no
    answer, by its last role. strip: by slot. strict: user and assistant alternate, the user first. asked: needs
    a user's message. escaped: a tool's content is written as in a JSON string. bare: an empty system message
    counts as none. single: no answer follows an assistant's message. spelled: a user's content without images
    is followed by `quoted_input` of it. no_system, no_tool: why the template takes no such message; empty where
    it does. special: by role, texts that the template interprets, which a content must not contain; the empty
    text: a content must not be empty. thoughts: None where they are ordinary text.
    """

    start_system: str
    start: str
    first: str
    opening: dict[str, str]  # user, assistant, tool
    ending: dict[str, str]  # system, user, assistant, tool
    between: str
    generation: str
    finish: dict[str, str]  # user, assistant, tool
    strip: dict[str, str] = field(default_factory=lambda: dict.fromkeys(SLOTS, ""))
    strict: bool = False
    asked: bool = False
    escaped: bool = False
    bare: bool = False
    single: bool = False
    spelled: bool = False
    no_system: str = ""
    no_tool: str = ""
    special: dict[str, list[str]] = field(default_factory=dict)
    thoughts: Thoughts | None = None

    def render(self, messages: Messages, *, generate: bool = True) -> str:
        """The conversation as text. Raises InputError as `check`."""
        return "".join(text for text, _ in self.pieces(messages, generate))

    def pieces(self, messages: Messages, generate: bool) -> Iterator[tuple[str, bool]]:
        """The conversation's texts, each with whether it belongs to the template."""
        self.check(messages, generate)
        contents = self._contents(messages)
        roles = [str(message["role"]) for message in messages]
        if self.bare and roles[0] == "system" and not contents[0]:
            roles, contents = roles[1:], contents[1:]
        if not roles or roles[0] != "system":
            yield self.start, True
        before, places = "", self.thoughts.placed(roles) if self.thoughts else []
        for k, (role, content) in enumerate(zip(roles, contents, strict=True)):
            after = roles[k + 1] if k + 1 < len(roles) else ""
            yield self._before(role, before), True
            if role == "assistant" and self.thoughts:
                content = self.thoughts.write(content, places[k])
            if role == "tool" and self.escaped:
                content = json.dumps(content, ensure_ascii=False)[1:-1]
            yield content, False
            if self.spelled and role == "user" and IMAGE not in content:
                yield quoted_input(content), False
            if role != "tool" or after != "tool":
                yield self.ending[role], True
            before = role
        yield (self.generation if generate else self.finish.get(before, "")), True

    def _contents(self, messages: Messages) -> list[str]:
        """The stripped contents."""
        contents, before = [], ""
        for message in messages:
            role = message["role"]
            slot = "first" if role == "user" and before == "system" else role
            contents.append(stripped(message["content"], self.strip[slot]))
            before = role
        return contents

    def _before(self, role: str, before: str) -> str:
        if role == "system":
            return self.start_system
        if role == "user" and before in ("", "system"):
            return self.first
        return self.between if role == before == "tool" else self.opening[role]

    def check(self, messages: Messages, generate: bool = False) -> None:
        """Raises InputError as `check_messages` does, and for messages that the template does not take."""
        check_messages(messages)
        before = "assistant"
        for number, (message, content) in enumerate(zip(messages, self._contents(messages), strict=True), 1):
            role = message["role"]
            refused = {"system": self.no_system, "tool": self.no_tool}.get(role)
            if refused:
                raise InputError(f"message {number}: the chat template takes no {role} message: {refused}")
            for word in self.special.get(role, ()):
                if word in content if word else not content:
                    what = f"holds {word!r}, which" if word else "is empty, and that"
                    raise InputError(f"message {number}: its content {what} means something to the template")
            if self.strict and not follows(before, role):
                raise InputError(
                    f"message {number}: role {role} is out of turn; in the chat template user and assistant "
                    "take turns, the user first"
                )
            before = "assistant" if role == "system" else role
        if (self.strict or self.asked) and all(message["role"] != "user" for message in messages):
            raise InputError("the conversation has no user's message; the chat template needs one")
        if self.single and generate and messages[-1]["role"] == "assistant":
            raise InputError("the last message is the assistant's; the chat template opens no answer behind it")

    @property
    def opens_thoughts(self) -> bool:
        """Whether the prompt begins the answer's thoughts."""
        return CLOSING not in self.generation.rpartition(OPENING)[2] and OPENING in self.generation

    @property
    def default_system(self) -> str:
        """The template's system message for a conversation without one."""
        ending, opening = self.ending["system"], self.start_system
        if not self.start.startswith(opening) or not self.start.endswith(ending):
            return ""
        return self.start[len(opening) : len(self.start) - len(ending)]


def quoted_input(content: str) -> str:
    """A content's words with a quote before each, instead of its space: a tokenizer then splits them as in an
    answer, which quotes the words that it copies."""
    return '\n"' + content.replace(" ", '"') + '"'


def follows(before: str, role: str) -> bool:
    """Whether `role` may follow `before` where user and assistant alternate. A conversation follows
    "assistant"."""
    if role in ("system", "tool"):
        return True
    return before == "assistant" if role == "user" else before in ("user", "tool")


def stripped(text: str, how: str) -> str:
    bits = STRIPS[how]
    characters = "\n" if bits & 4 else None
    text = text.lstrip(characters) if bits & 1 else text
    return text.rstrip(characters) if bits & 2 else text


@dataclass(frozen=True)
class Turns:
    """A template's tables: with its defaults, and, where it has the switch, with and without thinking."""

    default: TurnTable
    thinking: TurnTable | None = None
    direct: TurnTable | None = None

    def table(self, thinking: bool | None = None) -> TurnTable:
        """Raises UnsupportedError where the template has no switch."""
        table = self.default if thinking is None else self.thinking if thinking else self.direct
        if table is None:
            raise UnsupportedError("the model's chat template has no switch for thinking; leave the option out")
        return table

    def to_json(self) -> str:
        tables = {name: asdict(table) for name, table in vars(self).items() if table is not None}
        return json.dumps(tables, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | memoryview) -> Turns:
        """Raises FormatError for anything but `to_json`'s result."""
        tables = reading.json(text, "turn table", FormatError, unique=True, advice="build the file again")
        try:
            return cls(**{name: _table(values) for name, values in tables.items()})
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise FormatError(f"turn table: {error}; the file is damaged, build it again") from error


_KEYS = {"opening": ROLES[1:], "ending": ROLES, "finish": ROLES[1:], "strip": SLOTS}


def _table(values: dict[str, Any]) -> TurnTable:
    thoughts = values.pop("thoughts", None)
    if thoughts is not None:
        thoughts = Thoughts(**{**thoughts, "places": tuple(thoughts["places"])})
        if not _are_texts({**vars(thoughts), "places": ""}.values()):
            raise ValueError("thoughts must have texts")
        if len(thoughts.places) != len(PLACES) or not set(thoughts.places) <= set(MODES):
            raise ValueError("places must be three modes")
        if not {thoughts.strip, thoughts.rest} <= set(STRIPS) or thoughts.until not in ("user", "assistant"):
            raise ValueError("unknown strip or until of thoughts")
    table = TurnTable(**values, thoughts=thoughts)
    for one in fields(table):
        value = getattr(table, one.name)
        if one.name in _KEYS:
            valid = set(value) == set(_KEYS[one.name]) and _are_texts(value.values())
        elif one.name == "special":
            valid = set(value) <= set(ROLES) and all(
                isinstance(texts, list) and _are_texts(texts) for texts in value.values()
            )
        else:
            valid = one.name == "thoughts" or isinstance(value, bool if one.type == "bool" else str)
        if not valid:
            raise ValueError(f"{one.name} has wrong types or keys")
    if not set(table.strip.values()) <= set(STRIPS):
        raise ValueError("unknown strip")
    return table


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
