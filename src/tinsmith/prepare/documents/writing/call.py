"""call: a request that a reader of the passage might make, and the function call that carries it out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from tinsmith.chat.tool_formats import read_tools
from tinsmith.data.readers import Example
from tinsmith.errors import DataError
from tinsmith.prepare.documents.dropping import Dropped
from tinsmith.prepare.documents.grounding import copied, is_looping, is_related, stands
from tinsmith.prepare.documents.passages import Passage
from tinsmith.prepare.documents.writing import Request, Terms, Writer, closed, example, invalid, read
from tinsmith.prepare.documents.writing.chat import shown

_REQUEST = {"type": "string", "pattern": r"^[^a-z\s\"][^\n\r\"]{10,160}$"}
_TOKENS = 192


def _prompt(text: str, tool: Mapping[str, Any]) -> str:
    listed = json.dumps(tool, ensure_ascii=False)
    return f"{text}\n\nWrite what a reader of this text might want of this function, and the call: {listed}"


_SHOTS = (
    (
        _prompt(
            "Text about tides\n\nAt Emden high water is at 6:40 on Friday, and the lock stays shut until noon.",
            {
                "name": "set_alarm",
                "description": "sets an alarm",
                "parameters": {"place": "string", "time": "string"},
            },
        ),
        '{"request":"Wake me for high water at Emden at 6:40",'
        '"call":{"name":"set_alarm","arguments":{"place":"Emden","time":"6:40"}}}',
    ),
)


class Call(Writer):
    needs = "tools"
    grounding: ClassVar[str] = (
        "every text and number of a call's arguments that is of no closed list stands in the request and in "
        "the passage, and the request's words are the passage's"
    )

    def requests(self, passage: Passage, terms: Terms) -> list[Request]:
        assert terms.tools is not None
        requests = []
        for tool in read_tools(terms.tools)[: terms.questions]:
            call = closed({"name": {"const": tool.name}, "arguments": tool.parameters or closed({})})
            schema = closed({"request": _REQUEST, "call": call})
            if "$defs" in tool.parameters:
                schema["$defs"] = tool.parameters["$defs"]  # where its references lead to
            requests.append(Request(_prompt(shown(passage), tool.declared), schema, _TOKENS, _SHOTS))
        return requests

    def written(
        self, passage: Passage, terms: Terms, requests: Sequence[Request], answers: Sequence[str]
    ) -> Iterator[Example | Dropped]:
        for request, answer in zip(requests, answers, strict=True):
            try:
                value = read(request, answer)
            except DataError as fault:
                yield invalid(passage, fault, answer)
                continue
            yield self._of(passage, str(value["request"]).strip(), value["call"], request.schema)

    @staticmethod
    def _of(passage: Passage, asked: str, call: dict[str, Any], schema: Any) -> Example | Dropped:
        output = json.dumps(call, ensure_ascii=False, separators=(",", ":"))
        row = {"input": asked, "output": output}
        for place, value in copied(call, schema["properties"]["call"], schema):
            for what, text in (("request", asked), ("passage", f"{passage.title}\n{passage.text}")):
                if not stands(value, text):
                    message = f"{place} is {json.dumps(value)[:80]}, which the {what} does not say"
                    return Dropped("ungrounded", passage.where, message, row)
        if is_looping(asked):
            return Dropped("looping", passage.where, "the request says a word over and over", row)
        if not is_related(asked, passage.text, passage):
            return Dropped("unrelated", passage.where, "the request's words are not the passage's", row)
        return example(passage, asked, output)


writer = Call()
