"""An answer's text as it comes, told apart: its thoughts, what it says, and the calls that it makes."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tinsmith.chat.tool_formats import Begun, JsonFormat, ToolFormat, held_back
from tinsmith.chat.turns import CLOSING, OPENING

if TYPE_CHECKING:
    from tinsmith.runtime.calls import Toolbox
    from tinsmith.runtime.loaded import Loaded

Kind = Literal["thinking", "text"]
Part = tuple[Kind, str]


def openings(format: ToolFormat) -> tuple[str, ...]:
    """What an answer begins with that makes calls. Control tokens are not in an answer's text: where calls
    begin with one, any answer may be some until it has ended."""
    if format.controls:
        return ("",)
    if not isinstance(format, JsonFormat):
        return (format.mark,)
    begun = {format.single[0], format.opening} - {""}
    return (*begun, *(("{", "[") if not format.single[0] or not format.opening else ()))


class Parts:
    """Thoughts and text as `split_answer` has them of the whole, in pieces. Calls are left out: a text is one
    where it begins as calls do."""

    def __init__(
        self, opened: bool = False, calls: Sequence[str] = (), only_calls: bool = False, raw: bool = False
    ) -> None:
        """opened: the prompt began the answer's thoughts. calls: what calls begin with; none where no tool was
        offered. only_calls: the answer is nothing else. raw: all of it is text."""
        self._opened = opened
        self._calls = tuple(calls)
        self.called = only_calls
        self._state: Literal["begin", "thinking", "after", "text"] = "text" if raw else "begin"
        self._held = ""  # what can't be told yet
        self._said = False  # something of the text

    def add(self, text: str) -> list[Part]:
        self._held += text
        parts: list[Part] = []
        while True:
            state = self._state
            part = getattr(self, f"_{state}")()
            if part:
                parts.append(part)
            if self._state == state:
                return parts

    def end(self) -> list[Part]:
        """What was held back."""
        held, self._held = self._held, ""
        if self.called:
            return []
        if self._state in ("thinking", "begin") and (self._state == "thinking" or self._opened):
            thoughts = held.rstrip() if self._said else held.strip().removeprefix(OPENING).strip()
            return [("thinking", thoughts)] if thoughts else []
        return [("text", held)] if held and self._state != "after" else []

    def _begin(self) -> Part | None:
        body = self._held.lstrip()
        if body.startswith(OPENING):
            self._held, self._state = body[len(OPENING) :], "thinking"
        elif not OPENING.startswith(body):
            self._state = "thinking" if self._opened else "text"
        return None

    def _thinking(self) -> Part | None:
        before, closing, rest = self._held.partition(CLOSING)
        if closing:
            thoughts = before.rstrip() if self._said else before.strip()
            self._held, self._state, self._said = rest, "after", False
            return ("thinking", thoughts) if thoughts else None
        shown = before[: len(before) - held_back(before, CLOSING)].rstrip()
        shown = shown if self._said else shown.lstrip()
        if not shown:
            return None
        at = before.index(shown) + len(shown)
        self._held, self._said = before[at:], True
        return ("thinking", shown)

    def _after(self) -> Part | None:
        self._held = self._held.lstrip()
        if self._held:
            self._state = "text"
        return None

    def _text(self) -> Part | None:
        if self.called:
            return None
        if not self._said and self._calls:
            body = self._held.lstrip()
            self.called = body.startswith(self._calls)
            if self.called or any(opening.startswith(body) for opening in self._calls):
                return None
        held, self._held, self._said = self._held, "", True
        return ("text", held) if held else None


@dataclass(frozen=True)
class CallPart:
    """What has come of a call. number: of the answer's calls; name: where it begins; arguments: what their JSON
    goes on with; whole: whether that was all."""

    number: int
    name: str | None
    arguments: str
    whole: bool


class CallParts:
    """The calls of an answer as they come."""

    def __init__(self, model: Loaded, box: Toolbox) -> None:
        self._model, self._box = model, box
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._told: list[Begun] = []

    def add(self, tokens: Sequence[int], called: bool) -> list[CallPart]:
        """tokens: that have come; called: whether the answer is one that calls, as far as is known."""
        data = b"".join(self._model.core.token(token)[0] for token in tokens)
        self._text += self._decoder.decode(data)
        if not called or not data:
            return []
        told, self._told = self._told, self._box.format.begun(self._text, self._box.tools)
        parts = []
        for number, one in enumerate(self._told):
            before = told[number] if number < len(told) else None
            if one != before:
                name, known = (one.name, 0) if before is None else (None, len(before.arguments))
                parts.append(CallPart(number, name, one.arguments[known:], one.whole))
        return parts
