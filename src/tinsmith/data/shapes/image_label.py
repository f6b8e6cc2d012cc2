"""image-label: an image and its label, caption or text, without a question."""

from __future__ import annotations

from collections.abc import Sequence

from tinsmith.data.readers import Example, Where
from tinsmith.data.shapes import Named, Reading, Shape, TaskTraits, Values, system, text
from tinsmith.data.shapes.pairs import TextLabel, has_prompt
from tinsmith.errors import DataError

_LABELS = tuple(name for name in TextLabel.outputs if name != "output")  # a column of tinsmith's own rows
_TEXTS = ("text", "caption", "description", "answer")  # where there is no label


class ImageLabel(Shape):
    name = "image-label"

    def readings(self, columns: Sequence[str], rows: Sequence[Values], named: Named) -> list[Reading]:
        if not named.images(columns) or named.input or has_prompt(columns):
            return []
        known = {name.strip().lower(): name for name in columns}
        labels = [known[name] for name in _LABELS if name in known]
        if labels and any(name in known for name in TextLabel.inputs):
            return []
        texts = [known[name] for name in _TEXTS if name in known]
        outputs = [named.output] if named.output else labels or texts
        return [Reading(self, (), output) for output in outputs]

    def example(self, values: Values, reading: Reading, where: Where, task: TaskTraits | None) -> Example:
        assert reading.output is not None
        if not reading.has_images(values):
            raise DataError(f'{where}: "{reading.images[0]}" is missing; an example needs it')
        output = text(values, reading.output, where, task, is_output=True)
        return Example(input="", output=output, turns=system(values, where), where=where)


SHAPES = (ImageLabel(),)
