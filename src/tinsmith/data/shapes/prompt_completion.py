"""prompt-completion: a prompt and what follows it, as texts or (as TRL has them too) as messages."""

from __future__ import annotations

from typing import ClassVar

from tinsmith.data.readers import Example, Where
from tinsmith.data.shapes import Reading, Values, Wanted
from tinsmith.data.shapes._chats import of_messages
from tinsmith.data.shapes._pairs import Pairs


class PromptCompletion(Pairs):
    name = "prompt-completion"
    inputs: ClassVar = ("prompt", "source", "query")
    outputs: ClassVar = ("completion", "response", "target")

    def example(self, values: Values, reading: Reading, where: Where, task: Wanted | None) -> Example:
        asked, answered = values.get(reading.input[0]), values.get(str(reading.output))
        if isinstance(asked, list) and isinstance(answered, list):
            return of_messages([*asked, *answered], reading.input[0], values, where, task)
        return super().example(values, reading, where, task)


shape = PromptCompletion()
