"""invalid: an output that is no answer of the task, such as text that is not JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace

from tinsmith.data.readers import Example
from tinsmith.errors import InputError
from tinsmith.prepare.check import Check, Finding, Mend, drop
from tinsmith.prepare.check._texts import quoted
from tinsmith.prepare.check.rows import Data
from tinsmith.system import reading
from tinsmith.tasks import Task


class Invalid(Check):
    name, severity = "invalid", "error"
    title = "outputs that are no valid answer"
    advice = "mend the output; a model learns to break it the same way"
    explained_by = ("template", "encoding")

    def find(self, data: Data) -> Iterator[Finding]:
        for i, value in enumerate(data.values):
            if value is None:
                output = data.rows[i].example.output
                inner = _inner(output)
                mend = (
                    drop() if data.task.parse(inner) is None else Mend("text around the JSON went", _put(inner))
                )
                yield self.at(data, i, _reason(output, data.task), mend)


def _inner(output: str) -> str:
    """From the first brace to the last one: what stands in a fence, or after "Sure!"."""
    return output[output.find("{") : output.rfind("}") + 1]


def _put(output: str) -> Callable[[Example], Example]:
    return lambda example: replace(example, output=output)


def _reason(output: str, task: Task) -> str:
    try:
        reading.json(output, "the output", unique=True)
    except InputError as error:
        cut = "cut off: " if _is_cut(output) else ""
        return f"{cut}{error}: {quoted(output)}"
    return f"the output is not {task.form}: {quoted(output)}"


def _is_cut(output: str) -> bool:
    """JSON that is right as far as it goes."""
    try:
        json.loads(output)
    except RecursionError:
        return False
    except json.JSONDecodeError as error:
        return error.pos >= len(output.rstrip()) or error.msg.startswith("Unterminated string")
    return False


check = Invalid()
