"""template: marks of a chat template, or special tokens of the base, in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from tinsmith.data.readers import Example
from tinsmith.prepare.check import Check, Finding, Mend
from tinsmith.prepare.check._texts import changed, quoted
from tinsmith.prepare.check.rows import Data

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


CHECKS = (Template(),)


def _is_meant(data: Data, output: str) -> bool:
    """Whether the constraint allows the marks, such as <tool_call>."""
    return data.rules is not None and data.rules.data is not None and data.rules.departure(output) is None


def _without(name: str, marks: re.Pattern[str], example: Example) -> Example | None:
    text = marks.sub("", getattr(example, name)).strip()
    return changed(example, name, text) if text else None
