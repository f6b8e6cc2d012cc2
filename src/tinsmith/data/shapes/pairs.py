"""Shapes with one column for the input and one for the output, recognized by the columns' names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from tinsmith.data.readers import Example, Turn, Where
from tinsmith.data.shapes import Named, Reading, Shape, TaskTraits, Values, is_blank, system, text
from tinsmith.data.shapes.chats import check_turns, of_messages
from tinsmith.errors import DataError

_PROMPTS = ("input", "question", "prompt", "query", "source", "instruction", "messages", "conversations")


class Columns(Shape):
    """The two columns that the recipe names."""

    name = "columns"

    def readings(self, columns: Sequence[str], rows: Sequence[Values], named: Named) -> list[Reading]:
        return [Reading(self, named.input, named.output)] if named.input and named.output else []

    def example(self, values: Values, reading: Reading, where: Where, task: TaskTraits | None) -> Example:
        assert reading.output is not None
        parts = [
            text(values, column, where)
            for column in reading.input
            if column not in reading.optional or not is_blank(values.get(column))
        ]
        output = text(values, reading.output, where, task, is_output=True)
        return Example("\n\n".join(parts), output, turns=system(values, where), where=where)


class Pairs(Columns):
    """outputs: names of output columns."""

    outputs: ClassVar[tuple[str, ...]]

    def readings(self, columns: Sequence[str], rows: Sequence[Values], named: Named) -> list[Reading]:
        if named.input and named.output:
            return []
        outputs = [named.output] if named.output else _known(columns, self.outputs)
        if named.input:
            return [Reading(self, named.input, output) for output in outputs if output not in named.input]
        before, after = _known(columns, self.before), _known(columns, self.after)
        return [
            Reading(self, (*before, prompt, *after), output, optional=(*before, *after))
            for prompt in _known(columns, self.inputs)
            for output in outputs
            if output != prompt
        ]


class Alpaca(Pairs):
    """An instruction, optional text that it is about, and the output; `history` has earlier pairs."""

    name = "alpaca"
    inputs = ("instruction",)
    outputs = ("output", "response")
    after = ("input", "context")

    def example(self, values: Values, reading: Reading, where: Where, task: TaskTraits | None) -> Example:
        example = super().example(values, reading, where, task)
        history = values.get("history") or []
        turns = list(example.turns)
        for pair in history if isinstance(history, list) else [None]:
            if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(one, str) for one in pair)):
                raise DataError(f'{where}: "history" must be a list of pairs of an instruction and its output')
            if not all(one.strip() for one in pair):
                raise DataError(f'{where}: "history" has an empty text; write one, or leave the pair out')
            turns += [Turn("user", pair[0].strip()), Turn("assistant", pair[1].strip())]
        return check_turns(replace(example, turns=tuple(turns)), where, task)


class PromptCompletion(Pairs):
    """A prompt and its completion, as texts or, as in TRL, as lists of messages."""

    name = "prompt-completion"
    inputs = ("prompt", "source", "query")
    outputs = ("completion", "response", "target")

    def example(self, values: Values, reading: Reading, where: Where, task: TaskTraits | None) -> Example:
        prompt, completion = values.get(reading.input[0]), values.get(str(reading.output))
        if isinstance(prompt, list) and isinstance(completion, list):
            return of_messages([*prompt, *completion], reading.input[0], values, where, task)
        return super().example(values, reading, where, task)


class QuestionAnswer(Pairs):
    """A question and its answer, with an optional context before the question."""

    name = "question-answer"
    inputs = ("question",)
    outputs = ("answer", "response")
    before = ("context", "passage")


class TextLabel(Pairs):
    """A text and its label, as in classification data sets."""

    name = "text-label"
    inputs = ("text", "sentence", "utterance", "content", "document", "review", "message")
    # fmt: off
    outputs = ("label", "labels", "label_text", "category", "class", "intent", "sentiment", "topic", "output")
    # fmt: on


SHAPES = (Alpaca(), Columns(), PromptCompletion(), QuestionAnswer(), TextLabel())


def _known(columns: Sequence[str], names: Sequence[str]) -> list[str]:
    return [column for column in columns if column.strip().lower() in names]


def has_prompt(columns: Sequence[str]) -> bool:
    """Whether a column holds a prompt in some shape, so that an image's label is not the whole example."""
    return bool(_known(columns, _PROMPTS))
