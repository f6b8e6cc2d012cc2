"""A chat template as a table: what stands before and after each message. Needs no template engine.

kernels/core/text/turns.c applies the same table; chat/packed.py writes it for there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from tinsmith.errors import FormatError, InputError, UnsupportedError
from tinsmith.system import reading

ROLES = ("system", "user", "assistant", "tool")  # in the order of TIN_ROLE_*
# Contents with rules of their own about white space; "first": a user's right after a system message.
SLOTS = ("system", "first", "user", "assistant", "tool")
# What is dropped around a content, by TINI_STRIP_*: 1 left, 2 right, 4 line ends alone.
STRIPS = {"": 0, "left": 1, "right": 2, "both": 3, "left lines": 5, "right lines": 6, "lines": 7}
# What becomes of the thoughts in an assistant's content, by TINI_THINK_*: left as they stand; dropped; written
# where there are some; written always.
MODES = ("raw", "drop", "some", "always")
# Where an assistant's message stands: before the last message of the role `until`; from it on, followed by
# others; at the end.
PLACES = ("earlier", "current", "last")
OPENING, CLOSING = "<think>", "</think>"
IMAGE = "\U0010fffd"  # stands for an image in a content; the last of Unicode's private characters

Messages = Sequence[Mapping[str, Any]]


def check_messages(messages: Messages) -> None:
    """Raises InputError for no message, an unknown role, a system message that is not the first, a tool's that
    answers no call, or a message without content."""
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
    """An answer's thoughts and the rest. None: it has none. opened: the prompt began them."""
    body = text.lstrip()
    if not opened and not body.startswith(OPENING):
        return None, text
    thoughts, _, rest = (body if body.startswith(OPENING) else text).removeprefix(OPENING).partition(CLOSING)
    return thoughts.strip(), rest.lstrip()


@dataclass(frozen=True)
class Thoughts:
    """How a template treats what an assistant's content has between OPENING and CLOSING.

    before, after: what it writes around thoughts; places: one of MODES for each of PLACES; strip: what is
    dropped around the thoughts; rest: and around what follows them; until: user or assistant, whose last
    message ends the earlier ones.
    """

    before: str
    after: str
    places: tuple[str, str, str]
    strip: str
    rest: str
    until: str = "user"

    def placed(self, roles: Sequence[str]) -> list[int]:
        """Where among PLACES each message stands."""
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
    """start_system: before the content of a system message; start: what a conversation without one begins with;
    first: before the content of a user's message that is the first, or the first behind a system message;
    opening, ending: the texts around a content, by role; between: between two tools' contents; generation: what
    opens the answer to be generated; finish: what ends a conversation where none is, by its last role; strip:
    what is dropped around a content, by slot; strict: whether user and assistant must take turns, the user
    first; asked: whether there must be a user's message; escaped: whether a tool's content is written as within
    a JSON string; bare: whether an empty system message counts as none; single: whether no answer may follow an
    assistant's message; spelled: whether a user's content without images is followed by `spelled` of it;
    no_system, no_tool: why there can be no such message, empty where there can; special:
    by role, texts that the template would treat in ways of its own, which a content can't hold; the empty text:
    a content can't be empty; thoughts: None where they are text like any other.
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
        """The conversation's texts, and of each whether it is the template's own."""
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
            yield (json.dumps(content, ensure_ascii=False)[1:-1] if self._escapes(role) else content), False
            if self.spelled and role == "user" and IMAGE not in content:
                yield spelled(content), False
            if role != "tool" or after != "tool":
                yield self.ending[role], True
            before = role
        yield (self.generation if generate else self.finish.get(before, "")), True

    def _escapes(self, role: str) -> bool:
        return role == "tool" and self.escaped

    def _contents(self, messages: Messages) -> list[str]:
        """Contents without what is dropped around them."""
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
        """Raises InputError as `check_messages`, and for what the template refuses or can't express."""
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
                    raise InputError(
                        f"message {number}: its content {what} means something to the chat template"
                    )
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
        """Whether an answer begins within thoughts."""
        return CLOSING not in self.generation.rpartition(OPENING)[2] and OPENING in self.generation

    @property
    def default_system(self) -> str:
        """What the template says as the system message of a conversation that has none."""
        ending, opening = self.ending["system"], self.start_system
        if not self.start.startswith(opening) or not self.start.endswith(ending):
            return ""
        return self.start[len(opening) : len(self.start) - len(ending)]


def spelled(content: str) -> str:
    """The words of a content, a quote before each in the place of its space: a tokenizer cuts them as an answer
    has them, which quotes what it copies."""
    return '\n"' + content.replace(" ", '"') + '"'


def follows(before: str, role: str) -> bool:
    """Whether `role` may come after `before` where user and assistant take turns; nothing before: assistant."""
    if role in ("system", "tool"):
        return True
    return before == "assistant" if role == "user" else before in ("user", "tool")


def stripped(text: str, how: str) -> str:
    bits = STRIPS[how]
    what = "\n" if bits & 4 else None
    text = text.lstrip(what) if bits & 1 else text
    return text.rstrip(what) if bits & 2 else text


@dataclass(frozen=True)
class Turns:
    """A template's tables: as it is, and with thinking switched on and off where it has a switch."""

    default: TurnTable
    thinking: TurnTable | None = None
    direct: TurnTable | None = None

    def table(self, thinking: bool | None = None) -> TurnTable:
        """Raises UnsupportedError for a switch that the template does not have."""
        table = self.default if thinking is None else self.thinking if thinking else self.direct
        if table is None:
            raise UnsupportedError(
                "this model's chat template has no switch for thinking; leave the thinking option out"
            )
        return table

    def to_json(self) -> str:
        tables = {name: asdict(table) for name, table in vars(self).items() if table is not None}
        return json.dumps(tables, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | memoryview) -> Turns:
        """Raises FormatError for anything that `to_json` does not write."""
        tables = reading.json(text, "turn table", FormatError, unique=True, advice="build the file again")
        try:
            return cls(**{name: _table(values) for name, values in tables.items()})
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise FormatError(f"turn table: {error}; the file is damaged, build it again") from error


def _table(values: dict[str, Any]) -> TurnTable:
    thoughts = values.pop("thoughts", None)
    if thoughts is not None:
        thoughts = Thoughts(**{**thoughts, "places": tuple(thoughts["places"])})
        _check_texts(vars(thoughts), but="places")
        if len(thoughts.places) != len(PLACES) or not set(thoughts.places) <= set(MODES):
            raise ValueError("places must be three modes")
        if not {thoughts.strip, thoughts.rest} <= set(STRIPS) or thoughts.until not in ("user", "assistant"):
            raise ValueError("thoughts are cut in no such way")
    table = TurnTable(**values, thoughts=thoughts)
    for name, keys in (("opening", ROLES[1:]), ("ending", ROLES), ("finish", ROLES[1:])):
        _check_texts(_keyed(name, getattr(table, name), keys))
    for how in _check_texts(_keyed("strip", table.strip, SLOTS)).values():
        if how not in STRIPS:
            raise ValueError(f"no such strip as {how!r}")
    if not set(table.special) <= set(ROLES) or not all(
        isinstance(texts, list) for texts in table.special.values()
    ):
        raise ValueError("special must hold lists of texts by role")
    for role, texts in table.special.items():
        _check_texts({f"special to {role}": text for text in texts})
    flags = ("strict", "asked", "escaped", "bare", "single", "spelled")
    tables = ("opening", "ending", "finish", "strip", "special", "thoughts")
    _check_texts(
        {one.name: getattr(table, one.name) for one in fields(table) if one.name not in (*flags, *tables)}
    )
    if not all(isinstance(getattr(table, flag), bool) for flag in flags):
        raise ValueError(f"{', '.join(flags)} must be true or false")
    return table


def _keyed(name: str, table: Any, keys: Sequence[str]) -> dict[str, Any]:
    if not isinstance(table, dict) or set(table) != set(keys):
        raise ValueError(f"{name} must hold a text for {', '.join(keys)}")
    return table


def _check_texts(texts: dict[str, Any], but: str = "") -> dict[str, Any]:
    for name, text in texts.items():
        if not isinstance(text, str) and name != but:
            raise ValueError(f"{name} must be a text")
    return texts
