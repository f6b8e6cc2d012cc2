"""alpaca: an instruction, what it is about in `input` (or nothing), and the output; earlier turns in `history`,
pairs of an instruction and its output."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from tinsmith.data.readers import Example, Turn, Where
from tinsmith.data.shapes import Reading, Values, Wanted
from tinsmith.data.shapes._chats import check_turns
from tinsmith.data.shapes._pairs import Pairs
from tinsmith.errors import DataError


class Alpaca(Pairs):
    name = "alpaca"
    inputs: ClassVar = ("instruction",)
    outputs: ClassVar = ("output", "response")
    after: ClassVar = ("input", "context")

    def example(self, values: Values, reading: Reading, where: Where, task: Wanted | None) -> Example:
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


shape = Alpaca()
