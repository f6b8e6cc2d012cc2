"""call: a request that a reader of the passage might make, and the function call for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from tinsmith.chat.tool_formats import read_tools
from tinsmith.data.readers import Example
from tinsmith.prepare.documents.dropping import Dropped
from tinsmith.prepare.documents.grounding import copied, is_looping, is_related, occurs
from tinsmith.prepare.documents.passages import Passage
from tinsmith.prepare.documents.writing import Request, Terms, Writer, closed, compact, example
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
        "request and passage have every text and number of a call's arguments, except those of a closed list, "
        "and the request's words are the passage's"
    )

    def requests(self, passage: Passage, terms: Terms) -> list[Request]:
        assert terms.tools is not None
        requests = []
        for tool in read_tools(terms.tools)[: terms.questions]:
            call = closed({"name": {"const": tool.name}, "arguments": tool.parameters or closed({})})
            schema = closed({"request": _REQUEST, "call": call})
            if "$defs" in tool.parameters:
                schema["$defs"] = tool.parameters["$defs"]  # for its references
            requests.append(Request(_prompt(shown(passage), tool.declared), schema, _TOKENS, _SHOTS))
        return requests

    def example(self, passage: Passage, terms: Terms, number: int, value: Any) -> Example | Dropped:
        schema = self.requests(passage, terms)[number].schema
        text, call = str(value["request"]).strip(), value["call"]
        output = compact(call)
        row = {"input": text, "output": output}
        for place, one in copied(call, schema["properties"]["call"], schema):
            for where, source in (("request", text), ("passage", f"{passage.title}\n{passage.text}")):
                if not occurs(one, source):
                    message = f"{place} is {json.dumps(one)[:80]}, which the {where} does not say"
                    return Dropped("ungrounded", passage.where, message, row)
        if is_looping(text):
            return Dropped("looping", passage.where, "the request repeats a word over and over", row)
        if not is_related(text, passage.text, passage):
            return Dropped("unrelated", passage.where, "the passage lacks most words of the request", row)
        return example(passage, text, output)


WRITERS = (Call(),)
