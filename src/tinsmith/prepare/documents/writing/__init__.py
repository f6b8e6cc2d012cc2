"""Examples from passages: the requests to a teacher, and the examples in its answers.

Each module of this package lists its tasks' writers in WRITERS."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, ClassVar

from tinsmith.constraint import Constraint, makers
from tinsmith.data.readers import Example
from tinsmith.errors import DataError, InputError, UnsupportedError
from tinsmith.prepare.check.rules import Rules
from tinsmith.prepare.documents.dropping import Dropped
from tinsmith.prepare.documents.passages import Passage
from tinsmith.system import reading
from tinsmith.system.plugins import exported

QUESTIONS = 4  # about a passage, at most


@dataclass(frozen=True)
class Terms:
    """questions: about a passage, at most. schema, tools, labels: of the task. off_topic: the answer to other
    inputs; empty for no such examples."""

    questions: int = QUESTIONS
    schema: Any = None
    tools: Sequence[Mapping[str, Any]] | None = None
    labels: Sequence[str] = ()
    off_topic: str = ""


@dataclass(frozen=True)
class Request:
    """prompt: the user's message. schema: of the answer's JSON. max_tokens: of the answer. shots: prompts and
    answers that show the form."""

    prompt: str
    schema: Any
    max_tokens: int
    shots: tuple[tuple[str, str], ...] = ()

    @property
    def messages(self) -> list[dict[str, str]]:
        shots = [message for shot in self.shots for message in zip(("user", "assistant"), shot, strict=True)]
        return [{"role": role, "content": text} for role, text in (*shots, ("user", self.prompt))]


class Writer(ABC):
    """needs: the term that the task requires, if any. asks: what the teacher is to do, before a request's
    subject. shots: texts, subjects and answers that show it. tokens: of an answer."""

    needs: ClassVar[str | None] = None
    asks: ClassVar[str]
    tokens: ClassVar[int]
    shots: ClassVar[tuple[tuple[str, str, str], ...]]

    @property
    def name(self) -> str:
        """The task's."""
        return type(self).__name__.lower()

    def check(self, terms: Terms) -> None:
        """Raises InputError for a missing or a superfluous term."""
        for term in ("schema", "tools", "labels"):
            given = getattr(terms, term)
            if term == self.needs and not given and given is not False:
                raise InputError(f'task "{self.name}" needs --{term}')
            if term != self.needs and given:
                raise InputError(f'--{term} is not for the task "{self.name}"; leave it out')

    @abstractmethod
    def requests(self, passage: Passage, terms: Terms) -> list[Request]:
        """Empty if there is nothing to ask about."""

    def request(self, text: str, subject: str, schema: Any) -> Request:
        shots = tuple((self._prompt(*shot), answer) for *shot, answer in self.shots)
        return Request(self._prompt(text, subject), schema, self.tokens, shots)

    def _prompt(self, text: str, subject: str) -> str:
        return f"{text}\n\n{self.asks}: {subject}"

    def written(
        self, passage: Passage, terms: Terms, requests: Sequence[Request], answers: Sequence[str]
    ) -> Iterator[Example | Dropped]:
        """The examples in the answers, or why they are dropped."""
        for number, (request, answer) in enumerate(zip(requests, answers, strict=True)):
            try:
                value = read(request, answer)
            except DataError as fault:
                yield Dropped("invalid", passage.where, str(fault), {"answer": answer})
            else:
                yield self.example(passage, terms, number, value)

    def example(self, passage: Passage, terms: Terms, number: int, value: Any) -> Example | Dropped:
        """The example in the value of one answer. number: of its request."""
        raise NotImplementedError


@cache
def writers() -> dict[str, Writer]:
    """By task."""
    return {one.name: one for one in exported(__name__, "WRITERS")}


def by_name(name: str) -> Writer:
    """Raises UnsupportedError for an unknown task, listing the known ones."""
    if name not in writers():
        known = ", ".join(sorted(writers()))
        raise UnsupportedError(f'documents give no examples of the task "{name}"; choose one of {known}')
    return writers()[name]


def read(request: Request, answer: str) -> Any:
    """The value of an answer. Raises DataError for one that does not match the schema."""
    value = reading.json(answer, "the teacher's answer", DataError)
    rules = Rules(constraint(json.dumps(request.schema)).data, schema=request.schema)
    if departure := rules.departure(rules.written(value)):
        raise DataError(f"the teacher's answer is not of the schema {departure}")
    return value


@lru_cache(64)
def constraint(schema: str) -> Constraint:
    """schema: as JSON."""
    return makers.schema(json.loads(schema))


def closed(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an object with exactly these properties."""
    kind = {"type": "object", "additionalProperties": False}
    return {**kind, "properties": dict(properties), "required": list(properties)}


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def example(passage: Passage, input: str, output: str) -> Example:
    shown = None if input == passage.text else passage.text
    return Example(input, output, about={"source": passage.where}, group=passage.document, passage=shown)
