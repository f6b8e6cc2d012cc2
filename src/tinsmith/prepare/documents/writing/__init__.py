"""Examples of passages: what a teacher is asked, and what of its answers can be kept.

A task is one module of this folder with an instance of a Writer subclass named `writer`. Adding a module adds
the task: no table lists them.
"""

from __future__ import annotations

import json
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from typing import Any, ClassVar

from tinsmith.constraint import makers
from tinsmith.data.readers import Example
from tinsmith.errors import DataError, InputError, UnsupportedError
from tinsmith.prepare.check.rules import Rules
from tinsmith.prepare.documents.dropping import Dropped
from tinsmith.prepare.documents.passages import Passage
from tinsmith.system import reading

QUESTIONS = 4  # of a passage, at most


@dataclass(frozen=True)
class Terms:
    """What examples are to be of. questions: of a passage, at most. schema, tools, labels: as the task needs
    them. off_topic: the answer to inputs about anything else; empty for no such examples."""

    questions: int = QUESTIONS
    schema: Any = None
    tools: Sequence[Mapping[str, Any]] | None = None
    labels: Sequence[str] = ()
    off_topic: str = ""


@dataclass(frozen=True)
class Request:
    """prompt: a user's message. schema: of the JSON that answers it. max_tokens: of the answer. shots: prompts
    with their answers, which show a weak teacher the form."""

    prompt: str
    schema: Any
    max_tokens: int
    shots: tuple[tuple[str, str], ...] = ()

    @property
    def messages(self) -> list[dict[str, str]]:
        shown = [message for shot in self.shots for message in zip(("user", "assistant"), shot, strict=True)]
        return [{"role": role, "content": text} for role, text in (*shown, ("user", self.prompt))]


class Writer(ABC):
    """needs: the term that a user must give, for a task that has one. grounding: how what is written is held to
    the passage, in words."""

    needs: ClassVar[str | None] = None
    grounding: ClassVar[str]

    @property
    def name(self) -> str:
        """The task's, as the module has it."""
        return type(self).__module__.rpartition(".")[2]

    def check(self, terms: Terms) -> None:
        """Raises InputError where a term is missing or wrong."""
        for term in ("schema", "tools", "labels"):
            given = getattr(terms, term)
            if term == self.needs and not given and given is not False:
                raise InputError(f'task "{self.name}" needs --{term}')
            if term != self.needs and given:
                raise InputError(f'--{term} is not for the task "{self.name}"; leave it out')

    @abstractmethod
    def requests(self, passage: Passage, terms: Terms) -> list[Request]:
        """None where there is nothing to ask about."""

    @abstractmethod
    def written(
        self, passage: Passage, terms: Terms, requests: Sequence[Request], answers: Sequence[str]
    ) -> Iterator[Example | Dropped]:
        """What the answers to the requests give."""


@cache
def writers() -> dict[str, Writer]:
    """By task."""
    modules = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    every = [one for module in modules if isinstance(one := getattr(module, "writer", None), Writer)]
    return {one.name: one for one in every}


def by_name(name: str) -> Writer:
    """Raises UnsupportedError for an unknown one, listing those there are."""
    if name not in writers():
        known = ", ".join(sorted(writers()))
        raise UnsupportedError(f'task "{name}" is not written of documents; give one of {known}')
    return writers()[name]


def read(request: Request, answer: str) -> Any:
    """The value of an answer. Raises DataError, of one line, where it is not what the schema says."""
    value = reading.json(answer, "the teacher's answer", DataError)
    rules = _rules(json.dumps(request.schema))
    if departure := rules.departure(rules.written(value)):
        raise DataError(f"the teacher's answer is not of the schema {departure.message}")
    return value


@lru_cache(64)
def _rules(schema: str) -> Rules:
    value = json.loads(schema)
    return Rules(makers.schema(value).data, schema=value)


def closed(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an object of just these."""
    kind = {"type": "object", "additionalProperties": False}
    return {**kind, "properties": dict(properties), "required": list(properties)}


def example(passage: Passage, input: str, output: str) -> Example:
    shown = None if input == passage.text else passage.text
    return Example(input, output, about={"source": passage.where}, group=passage.document, passage=shown)


def invalid(passage: Passage, fault: DataError, answer: str) -> Dropped:
    return Dropped("invalid", passage.where, str(fault), {"answer": answer})
