"""A chat template's compilation to tables of turns, by rendering probe conversations.

`compile_turns` reads a table off short conversations with marked contents, and proves it on others: every shape
of conversation, contents that a template might strip, split or escape, and whatever texts the template itself
compares contents with. What does not agree is left out of the table, with the reason, or refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date as Date
from itertools import pairwise, product
from typing import Any

from tinsmith.errors import InputError, UnsupportedError
from tinsmith.formats.turns import (
    CLOSING,
    MODES,
    OPENING,
    ROLES,
    SLOTS,
    STRIPS,
    Thoughts,
    Turns,
    TurnTable,
)
from tinsmith.models import chat_template
from tinsmith.models.chat_template import Messages, Tools

# Contents that a template might strip, split or escape.
_CONTENTS = (
    "Hi",
    " two  spaces ",
    "a\nb\n",
    "\n\na\u2003",
    "{{ x }} {% y %}",
    "\ttab",
    '"quotes" & <tags> \\n',
    "naïve 漢字 🙂\x01",
)
_THOUGHTS = (
    f"{OPENING}\nwhy\n{CLOSING}\n\nso",
    f"{OPENING}\n\n{CLOSING}\n\n so ",
    f"why{CLOSING}so",
    f"\n{OPENING}{OPENING} \nwhy\n {CLOSING}\n \nso{CLOSING} \n",
    f"{CLOSING}",
    f"{OPENING}open",
    f"\n\nso {OPENING}",
)
_U, _A, _S, _T = "user", "assistant", "system", "tool"
_PLAIN = ([_U], [_U, _A], [_U, _A, _U], [_U, _A, _U, _A], [_U, _A, _U, _A, _U])
_ODD = ([_A], [_A, _U], [_U, _U], [_U, _A, _A], [_U, _U, _A, _A, _U], [_A, _A, _U, _A])
_TOOL = (
    [_U, _A, _T],
    [_U, _A, _T, _T],
    [_U, _A, _T, _A],
    [_U, _A, _T, _T, _A, _U],
    [_U, _A, _U, _A, _T, _A, _T, _T, _A],
)
_MARKS = {_S: "\ue000", _U: "\ue001", _A: "\ue002", _T: "\ue003"}
_ROOM = "\n \n"  # white space that tells what is stripped: all, line ends alone, or nothing
_AROUND, _BEFORE = ("lines", "both", ""), ("left lines", "both", "left", "")

Show = Callable[..., str]
Probe = tuple[Messages, bool]  # a conversation, and whether an answer is to be generated


def compile_turns(
    template: str,
    *,
    tokens: dict[str, str] | None = None,
    control: Sequence[str] = (),
    tools: Tools | None = None,
    date: Date | None = None,
) -> Turns:
    """The tables that give the template's very text.

    tokens: as chat_template.render; control: the texts of control tokens, which no text of a table may cut in
    two; tools: those that every prompt tells; date: what the template takes for today. Raises UnsupportedError,
    with a conversation where table and template part, when the template is none, and InputError when it writes
    today's date and none is given.
    """

    control = [*control, *(tokens or {}).values()]

    def compiled(thinking: bool | None) -> TurnTable:
        known: dict[tuple[Any, ...], str | InputError] = {}

        def show(messages: Messages, generate: bool = False) -> str:
            key = (generate, *((message["role"], message["content"]) for message in messages))
            if key not in known:
                try:
                    known[key] = chat_template.render(
                        template,
                        messages,
                        generate=generate,
                        tokens=tokens,
                        tools=tools,
                        thinking=thinking,
                        date=date,
                    )
                except InputError as error:
                    known[key] = error
            found = known[key]
            if isinstance(found, InputError):
                raise found
            return found

        try:
            return _compiled(show, _words(template), control)
        except UnsupportedError as error:
            raise UnsupportedError(f"the chat template is not a table of turns: {error}") from None

    default = compiled(None)
    if chat_template.thinking_switch(template) is None:
        return Turns(default)
    on, off = compiled(True), compiled(False)
    return Turns(default) if on == off else Turns(default, on, off)


def _compiled(show: Show, words: Sequence[str], control: Sequence[str]) -> TurnTable:
    table = _Reader(show, control).table()
    if _difference(table, show, [_asked(shape) for shape in _PLAIN if shape[-1] == _A]):
        table = replace(table, single=True)
    _prove(table, show, _probes(_PLAIN))
    if not table.no_system:
        table = replace(table, no_system=_difference(table, show, _probes(_with_system(_PLAIN))) or "")
    if not table.no_tool:
        table = replace(table, no_tool=_difference(table, show, _probes(_TOOL)) or "")
    table = _without_special(table, show, words)
    odd = [*_ODD, *_with_system([[], *_ODD])]
    for taken in (table, replace(table, asked=True), replace(table, strict=True)):
        table = taken
        if not _difference(table, show, _probes(odd, contents=_CONTENTS[:2])):
            break
    _prove(table, show, _probes([*_PLAIN, *_TOOL, *_with_system([*_PLAIN, *_TOOL]), *odd], contents=("",)))
    _check_seams(table, control)
    return table


def _prove(table: TurnTable, show: Show, probes: Sequence[Probe]) -> None:
    wrong = _difference(table, show, probes)
    if wrong:
        raise UnsupportedError(wrong)


def _without_special(table: TurnTable, show: Show, words: Sequence[str]) -> TurnTable:
    """The table with the words that mean something in a role's contents."""
    special: dict[str, list[str]] = {}
    for role in ROLES:
        shapes = [[_U, _A, _T, _A]] if role == _T else [[_U, _A, _U], [_U, _A, _U, _A]]
        if role in (_S, _U) and not table.no_system:
            shapes = [*_with_system(shapes), *shapes[: role == _U]]
        for number, word in enumerate(("", *words)):
            ends = words[number : number + 1] if word else ()
            contents = (word, f"x {word}\ny", *(f"{word}x{end}" for end in ends)) if word else ("",)
            if _difference(table, show, [_filled(shape, role, one) for shape in shapes for one in contents]):
                special.setdefault(role, []).append(word)
    return replace(table, special=special)


def _filled(shape: Sequence[str], role: str, content: str) -> Probe:
    """A conversation of this shape, the content in every message of the role."""
    others = {_A: _THOUGHTS[0]}
    contents = [content if one == role else others.get(one, f"{k}") for k, one in enumerate(shape)]
    return _messages(shape, contents), False


def _difference(table: TurnTable, show: Show, probes: Sequence[Probe]) -> str | None:
    """Where table and template part, in words; None where they agree on all that the table takes."""
    for messages, generate in probes:
        try:
            table.check(messages, generate)
        except InputError:
            continue
        given = table.render(messages, generate=generate)
        try:
            wanted = show(messages, generate)
        except InputError as error:
            return f"for {_said(messages)}: {error}"
        if given != wanted:
            return f"for {_said(messages)} it gives {wanted!r} where a table gives {given!r}"
    return None


def _said(messages: Messages) -> str:
    return json.dumps(messages, ensure_ascii=False)


def _probes(shapes: Sequence[Sequence[str]], contents: Sequence[str] = _CONTENTS) -> list[Probe]:
    """Conversations of these shapes: all contents alike, then, in each place, what might be taken specially."""
    found: list[Probe] = []
    for shape in shapes:
        found += [(_messages(shape, [content] * len(shape)), False) for content in contents]
        found += [_asked(shape)] if contents is _CONTENTS else []
        for place, role in enumerate(shape) if contents is _CONTENTS else ():
            for content in _THOUGHTS if role == _A else _CONTENTS[1:4]:
                said = [content if k == place else f"{k}" for k in range(len(shape))]
                found.append((_messages(shape, said), False))
    return found


def _asked(shape: Sequence[str]) -> Probe:
    return _messages(shape, [f"{k}" for k in range(len(shape))]), True


def _messages(shape: Sequence[str], contents: Sequence[str]) -> Messages:
    return [{"role": role, "content": content} for role, content in zip(shape, contents, strict=True)]


def _with_system(shapes: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[_S, *shape] for shape in shapes]


def _words(template: str) -> list[str]:
    """Texts that the template looks for in contents, or cuts them at: operands of comparisons and arguments of
    methods, but for what it compares roles and types with."""
    from jinja2 import nodes

    tree = chat_template.tree(template)
    found: list[str] = []

    def add(*nodes_: Any) -> None:
        for node in nodes_:
            if isinstance(node, nodes.Const) and isinstance(node.value, str) and node.value.strip():
                found.append(node.value)

    for compared in tree.find_all(nodes.Compare):
        if not _is_kind(compared.expr):
            add(compared.expr, *(operand.expr for operand in compared.ops))
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Getattr):
            add(*call.args)
    return [word for word in dict.fromkeys(found) if word not in (*ROLES, OPENING, CLOSING)]


def _is_kind(node: Any) -> bool:
    """Whether an expression is a message's role, or a part's type."""
    from jinja2 import nodes

    if isinstance(node, nodes.Getattr):
        return node.attr in ("role", "type")
    return isinstance(node, nodes.Getitem) and getattr(node.arg, "value", None) in ("role", "type")


def _check_seams(table: TurnTable, control: Sequence[str]) -> None:
    """Texts of a table are cut at control tokens one by one: none may lie across two of them."""
    shapes = [*_PLAIN, *_ODD, *_TOOL, *_with_system([*_PLAIN, *_ODD])]
    for shape, generate in product(shapes, (False, True)):
        try:
            pieces = list(table.pieces(_messages(shape, ["x"] * len(shape)), generate))
        except InputError:
            continue
        for (left, ours), (right, too) in pairwise(pieces):
            if ours and too and any(_crosses(token, left, right) for token in control):
                raise UnsupportedError(f"{left!r} and {right!r} share a control token")


def _crosses(token: str, left: str, right: str) -> bool:
    return any(left.endswith(token[:k]) and right.startswith(token[k:]) for k in range(1, len(token)))


@dataclass
class _Reader:
    """Reads the table off renderings of a few marked conversations."""

    show: Show
    control: Sequence[str]

    def table(self) -> TurnTable:
        before, turn, back, *_ = self.cut([_U, _A, _U, _A, _U])
        asked, asked_on = self.cut([_U])[-1], self.cut([_U], True)[-1]
        told, told_on = self.cut([_U, _A])[-1], self.cut([_U, _A], True)[-1]
        self.user_end = self.common([turn, asked, asked_on])
        self.answer_end = self.common([back, told, told_on])
        self.answer_opening = turn[len(self.user_end) :]
        self.user_opening = back[len(self.answer_end) :]
        table = TurnTable(
            start_system="",
            start=before.removesuffix(self.user_opening) if before.endswith(self.user_opening) else before,
            first=self.user_opening if before.endswith(self.user_opening) else "",
            opening={"user": self.user_opening, "assistant": self.answer_opening, "tool": ""},
            ending={"system": "", "user": self.user_end, "assistant": self.answer_end, "tool": ""},
            between="",
            generation=asked_on[len(self.user_end) :],
            finish={
                "user": asked[len(self.user_end) :],
                "assistant": told[len(self.answer_end) :],
                "tool": "",
            },
        )
        table = self.with_system(table)
        table = self.with_tool(table)
        table = self.with_strips(table)
        return self.with_thoughts(table)

    def cut(self, roles: Sequence[str], generate: bool = False, **contents: str) -> list[str]:
        """The rendering's texts around the contents. contents: others than marks, by role; they hold them."""
        messages = [{"role": role, "content": contents.get(role, _MARKS[role])} for role in roles]
        rest, found = self.show(messages, generate), []
        for role in roles:
            text, mark, rest = rest.partition(_MARKS[role])
            if not mark:
                raise UnsupportedError(f"it leaves out the {role}'s content")
            found.append(text)
        return [*found, rest]

    def common(self, texts: Sequence[str]) -> str:
        """What all begin with, short of a control token that it would cut in two."""
        first, last = min(texts), max(texts)
        length = next(
            (k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(map(len, texts))
        )
        for k in range(length, -1, -1):
            if not any(_crosses(token, text[:k], text[k:]) for token in self.control for text in texts):
                return first[:k]
        return ""

    def with_system(self, table: TurnTable) -> TurnTable:
        try:
            start, after, _ = self.cut([_S, _U])
        except (InputError, UnsupportedError) as error:
            return replace(table, no_system=str(error))
        if not after.endswith(table.first):
            # The system message is written into the user's, which has no opening of its own then.
            table = replace(table, start=table.start + table.first, first="")
        ending = {**table.ending, "system": after.removesuffix(table.first)}
        table = replace(table, start_system=start, ending=ending)
        bare = [{"role": _S, "content": ""}, {"role": _U, "content": _MARKS[_U]}]
        without = self.show(bare[1:])
        return replace(table, bare=self.show(bare) == without)

    def with_tool(self, table: TurnTable) -> TurnTable:
        try:
            _, _, opening, between, ending = self.cut([_U, _A, _T, _T])
            again = self.cut([_U, _A, _T], True)
            content = json.dumps(f'{_MARKS[_T]}"\n', ensure_ascii=False)
            escaped = content[2:-1] in self.show(self.messages([_U, _A, _T], tool=f'{_MARKS[_T]}"\n'))
        except (InputError, UnsupportedError) as error:
            return replace(table, no_tool=str(error))
        if not opening.startswith(self.answer_end) or not again[-1].endswith(table.generation):
            return replace(table, no_tool="a tool's message has no place of its own in the chat template")
        return replace(
            table,
            opening={**table.opening, "tool": opening[len(self.answer_end) :]},
            ending={**table.ending, "tool": self.common([ending, again[-1]])},
            finish={**table.finish, "tool": ending[len(self.common([ending, again[-1]])) :]},
            between=between,
            escaped=escaped,
        )

    def messages(self, roles: Sequence[str], **contents: str) -> Messages:
        return [{"role": role, "content": contents.get(role, _MARKS[role])} for role in roles]

    def with_strips(self, table: TurnTable) -> TurnTable:
        found = dict.fromkeys(SLOTS, "")
        found["user"] = self.strip(table, [_U, _A, _U], 2)
        found["assistant"] = self.strip(table, [_U, _A, _U], 1)
        if not table.no_system:
            found["system"] = self.strip(table, [_S, _U], 0)
            found["first"] = self.strip(table, [_S, _U], 1)
        if not table.no_tool and not table.escaped:
            found["tool"] = self.strip(table, [_U, _A, _T], 2)
        return replace(table, strip=found)

    def strip(self, table: TurnTable, roles: Sequence[str], place: int) -> str:
        """What is dropped around the content at a place."""
        plain = self.cut(roles)
        role = roles[place]
        messages = [dict(message) for message in self.messages(roles)]
        messages[place]["content"] = _ROOM + _MARKS[role] + _ROOM
        text = self.show(messages)
        for how in STRIPS:
            left, right = _left(how), _right(how)
            wanted = [*plain]
            wanted[place] += left
            wanted[place + 1] = right + wanted[place + 1]
            marks = [_MARKS[role] for role in roles]
            if text == "".join(a + b for a, b in zip(wanted, [*marks, ""], strict=True)):
                return how
        return ""

    def with_thoughts(self, table: TurnTable) -> TurnTable:
        """How thoughts are treated in each place: whatever explains what is seen of them there."""
        shapes = {"earlier": [_U, _A, _U, _A, _U], "middle": [_U, _A, _U], "last": [_U, _A]}
        if not table.no_tool:
            shapes["tool"] = [_U, _A, _T]
        seen = {
            name: [(said, self.show(said)) for said in self.thinking(shape)] for name, shape in shapes.items()
        }

        def explains(found: Thoughts, names: Sequence[str]) -> bool:
            tried = replace(table, thoughts=found)
            return all(
                tried.render(said, generate=False) == text for name in names for said, text in seen[name]
            )

        raw = Thoughts("", "", ("raw", "raw", "raw"), "", "")
        if explains(raw, list(seen)):
            return table
        before, after = self.around_thoughts([text for pairs in seen.values() for _, text in pairs])
        for until, strip, rest in product(("user", "assistant"), _AROUND, _BEFORE):
            tried = [Thoughts(before, after, (mode, mode, mode), strip, rest, until) for mode in MODES]
            places = [
                ["earlier", *["middle"] * (until == "user")],
                [*["middle"] * (until == "assistant"), *["tool"] * ("tool" in seen)],
                ["last"],
            ]
            fits = [[one.places[0] for one in tried if explains(one, names)] for names in places]
            if all(fits):
                earlier, current, last = (modes[0] for modes in fits)
                modes = earlier, current if places[1] else last, last
                return replace(table, thoughts=Thoughts(before, after, modes, strip, rest, until))
        return table

    def thinking(self, shape: Sequence[str]) -> list[Messages]:
        """Conversations of this shape whose first answer thinks, in several ways."""
        why, so = "\ue004", "\ue005"
        contents = (
            f"{OPENING}{why}{CLOSING}{so}",
            f"{OPENING}{_ROOM}{why}{_ROOM}{CLOSING}{_ROOM}{so}{_ROOM}",
            f"{OPENING}{CLOSING}{so}",
            f"{_ROOM}{so}",
            so,
        )
        found: list[Messages] = []
        for content in contents:
            messages = [dict(message) for message in self.messages(shape)]
            messages[1]["content"] = content
            found.append(messages)
        return found

    def around_thoughts(self, texts: Sequence[str]) -> tuple[str, str]:
        """What is written around thoughts where they are written."""
        opening = _MARKS[_U] + self.user_end + self.answer_opening
        for text in texts:
            before, why, after = text.partition("\ue004")
            if why and opening in before and "\ue005" in after:
                return before.rpartition(opening)[2], after.partition("\ue005")[0]
        return "", ""


def _left(how: str) -> str:
    bits = STRIPS[how]
    return _ROOM if not bits & 1 else _ROOM.lstrip("\n") if bits & 4 else ""


def _right(how: str) -> str:
    bits = STRIPS[how]
    return _ROOM if not bits & 2 else _ROOM.rstrip("\n") if bits & 4 else ""
