"""columns: the input's and the output's columns, as the recipe names both."""

from __future__ import annotations

from collections.abc import Sequence

from tinsmith.data.readers import Example, Where
from tinsmith.data.shapes import Named, Reading, Shape, Values, Wanted
from tinsmith.data.shapes._pairs import pair


class Columns(Shape):
    name = "columns"

    def readings(self, columns: Sequence[str], rows: Sequence[Values], named: Named) -> list[Reading]:
        return [Reading(self, named.input, named.output)] if named.input and named.output else []

    def example(self, values: Values, reading: Reading, where: Where, task: Wanted | None) -> Example:
        return pair(values, reading, where, task)


shape = Columns()
