"""Splits an answer's text, as it is generated, into thoughts, text and tool calls."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tinsmith.chat.tool_formats import JsonFormat, PartialCall, ToolFormat, partial_mark
from tinsmith.chat.turns import CLOSING, OPENING
from tinsmith.runtime.calls import Toolbox
from tinsmith.runtime.loaded import Loaded

TextDelta = tuple[Literal["thinking", "text"], str]


def call_openings(format: ToolFormat) -> tuple[str, ...]:
    """Texts that begin an answer with calls. An answer's text lacks control tokens: in a format that begins
    calls with one, any answer may turn out to be a call."""
    if format.controls:
        return ("",)
    if not isinstance(format, JsonFormat):
        return (format.mark,)
    openings = {format.single[0], format.opening} - {""}
    return (*openings, *(("{", "[") if not format.single[0] or not format.opening else ()))


class AnswerParser:
    """Streams the thoughts and text of `split_answer`, without calls."""

    def __init__(
        self, thinks: bool = False, openings: Sequence[str] = (), *, only_calls: bool = False, raw: bool = False
    ) -> None:
        """thinks: the prompt began the answer's thoughts. openings: of calls; none without tools. only_calls:
        the answer must call. raw: all is text."""
        self._thinks = thinks
        self._openings = tuple(openings)
        self.called = only_calls
        self._state: Literal["begin", "thinking", "after", "text"] = "text" if raw else "begin"
        self._pending = ""  # undecided text
        self._started = False  # the current part has yielded text

    def add(self, text: str) -> list[TextDelta]:
        self._pending += text
        deltas: list[TextDelta] = []
        while True:
            state = self._state
            delta = getattr(self, f"_{state}")()
            if delta:
                deltas.append(delta)
            if self._state == state:
                return deltas

    def end(self) -> list[TextDelta]:
        """The text that is still pending."""
        text, self._pending = self._pending, ""
        if self.called:
            return []
        if self._state == "thinking" or (self._state == "begin" and self._thinks):
            thoughts = text.rstrip() if self._started else text.strip().removeprefix(OPENING).strip()
            return [("thinking", thoughts)] if thoughts else []
        return [("text", text)] if text and self._state != "after" else []

    def _begin(self) -> TextDelta | None:
        body = self._pending.lstrip()
        if body.startswith(OPENING):
            self._pending, self._state = body[len(OPENING) :], "thinking"
        elif not OPENING.startswith(body):
            self._state = "thinking" if self._thinks else "text"
        return None

    def _thinking(self) -> TextDelta | None:
        before, closing, rest = self._pending.partition(CLOSING)
        if closing:
            thoughts = before.rstrip() if self._started else before.strip()
            self._pending, self._state, self._started = rest, "after", False
            return ("thinking", thoughts) if thoughts else None
        shown = before[: len(before) - partial_mark(before, CLOSING)].rstrip()
        shown = shown if self._started else shown.lstrip()
        if not shown:
            return None
        self._pending, self._started = before[before.index(shown) + len(shown) :], True
        return ("thinking", shown)

    def _after(self) -> TextDelta | None:
        self._pending = self._pending.lstrip()
        if self._pending:
            self._state = "text"
        return None

    def _text(self) -> TextDelta | None:
        if self.called:
            return None
        if not self._started and self._openings:
            body = self._pending.lstrip()
            self.called = body.startswith(self._openings)
            if self.called or any(opening.startswith(body) for opening in self._openings):
                return None
        text, self._pending, self._started = self._pending, "", True
        return ("text", text) if text else None


@dataclass(frozen=True)
class CallDelta:
    """number: of the call in the answer. name: in a call's first delta. complete: in its last."""

    number: int
    name: str | None
    arguments: str
    complete: bool


class CallParser:
    def __init__(self, model: Loaded, toolbox: Toolbox) -> None:
        self._model, self._toolbox = model, toolbox
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._seen: list[PartialCall] = []

    def add(self, tokens: Sequence[int], called: bool) -> list[CallDelta]:
        """called: the answer is known to call."""
        data = b"".join(self._model.core.token(token)[0] for token in tokens)
        self._text += self._decoder.decode(data)
        if not called or not data:
            return []
        seen, self._seen = self._seen, self._toolbox.format.partial_calls(self._text, self._toolbox.tools)
        deltas = []
        for number, call in enumerate(self._seen):
            before = seen[number] if number < len(seen) else None
            if call != before:
                name, known = (call.name, 0) if before is None else (None, len(before.arguments))
                deltas.append(CallDelta(number, name, call.arguments[known:], call.complete))
        return deltas
