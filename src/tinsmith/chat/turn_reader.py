"""Derives a chat template's turn table from renderings of marked conversations; turn_probes verifies it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from os.path import commonprefix

from tinsmith.chat.chat_template import Messages
from tinsmith.chat.turns import (
    CLOSING,
    MODES,
    OPENING,
    SLOTS,
    STRIPS,
    Thoughts,
    TurnTable,
    quoted_input,
    stripped,
)
from tinsmith.errors import InputError, UnsupportedError

Show = Callable[..., str]
_U, _A, _S, _T = "user", "assistant", "system", "tool"
_MARKS = {_S: "\ue000", _U: "\ue001", _A: "\ue002", _T: "\ue003"}
_WHY, _SO = "\ue004", "\ue005"  # an answer's thoughts, and the text after them
_ROOM = "\n \n"  # whitespace that shows stripping: of all, of line ends, or none
_AROUND, _BEFORE = ("lines", "both", ""), ("left lines", "both", "left", "")


def crosses(token: str, left: str, right: str) -> bool:
    """Whether a token spans the boundary between two texts."""
    return any(left.endswith(token[:k]) and right.startswith(token[k:]) for k in range(1, len(token)))


@dataclass
class Reader:
    show: Show
    control: Sequence[str]

    def table(self) -> TurnTable:
        before, turn, back, *_ = self.cut([_U, _A, _U, _A, _U])
        asked, asked_on = self.cut([_U])[-1], self.cut([_U], True)[-1]
        answered, answered_on = self.cut([_U, _A])[-1], self.cut([_U, _A], True)[-1]
        self.user_end = self.common([turn, asked, asked_on])
        self.answer_end = self.common([back, answered, answered_on])
        self.answer_opening = turn[len(self.user_end) :]
        self.user_opening = back[len(self.answer_end) :]
        words = quoted_input(_MARKS[_U])
        first = self.user_opening if before.endswith(self.user_opening) else ""
        table = TurnTable(
            start_system="",
            start=before.removesuffix(first),
            first=first,
            opening={"user": self.user_opening, "assistant": self.answer_opening, "tool": ""},
            ending={
                "system": "",
                "user": self.user_end.removeprefix(words),
                "assistant": self.answer_end,
                "tool": "",
            },
            between="",
            generation=asked_on[len(self.user_end) :],
            finish={
                "user": asked[len(self.user_end) :],
                "assistant": answered[len(self.answer_end) :],
                "tool": "",
            },
            spelled=self.user_end.startswith(words),
        )
        table = self.with_system(table)
        table = self.with_tool(table)
        table = self.with_strips(table)
        return self.with_thoughts(table)

    def cut(self, roles: Sequence[str], generate: bool = False) -> list[str]:
        """The rendering's texts around the marked contents."""
        rest, texts = self.show(self.messages(roles), generate), []
        for role in roles:
            text, mark, rest = rest.partition(_MARKS[role])
            if not mark:
                raise UnsupportedError(f"it leaves out the {role}'s content")
            texts.append(text)
        return [*texts, rest]

    def common(self, texts: Sequence[str]) -> str:
        """The common prefix, shortened where it would split a control token."""
        prefix = commonprefix(texts)  # noqa: RUF071 - of texts
        for k in range(len(prefix), -1, -1):
            if not any(crosses(token, text[:k], text[k:]) for token in self.control for text in texts):
                return prefix[:k]
        return ""

    def with_system(self, table: TurnTable) -> TurnTable:
        try:
            start, after, _ = self.cut([_S, _U])
        except (InputError, UnsupportedError) as error:
            return replace(table, no_system=str(error))
        if not after.endswith(table.first):
            # The template writes the system message into the user's, which then has no opening.
            table = replace(table, start=table.start + table.first, first="")
        ending = {**table.ending, "system": after.removesuffix(table.first)}
        table = replace(table, start_system=start, ending=ending)
        bare = self.messages([_S, _U], system="")
        return replace(table, bare=self.show(bare) == self.show(bare[1:]))

    def with_tool(self, table: TurnTable) -> TurnTable:
        try:
            _, _, opening, between, finished = self.cut([_U, _A, _T, _T])
            asked = self.cut([_U, _A, _T], True)[-1]
            content = json.dumps(f'{_MARKS[_T]}"\n', ensure_ascii=False)
            escaped = content[2:-1] in self.show(self.messages([_U, _A, _T], tool=f'{_MARKS[_T]}"\n'))
        except (InputError, UnsupportedError) as error:
            return replace(table, no_tool=str(error))
        if not opening.startswith(self.answer_end) or not asked.endswith(table.generation):
            return replace(table, no_tool="a tool's message has no separate place")
        ending = self.common([finished, asked])
        return replace(
            table,
            opening={**table.opening, "tool": opening[len(self.answer_end) :]},
            ending={**table.ending, "tool": ending},
            finish={**table.finish, "tool": finished[len(ending) :]},
            between=between,
            escaped=escaped,
        )

    def messages(self, roles: Sequence[str], **contents: str) -> Messages:
        return [{"role": role, "content": contents.get(role, _MARKS[role])} for role in roles]

    def with_strips(self, table: TurnTable) -> TurnTable:
        places: dict[str, tuple[Sequence[str], int]] = {
            "user": ([_U, _A, _U], 2),
            "assistant": ([_U, _A, _U], 1),
        }
        if not table.no_system:
            places |= {"system": ([_S, _U], 0), "first": ([_S, _U], 1)}
        if not table.no_tool and not table.escaped:
            places["tool"] = [_U, _A, _T], 2
        strips = {slot: self.strip(*place) for slot, place in places.items()}
        return replace(table, strip=dict.fromkeys(SLOTS, "") | strips)

    def strip(self, roles: Sequence[str], place: int) -> str:
        """The stripping of the content at a place."""
        texts, marks = self.cut(roles), [_MARKS[role] for role in roles]
        messages = [dict(message) for message in self.messages(roles)]
        messages[place]["content"] = _ROOM + marks[place] + _ROOM
        rendering = self.show(messages)
        for how in STRIPS:
            wanted = list(marks)
            wanted[place] = stripped(_ROOM + marks[place] + _ROOM, how)
            if rendering == "".join(a + b for a, b in zip(texts, [*wanted, ""], strict=True)):
                return how
        return ""

    def with_thoughts(self, table: TurnTable) -> TurnTable:
        """Finds a treatment of thoughts in each place that explains its renderings."""
        shapes = {"earlier": [_U, _A, _U, _A, _U], "middle": [_U, _A, _U], "last": [_U, _A]}
        if not table.no_tool:
            shapes["tool"] = [_U, _A, _T]
        renderings = {
            name: [(messages, self.show(messages)) for messages in self.thinking(shape)]
            for name, shape in shapes.items()
        }

        def explains(thoughts: Thoughts, names: Sequence[str]) -> bool:
            tried = replace(table, thoughts=thoughts)
            return all(
                tried.render(messages, generate=False) == text
                for name in names
                for messages, text in renderings[name]
            )

        raw = Thoughts("", "", ("raw", "raw", "raw"), "", "")
        if explains(raw, list(renderings)):
            return table
        before, after = self.around_thoughts([text for pairs in renderings.values() for _, text in pairs])
        for until, strip, rest in product(("user", "assistant"), _AROUND, _BEFORE):
            tried = [Thoughts(before, after, (mode, mode, mode), strip, rest, until) for mode in MODES]
            places = [
                ["earlier", *["middle"] * (until == "user")],
                [*["middle"] * (until == "assistant"), *["tool"] * ("tool" in renderings)],
                ["last"],
            ]
            fits = [[one.places[0] for one in tried if explains(one, names)] for names in places]
            if all(fits):
                earlier, current, last = (modes[0] for modes in fits)
                modes = earlier, current if places[1] else last, last
                return replace(table, thoughts=Thoughts(before, after, modes, strip, rest, until))
        return table

    def thinking(self, shape: Sequence[str]) -> list[Messages]:
        """Conversations of a shape, with thoughts in the first answer, in several notations."""
        contents = (
            f"{OPENING}{_WHY}{CLOSING}{_SO}",
            f"{OPENING}{_ROOM}{_WHY}{_ROOM}{CLOSING}{_ROOM}{_SO}{_ROOM}",
            f"{OPENING}{CLOSING}{_SO}",
            f"{_ROOM}{_SO}",
            _SO,
        )
        conversations: list[Messages] = []
        for content in contents:
            messages = [dict(message) for message in self.messages(shape)]
            messages[1]["content"] = content
            conversations.append(messages)
        return conversations

    def around_thoughts(self, texts: Sequence[str]) -> tuple[str, str]:
        """The template's texts around thoughts."""
        opening = _MARKS[_U] + self.user_end + self.answer_opening
        for text in texts:
            before, why, after = text.partition(_WHY)
            if why and opening in before and _SO in after:
                return before.rpartition(opening)[2], after.partition(_SO)[0]
        return "", ""
