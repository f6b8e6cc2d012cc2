"""Outputs that are invalid, forbidden by the constraint, cut off, or a refusal to answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial

from tinsmith.data.leaves import leaves
from tinsmith.data.slots import title
from tinsmith.errors import InputError
from tinsmith.prepare.check import DROP, Check, Finding, Mend
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
                yield self.at(data, i, _reason(output, data.task), mend if is_json else DROP)


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


class Forbidden(Check):
    name, severity = "forbidden", "error"
    title = "outputs that the constraint forbids"
    advice = "correct the value, or widen the schema: the model could never give this answer"
    explained_by = ("invalid", "label_typo", "encoding", "template")

    def needs(self, data: Data) -> str:
        return "" if data.rules else "no constraint is known; give --schema, --tools or --labels"

    def find(self, data: Data) -> Iterator[Finding]:
        rules = data.rules
        assert rules is not None
        for i, row in enumerate(data.rows):
            output = row.example.output
            departure, value = rules.departure(output), data.values[i]
            if departure is None:
                continue
            if not isinstance(value, dict | list):
                yield self.at(data, i, f"{quoted(output)} is not allowed: {departure}", DROP)
                continue
            written = rules.written(value)
            departure = rules.departure(written)
            if departure is None:
                rewrite = partial(changed, name="output", text=written)
                message = f"the constraint writes {quoted(written)}, with other spacing or order of keys"
                mend = Mend("the output was written as the constraint has it", rewrite)
                yield self.at(data, i, message, mend)
                continue
            at = next((leaf for leaf in leaves(written) if departure.at <= leaf.end), None)
            subject = f"{title(at.path)}: {written[at.start : at.end]}" if at else quoted(written)
            yield self.at(data, i, f"{subject} is not allowed: {departure}", DROP)


_WORDS = 8  # least words of a text with sentences
_SHARE = 0.8  # least share of such texts that end with a sentence
_ENDS = re.compile(r"[.!?…:;\"'”’»)\]}>|`*。！？」』।]\s*\Z")


class Truncated(Check):
    name, severity = "truncated", "warning"
    title = "outputs that end in the middle"
    advice = "complete the text, or delete the row; check whether a length limit cut it"

    def needs(self, data: Data) -> str:
        return "" if data.task.is_free else f"an output of the task {data.task.name} that is cut is invalid"

    def find(self, data: Data) -> Iterator[Finding]:
        long = [i for i, row in enumerate(data.rows) if len(row.example.output.split()) >= _WORDS]
        cut = [i for i in long if not _ENDS.search(data.rows[i].example.output)]
        found = {i for i in long if data.rows[i].example.output.count("```") % 2}  # an open fence
        if len(cut) <= (1 - _SHARE) * len(long):
            found.update(cut)
        for i in sorted(found):
            yield self.at(data, i, f'the output ends with "…{data.rows[i].example.output[-40:]}"', DROP)


_CANNOT = r"(?:can['’]?t|cannot|can not|won['’]?t|(?:am|['’]m) (?:unable|not able) to)"
_REFUSAL = re.compile(
    rf"\b(?:as an? (?:ai|artificial intelligence|large language model|language model)\b"
    rf"|i(?:['’]m| am) (?:just |only )?an? (?:ai|language model)\b"
    rf"|(?:i['’]?m |i am )?(?:very |so |truly )?sorry,? (?:but )?(?:i|this|that)\b.{{0,20}}?{_CANNOT}"
    rf"|i ?{_CANNOT} (?:help|assist|provide|comply|fulfil|answer|do that|support|create|generate|process)"
    r"|als (?:ki|künstliche intelligenz|sprachmodell)\b|tut mir leid, (?:aber )?(?:ich|dabei)"
    r"|en tant qu['’]ia\b|je suis désolée?, (?:mais )?je ne peux"
    r"|como (?:una )?(?:ia|inteligencia artificial)\b|lo siento, (?:pero )?no puedo)",
    re.IGNORECASE | re.DOTALL,
)
_WITHIN = 300  # first characters of an output that are searched


class Refusal(Check):
    name, severity = "refusal", "warning"
    title = "outputs that decline to answer"
    advice = "delete them, unless the model is to learn to decline"

    def find(self, data: Data) -> Iterator[Finding]:
        for i, row in enumerate(data.rows):
            output = row.example.output
            if found := _REFUSAL.search(output[:_WITHIN]):
                yield self.at(data, i, f"{quoted(found[0])} in the output: {quoted(output)}", DROP)


CHECKS = (Invalid(), Forbidden(), Truncated(), Refusal())
