"""What shapes share whose input and output are columns: names that say what a column is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from tinsmith.data.readers import Example, Turn, Where
from tinsmith.data.shapes import SYSTEM, Named, Reading, Shape, Values, Wanted, text

_ASKS = ("input", "question", "prompt", "query", "source", "instruction", "messages", "conversations")


class Pairs(Shape):
    """outputs: names of their columns."""

    outputs: ClassVar[tuple[str, ...]]

    def readings(self, columns: Sequence[str], rows: Sequence[Values], named: Named) -> list[Reading]:
        if named.input and named.output:
            return []  # columns.py reads these
        outputs = [named.output] if named.output else self._known(columns, self.outputs)
        if named.input:
            return [Reading(self, named.input, output) for output in outputs if output not in named.input]
        before, after = self._known(columns, self.before), self._known(columns, self.after)
        return [
            Reading(self, (*before, one, *after), output, optional=(*before, *after))
            for one in self._known(columns, self.inputs)
            for output in outputs
            if output != one
        ]

    @staticmethod
    def _known(columns: Sequence[str], known: Sequence[str]) -> list[str]:
        return [name for name in columns if name.strip().lower() in known]

    def example(self, values: Values, reading: Reading, where: Where, task: Wanted | None) -> Example:
        return pair(values, reading, where, task)


def pair(values: Values, reading: Reading, where: Where, task: Wanted | None) -> Example:
    assert reading.output is not None
    given = [
        text(values, column, where)
        for column in reading.input
        if column not in reading.optional or not is_blank(values.get(column))
    ]
    return Example(
        input="\n\n".join(given),
        output=text(values, reading.output, where, task, is_output=True),
        turns=system(values, where),
        where=where,
    )


def asks(columns: Sequence[str]) -> bool:
    """Whether one of them asks for an answer in some shape: an image's label then is not all there is."""
    return any(name.strip().lower() in _ASKS for name in columns)


def system(values: Values, where: Where) -> tuple[Turn, ...]:
    """The row's own system message, where it has one."""
    column = next((name for name in SYSTEM if not is_blank(values.get(name))), None)
    return () if column is None else (Turn("system", text(values, column, where)),)


def is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())
