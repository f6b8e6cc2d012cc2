"""A chat template's compilation to tables of turns, by rendering probe conversations.

`compile_turns` reads a table off short conversations with marked contents, and proves it on others: every shape
of conversation, contents that a template might strip, split or escape, and whatever texts the template itself
compares contents with. What does not agree is left out of the table, with the reason, or refused.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date as Date
from functools import cache, lru_cache
from itertools import pairwise, product
from typing import Any

from tinsmith.chat import chat_template, jinja_process
from tinsmith.chat.chat_template import Messages, Tools
from tinsmith.chat.turn_reader import Reader, Show, crosses
from tinsmith.chat.turns import CLOSING, OPENING, ROLES, Turns, TurnTable
from tinsmith.errors import InputError, UnsupportedError

SECONDS = 30.0  # of a template's some thousand probes, which take well under one

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

# What a template that knows of such asks each part of a content.
_PARTS = re.compile(r"""\[['"]type['"]\]|\.type\b""")

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
    two; tools: those that every prompt lists; date: what the template takes for today. Raises UnsupportedError,
    with a conversation where table and template part, when the template is none, and InputError when it writes
    today's date and none is given.
    """
    if not template.isascii() and template.encode("utf-8", "replace").decode("utf-8") != template:
        raise UnsupportedError("the chat template is not UTF-8 text")
    texts = tokens or {}
    encoded_tools = None if tools is None else json.dumps(list(tools))
    return _turns(template, tuple(texts.items()), (*control, *texts.values()), encoded_tools, date)


@lru_cache(maxsize=64)
def _turns(
    template: str,
    tokens: tuple[tuple[str, str], ...],
    control: tuple[str, ...],
    tools: str | None,
    date: Date | None,
) -> Turns:
    def compiled(thinking: bool | None, parts: bool = False) -> TurnTable:
        @cache
        def rendered(shape: tuple[tuple[str, str], ...], generate: bool) -> str | InputError:
            messages = [{"role": role, "content": _content(content, parts)} for role, content in shape]
            try:
                return chat_template.render(
                    template,
                    messages,
                    generate=generate,
                    tokens=dict(tokens),
                    tools=None if tools is None else json.loads(tools),
                    thinking=thinking,
                    date=date,
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
    """As a template takes it that sees a content as texts and images alone."""
    return [{"type": "text", "text": text}] if parts else text


def _compiled(show: Show, words: Sequence[str], control: Sequence[str]) -> TurnTable:
    table = Reader(show, control).table()
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
        if not _difference(table, show, [*_probes(odd, contents=_CONTENTS[:2]), *map(_asked, odd)]):
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
            return f"for {_as_json(messages)}: {error}"
        if given != wanted:
            pairs = enumerate(zip(given, wanted, strict=False))
            at = next((k for k, (a, b) in pairs if a != b), min(len(given), len(wanted)))
            return (
                f"for {_as_json(messages)} it gives {_near(wanted, at)} where a table gives {_near(given, at)}"
            )
    return None


def _as_json(messages: Messages) -> str:
    return json.dumps(messages, ensure_ascii=False)


def _near(text: str, at: int) -> str:
    """What is to be seen of a text around a place."""
    begin, end = max(0, at - 30), at + 60
    return ("…" if begin else "") + repr(text[begin:end]) + ("…" if end < len(text) else "")


def _probes(shapes: Sequence[Sequence[str]], contents: Sequence[str] = _CONTENTS) -> list[Probe]:
    """Conversations of these shapes: all contents alike, then, in each place, what might be taken specially."""
    probes: list[Probe] = []
    for shape in shapes:
        probes += [(_messages(shape, [content] * len(shape)), False) for content in contents]
        probes += [_asked(shape)] if contents is _CONTENTS else []
        for place, role in enumerate(shape) if contents is _CONTENTS else ():
            for content in _THOUGHTS if role == _A else _CONTENTS[1:4]:
                texts = [content if k == place else f"{k}" for k in range(len(shape))]
                probes.append((_messages(shape, texts), False))
    return probes


def _asked(shape: Sequence[str]) -> Probe:
    return _messages(shape, [f"{k}" for k in range(len(shape))]), True


def _messages(shape: Sequence[str], contents: Sequence[str]) -> Messages:
    return [{"role": role, "content": content} for role, content in zip(shape, contents, strict=True)]


def _with_system(shapes: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[_S, *shape] for shape in shapes]


def _words(template: str) -> list[str]:
    """What a template looks for in contents, but for what it compares roles with and what thoughts stand in."""
    return [word for word in chat_template.words(template) if word not in (*ROLES, OPENING, CLOSING)]


def _check_seams(table: TurnTable, control: Sequence[str]) -> None:
    """Texts of a table are cut at control tokens one by one: none may lie across two of them."""
    shapes = [*_PLAIN, *_ODD, *_TOOL, *_with_system([*_PLAIN, *_ODD])]
    for shape, generate in product(shapes, (False, True)):
        try:
            pieces = list(table.pieces(_messages(shape, ["x"] * len(shape)), generate))
        except InputError:
            continue
        for (left, ours), (right, too) in pairwise(pieces):
            if ours and too and any(crosses(token, left, right) for token in control):
                raise UnsupportedError(f"{left!r} and {right!r} share a control token")
