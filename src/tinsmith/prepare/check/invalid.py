"""invalid: an output that the task can't parse, such as text that is not JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

from tinsmith.errors import InputError
from tinsmith.prepare.check import Check, Finding, Mend, drop
from tinsmith.prepare.check._texts import changed, quoted
from tinsmith.prepare.check.rows import Data
from tinsmith.system import reading
from tinsmith.tasks import Task


class Invalid(Check):
    name, severity = "invalid", "error"
    title = "outputs that are not valid answers"
    advice = "correct the output; the model would learn the same fault"
    explained_by = ("template", "encoding")

    def find(self, data: Data) -> Iterator[Finding]:
        for i, value in enumerate(data.values):
            if value is None:
                output = data.rows[i].example.output
                # From the first brace to the last one: the JSON in a fence, or after "Sure!".
                inner = output[output.find("{") : output.rfind("}") + 1]
                mend = Mend("text around the JSON was removed", partial(changed, name="output", text=inner))
                is_json = data.task.parse(inner) is not None
                yield self.at(data, i, _reason(output, data.task), mend if is_json else drop())


CHECKS = (Invalid(),)


def _reason(output: str, task: Task) -> str:
    try:
        reading.json(output, "the output", unique=True)
    except InputError as error:
        cut = "cut off: " if _is_cut(output) else ""
        return f"{cut}{error}: {quoted(output)}"
    return f"the output is not {task.form}: {quoted(output)}"


def _is_cut(output: str) -> bool:
    """Whether the output is valid JSON up to its end."""
    try:
        json.loads(output)
    except RecursionError:
        return False
    except json.JSONDecodeError as error:
        return error.pos >= len(output.rstrip()) or error.msg.startswith("Unterminated string")
    return False
