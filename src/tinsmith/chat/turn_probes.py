"""Compiles a chat template to turn tables, by rendering probe conversations.

`compile_turns` derives a table from short marked conversations and verifies it on others: every shape of
conversation, contents that a template may strip, split or escape, and texts that the template compares contents
with. It excludes differences from the table, with the reason, or rejects the template.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, lru_cache
from itertools import pairwise, product
from os.path import commonprefix
from typing import Any

from tinsmith.chat import chat_template, jinja_process
from tinsmith.chat.chat_template import Messages
from tinsmith.chat.turn_reader import Reader, Show, crosses
from tinsmith.chat.turns import CLOSING, OPENING, ROLES, Turns, TurnTable
from tinsmith.errors import InputError, UnsupportedError

SECONDS = 30.0  # for a template's thousands of probes, which take under one

# Contents that a template may strip, split or escape.
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

# In templates that read a content's parts.
_PARTS = re.compile(r"""\[['"]type['"]\]|\.type\b""")

Probe = tuple[Messages, bool]  # a conversation, and whether it ends with the opening of an answer


def compile_turns(template: str, *, tokens: dict[str, str] | None = None, control: Sequence[str] = ()) -> Turns:
    """Tables with the template's exact renderings.

    tokens: as for chat_template.render. control: texts of control tokens, which no text of a table may split.
    Raises UnsupportedError, with a conversation that shows a difference, for a template that no table can
    express, and InputError for one that writes today's date.
    """
    if not template.isascii() and template.encode("utf-8", "replace").decode("utf-8") != template:
        raise UnsupportedError("the chat template is not UTF-8 text")
    texts = tokens or {}
    return _turns(template, tuple(texts.items()), (*control, *texts.values()))


@lru_cache(maxsize=64)
def _turns(template: str, tokens: tuple[tuple[str, str], ...], control: tuple[str, ...]) -> Turns:
    def compiled(thinking: bool | None, parts: bool = False) -> TurnTable:
        @cache
        def rendered(shape: tuple[tuple[str, str], ...], generate: bool) -> str | InputError:
            messages = [{"role": role, "content": _content(content, parts)} for role, content in shape]
            try:
                return chat_template.render(
                    template, messages, generate=generate, tokens=dict(tokens), thinking=thinking
                )
            except InputError as error:
                return error

        def show(messages: Messages, generate: bool = False) -> str:
            result = rendered(tuple((one["role"], one["content"]) for one in messages), generate)
            if isinstance(result, InputError):
                raise result
            return result

        try:
            return _compiled(show, _words(template), control)
        except UnsupportedError as error:
            if not parts and _PARTS.search(template):
                with contextlib.suppress(UnsupportedError):
                    return compiled(thinking, parts=True)
            raise UnsupportedError(f"the chat template is not a table of turns: {error}") from None

    with jinja_process.within(SECONDS):
        default = compiled(None)
        if chat_template.thinking_switch(template) is None:
            return Turns(default)
        on, off = compiled(True), compiled(False)
    return Turns(default) if on == off else Turns(default, on, off)


def _content(text: str, parts: bool) -> Any:
    """A content as text, or as parts, for templates that read only these."""
    return [{"type": "text", "text": text}] if parts else text


def _compiled(show: Show, words: Sequence[str], control: Sequence[str]) -> TurnTable:
    table = Reader(show, control).table()
    if _difference(table, show, [_generating(shape) for shape in _PLAIN if shape[-1] == _A]):
        table = replace(table, single=True)
    _verify(table, show, _probes(_PLAIN))
    if not table.no_system:
        table = replace(table, no_system=_difference(table, show, _probes(_with_system(_PLAIN))) or "")
    if not table.no_tool:
        table = replace(table, no_tool=_difference(table, show, _probes(_TOOL)) or "")
    table = _with_special(table, show, words)
    odd = [*_ODD, *_with_system([[], *_ODD])]
    for candidate in (table, replace(table, asked=True), replace(table, strict=True)):
        if not _difference(candidate, show, [*_probes(odd, contents=_CONTENTS[:2]), *map(_generating, odd)]):
            break
    _verify(candidate, show, _probes([*_PLAIN, *_TOOL, *_with_system([*_PLAIN, *_TOOL]), *odd], contents=("",)))
    _check_seams(candidate, control)
    return candidate


def _verify(table: TurnTable, show: Show, probes: Sequence[Probe]) -> None:
    if difference := _difference(table, show, probes):
        raise UnsupportedError(difference)


def _with_special(table: TurnTable, show: Show, words: Sequence[str]) -> TurnTable:
    """The table with the words that the template interprets in a role's contents."""
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
    """A conversation of a shape, with the content in every message of the role."""
    fixed = {_A: _THOUGHTS[0], role: content}
    contents = [fixed.get(one, f"{k}") for k, one in enumerate(shape)]
    return _messages(shape, contents), False


def _difference(table: TurnTable, show: Show, probes: Sequence[Probe]) -> str | None:
    """A difference between table and template; None where they agree on all messages that the table takes."""
    for messages, generate in probes:
        try:
            table.check(messages, generate)
        except InputError:
            continue
        actual = table.render(messages, generate=generate)
        conversation = json.dumps(messages, ensure_ascii=False)
        try:
            wanted = show(messages, generate)
        except InputError as error:
            return f"for {conversation}: {error}"
        if actual != wanted:
            at = len(commonprefix((actual, wanted)))  # noqa: RUF071 - of texts
            return f"for {conversation} it gives {_near(wanted, at)} where a table gives {_near(actual, at)}"
    return None


def _near(text: str, at: int) -> str:
    """An excerpt of a text around a position."""
    begin, end = max(0, at - 30), at + 60
    return ("…" if begin else "") + repr(text[begin:end]) + ("…" if end < len(text) else "")


def _probes(shapes: Sequence[Sequence[str]], contents: Sequence[str] = _CONTENTS) -> list[Probe]:
    """Conversations of these shapes: with equal contents, then with a special content in each place."""
    probes: list[Probe] = []
    for shape in shapes:
        probes += [(_messages(shape, [content] * len(shape)), False) for content in contents]
        probes += [_generating(shape)] if contents is _CONTENTS else []
        for place, role in enumerate(shape) if contents is _CONTENTS else ():
            for content in _THOUGHTS if role == _A else _CONTENTS[1:4]:
                texts = [content if k == place else f"{k}" for k in range(len(shape))]
                probes.append((_messages(shape, texts), False))
    return probes


def _generating(shape: Sequence[str]) -> Probe:
    return _messages(shape, [f"{k}" for k in range(len(shape))]), True


def _messages(shape: Sequence[str], contents: Sequence[str]) -> Messages:
    return [{"role": role, "content": content} for role, content in zip(shape, contents, strict=True)]


def _with_system(shapes: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[_S, *shape] for shape in shapes]


def _words(template: str) -> list[str]:
    """The template's words, without roles and the marks of thoughts."""
    return [word for word in chat_template.words(template) if word not in (*ROLES, OPENING, CLOSING)]


def _check_seams(table: TurnTable, control: Sequence[str]) -> None:
    """Raises UnsupportedError for a control token across two texts, which are tokenized one by one."""
    shapes = [*_PLAIN, *_ODD, *_TOOL, *_with_system([*_PLAIN, *_ODD])]
    for shape, generate in product(shapes, (False, True)):
        try:
            pieces = list(table.pieces(_messages(shape, ["x"] * len(shape)), generate))
        except InputError:
            continue
        for (left, fixed), (right, also_fixed) in pairwise(pieces):
            if fixed and also_fixed and any(crosses(token, left, right) for token in control):
                raise UnsupportedError(f"{left!r} and {right!r} share a control token")
