"""chat: questions, each answered by a sentence of the passage; call: requests of its readers, each with a call.

The answer of a chat is chosen first, and the teacher writes its question (as Alberti et al., arXiv 1906.05416,
do with spans), so that even a weak teacher invents no answer."""

from __future__ import annotations

import json
from typing import Any

from tinsmith.chat.tool_formats import read_tools
from tinsmith.data.readers import Example
from tinsmith.prepare.documents.dropping import Dropped
from tinsmith.prepare.documents.grounding import content, copied, gives_away, is_looping, is_related, occurs
from tinsmith.prepare.documents.passages import Passage, sentences
from tinsmith.prepare.documents.writing import Request, Terms, Writer, as_json, closed, compact, example

_SHORTEST, _LONGEST = 30, 300  # characters of an answer
_SAYS = 3  # least content words of an answer
_LETTERS = 0.7  # least share of letters and spaces in an answer
# First words of sentences that refer to another one.
_POINTS_BACK = frozenset(("it", "this", "that", "these", "those", "they", "he", "she", "such", "then", "also"))
_QUESTION = {"type": "string", "pattern": r"^[^a-z\s\"?][^\n\r\"?]{10,150}\?$"}
_REQUEST = {"type": "string", "pattern": r"^[^a-z\s\"][^\n\r\"]{10,160}$"}


class Chat(Writer):
    asks = "Write the question about this text that has this answer"
    tokens = 64
    shots = (
        (
            "Text about harbour lamps: Oil\n\nThe Adler lamp burns for nine hours on one filling. It was built "
            "in Bremen until 1911, and takes rapeseed oil alone.",
            "The Adler lamp burns for nine hours on one filling.",
            '{"question":"How long does the Adler lamp burn on one filling?"}',
        ),
        (
            "Text about mkindex: Options\n\nWith -q the program prints nothing. Without a file it reads what "
            "is piped to it.",
            "Without a file it reads what is piped to it.",
            '{"question":"What does mkindex read when no file is given?"}',
        ),
    )

    def requests(self, passage: Passage, terms: Terms) -> list[Request]:
        schema = closed({"question": _QUESTION})
        return [self.request(_shown(passage), answer, schema) for answer in self.answers(passage, terms)]

    @staticmethod
    def answers(passage: Passage, terms: Terms) -> list[str]:
        """The most informative sentences, in the order of the passage."""
        every = list(dict.fromkeys(filter(_says_something, sentences(passage.text))))
        best = sorted(every, key=lambda one: (_points_back(one), -len(content(one))))[: terms.questions]
        return [one for one in every if one in best]

    def example(self, passage: Passage, terms: Terms, number: int, value: Any) -> Example | Dropped:
        question, answer = str(value["question"]).strip(), self.answers(passage, terms)[number]
        reason = ""
        if not occurs(answer, passage.text):
            reason, message = "ungrounded", "the passage does not contain the answer"
        elif not is_related(question, answer, passage):
            reason, message = "unrelated", "the passage lacks most words of the question"
        elif is_looping(question):
            reason, message = "looping", "the question repeats a word over and over"
        elif gives_away(question, answer):
            reason, message = "given away", "the question contains its answer"
        if reason:
            return Dropped(reason, passage.where, message, {"input": question, "output": answer})
        return example(passage, _with_subject(passage, question), answer)


class Call(Writer):
    needs = "tools"
    asks = "Write what a reader of this text might want of this function, and the call"
    tokens = 192
    shots = (
        (
            "Text about tides\n\nAt Emden high water is at 6:40 on Friday, and the lock stays shut until noon.",
            '{"name": "set_alarm", "description": "sets an alarm", '
            '"parameters": {"place": "string", "time": "string"}}',
            '{"request":"Wake me for high water at Emden at 6:40",'
            '"call":{"name":"set_alarm","arguments":{"place":"Emden","time":"6:40"}}}',
        ),
    )

    def requests(self, passage: Passage, terms: Terms) -> list[Request]:
        assert terms.tools is not None
        requests = []
        for tool in read_tools(terms.tools)[: terms.questions]:
            call = closed({"name": {"const": tool.name}, "arguments": tool.parameters or closed({})})
            schema = closed({"request": _REQUEST, "call": call})
            if "$defs" in tool.parameters:
                schema["$defs"] = tool.parameters["$defs"]  # for its references
            requests.append(self.request(_shown(passage), as_json(tool.declared), schema))
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


WRITERS = (Chat(), Call())


def _shown(passage: Passage) -> str:
    return f"Text about {passage.title}\n\n{passage.text}"


def _with_subject(passage: Passage, question: str) -> str:
    """With the document's name before a question that lacks it, since users ask without the passage."""
    return question if content(question) & content(passage.subject) else f"{passage.subject}: {question}"


def _says_something(sentence: str) -> bool:
    letters = sum(one.isalpha() or one == " " for one in sentence)
    return (
        _SHORTEST <= len(sentence) <= _LONGEST
        and sentence[-1] in ".!"
        and not sentence[0].islower()
        and letters >= _LETTERS * len(sentence)
        and len(content(sentence)) >= _SAYS
    )


def _points_back(sentence: str) -> bool:
    return sentence.split()[0].casefold().rstrip(",") in _POINTS_BACK
