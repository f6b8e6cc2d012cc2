"""input-output: tinsmith's own rows (tinsmith.data.readers); other columns are not used."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from tinsmith.data import readers
from tinsmith.data.readers import Example, Where
from tinsmith.data.shapes import Named, Reading, Shape, TaskTraits, Values, is_blank, system, text
from tinsmith.data.shapes.chats import check_turns
from tinsmith.data.shapes.pairs import has_prompt
from tinsmith.errors import DataError


class Own(Shape):
    name = "input-output"

    def readings(self, columns: Sequence[str], rows: Sequence[Values], named: Named) -> list[Reading]:
        if (named.input or ("input",), named.output or "output") != (("input",), "output"):
            return []
        prompt = ("input",) if "input" in columns else ()
        if "output" not in columns or "instruction" in columns or not (prompt or named.images(columns)):
            return []
        if not prompt and has_prompt(columns):
            return []
        more = tuple(name for name in columns if name in readers.KEYS)
        return [Reading(self, prompt, "output", more=more)]

    def example(self, values: Values, reading: Reading, where: Where, task: TaskTraits | None) -> Example:
        for key in values:
            near = _misspelt(key)
            if near is not None and near not in values:
                raise DataError(
                    f'{where}: unknown key "{key}"; did you mean "{near}"? an example takes '
                    f"{', '.join(readers.KEYS)}"
                )
        own = {key: value for key, value in values.items() if key in readers.KEYS and not is_blank(value)}
        own.pop("image", None)  # Opened reads images
        has_images = reading.has_images(values)
        if not (is_blank(values.get("input")) and has_images):
            own["input"] = text(values, "input", where)
        own["output"] = text(values, "output", where, task, is_output=True)
        example = readers.example({"input": "", **own}, where, shown=has_images)
        return check_turns(replace(example, turns=system(values, where) + example.turns), where, task)


@lru_cache(1024)  # files have few columns, damaged rows any number
def _misspelt(key: str) -> str | None:
    """The key of KEYS that an unknown key nearly equals."""
    near = [] if key in readers.KEYS else difflib.get_close_matches(key, readers.KEYS, 1, 0.75)
    return near[0] if near else None


SHAPES = (Own(),)
