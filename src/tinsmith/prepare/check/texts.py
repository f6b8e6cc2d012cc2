"""Damaged characters, and marks of a chat template, in inputs and outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

import ftfy
from ftfy.badness import is_bad

from tinsmith.data.readers import Example
from tinsmith.prepare.check import DROP, Check, Finding, Mend
from tinsmith.prepare.check._texts import changed, quoted
from tinsmith.prepare.check.rows import Data

_LOST = "\ufffd"
# Control characters except tab and line ends, and zero-width characters that no script needs.
_STRAY = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff]")


class Encoding(Check):
    name, severity = "encoding", "error"
    title = "damaged characters"
    advice = "save the source as UTF-8 and export the data again, or correct the text"

    def find(self, data: Data) -> Iterator[Finding]:
        for i, row in enumerate(data.rows):
            for name, text in (("input", row.example.input), ("output", row.example.output)):
                if _LOST in text:
                    yield self.at(data, i, f"the {name} has lost characters: {quoted(text)}", DROP)
                elif (new := _mended(text)) != text:
                    message = f"the {name} is damaged: {quoted(text)}; it should be {quoted(new)}"
                    yield self.at(data, i, message, _mend(name))


def _mend(name: str) -> Mend:
    return Mend(
        f"the {name}'s characters were mended", lambda one: changed(one, name, _mended(getattr(one, name)))
    )


def _mended(text: str) -> str:
    clean = _STRAY.sub("", ftfy.fix_encoding(text) if is_bad(text) else text)
    return clean.strip() or text


_MARKS = (
    r"<\|[\w./ -]{1,40}\|>|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS)\]|<</?SYS>>|"
    r"</?(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>|\A<s>|</s>\Z|^#{2,3} (?:Instruction|Response|Input):|"
    r"\A(?:Assistant|User|Human|System|ASSISTANT|USER)\s*:"
)


class Template(Check):
    name, severity = "template", "error"
    title = "marks of a chat template in the text"
    advice = "use plain text; training adds the base's template"

    def find(self, data: Data) -> Iterator[Finding]:
        marks = re.compile("|".join([_MARKS, *map(re.escape, data.base.special if data.base else ())]), re.M)
        for i, row in enumerate(data.rows):
            for name in ("input", "output"):
                text = getattr(row.example, name)
                if (found := marks.search(text)) and not (name == "output" and _is_meant(data, text)):
                    message = f"the {name} holds {quoted(found[0])}: {quoted(text)}"
                    mend = Mend(f"marks were removed from the {name}", partial(_without, name, marks))
                    yield self.at(data, i, message, mend)


def _is_meant(data: Data, output: str) -> bool:
    """Whether the constraint allows the marks, such as <tool_call>."""
    return data.rules is not None and data.rules.departure(output) is None


def _without(name: str, marks: re.Pattern[str], example: Example) -> Example | None:
    text = marks.sub("", getattr(example, name)).strip()
    return changed(example, name, text) if text else None


CHECKS = (Encoding(), Template())
