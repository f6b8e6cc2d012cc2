"""encoding: wrongly decoded text ("cafÃ©"), lost characters and control characters."""

from __future__ import annotations

import re
from collections.abc import Iterator

import ftfy
from ftfy.badness import is_bad

from tinsmith.prepare.check import Check, Finding, Mend, drop
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
                    yield self.at(data, i, f"the {name} has lost characters: {quoted(text)}", drop())
                elif (new := _mended(text)) != text:
                    message = f"the {name} is damaged: {quoted(text)}; it should be {quoted(new)}"
                    yield self.at(data, i, message, _mend(name))


CHECKS = (Encoding(),)


def _mend(name: str) -> Mend:
    return Mend(
        f"the {name}'s characters were mended", lambda one: changed(one, name, _mended(getattr(one, name)))
    )


def _mended(text: str) -> str:
    clean = _STRAY.sub("", ftfy.fix_encoding(text) if is_bad(text) else text)
    return clean.strip() or text
