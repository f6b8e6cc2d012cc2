"""invalid: an output that is no answer of the task, such as text that is not JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tinsmith.errors import InputError
from tinsmith.prepare.check import Check, Finding, drop
from tinsmith.prepare.check._texts import quoted
from tinsmith.prepare.check.rows import Data
from tinsmith.system import reading

_TASK_FORM = {
    "call": 'an object of "name", a text, and "arguments", an object, and nothing else',
    "extract": "one JSON object",
}


class Invalid(Check):
    name, severity = "invalid", "error"
    title = "outputs that are no valid answer"
    advice = "mend the output; a model learns to break it the same way"

    def find(self, data: Data) -> Iterator[Finding]:
        for i, value in enumerate(data.values):
            if value is None:
                reason = _reason(data.rows[i].example.output, data.task.name)
                yield self.at(data, i, reason, drop())


def _reason(output: str, task: str) -> str:
    try:
        reading.json(output, "the output", unique=True)
    except InputError as error:
        cut = "cut off: " if _is_cut(output) else ""
        return f"{cut}{error}: {quoted(output)}"
    return f"the output is not {_TASK_FORM.get(task, f'an answer of the task {task}')}: {quoted(output)}"


def _is_cut(output: str) -> bool:
    """JSON that is right as far as it goes."""
    try:
        json.loads(output)
    except json.JSONDecodeError as error:
        return error.pos >= len(output.rstrip()) or error.msg.startswith("Unterminated string")
    return False


check = Invalid()
