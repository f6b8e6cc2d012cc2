"""Tasks: the kinds of answers, how to ask for them, and how to grade them.

A task is a module of this folder with an instance of a Task subclass named `task`. No table lists tasks."""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, ClassVar, Literal, TypedDict

from tinsmith.data.leaves import Leaf
from tinsmith.data.readers import Example
from tinsmith.errors import UnsupportedError
from tinsmith.tasks._json import json_equal

DEFAULT = "call"  # of a recipe that states no task


class Message(TypedDict):
    """content: a text, or with images parts: {"type": "image"} with "path" or "bytes" for each image, then
    {"type": "text", "text": …} if there is a text."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]]


@dataclass(frozen=True)
class Grade:
    """An answer against its example. function: whether the label is right, None for a task without labels;
    label: of the answer."""

    valid: bool
    function: bool | None
    exact: bool
    equivalent: bool
    label: str | None


@dataclass(frozen=True)
class Figure:
    """A task's measure in a report. key: of `Task.measures`; title: of its column; meaning: in words, after the
    title; is_share: whether it is a fraction, shown in per cent."""

    key: str
    title: str
    meaning: str
    is_share: bool = True


@dataclass(frozen=True)
class Words:
    """A report's words. answers: the test set's answers; exact, valid: definitions; label, labels: the field's
    name for them; wrong: an answer of which only the label is right; figures: the task's own measures; row: the
    subject of a measure's row."""

    answers: str
    exact: str
    valid: str
    label: str = "label"
    labels: str = "labels"
    wrong: str = "wrong"
    figures: tuple[Figure, ...] = ()
    row: str = ""


Labels = frozenset[str]
Pairs = Sequence[tuple[Any, Example]]  # an Answer of tinsmith.evaluate, and its example


class Task(ABC):
    """A kind of answer. form: an output in words; constraint: keys of a recipe's [constraint] that need no
    file; source: the key of [constraint] for this task alone; has_values: whether outputs have values that
    augmentation can substitute; quotes_input: whether prompts use quoted-input repetition by default;
    has_lists: whether an output may be a list of texts; is_free: whether many texts are right; weighs: what
    measures read of a system beside the answer."""

    name: ClassVar[str]
    words: ClassVar[Words]
    form: ClassVar[str] = "a text"
    source: ClassVar[str | None] = None
    has_lists: ClassVar[bool] = False
    is_free: ClassVar[bool] = False
    weighs: ClassVar[Literal["options", "expected"] | None] = None
    constraint: ClassVar[Mapping[str, str]] = {}
    has_values: ClassVar[bool] = False
    quotes_input: ClassVar[bool] = False

    @abstractmethod
    def parse(self, text: str) -> Any:
        """The value by which answers are compared; None for an invalid answer."""

    def each(self, output: str) -> list[Any]:
        """The value in a list, or the several values of a list; empty for an invalid output."""
        value = self.parse(output)
        return value if isinstance(value, list) else [] if value is None else [value]

    def is_valid(self, value: Any, labels: frozenset[str]) -> bool:
        """labels: those of the training examples."""
        return value is not None

    def likely(self, outputs: Sequence[str]) -> float:
        """How likely these are outputs of this task, from 0 to 1; less if a narrower task has them too."""
        return 0.0

    def label(self, output: str) -> str | None:
        """The group of an answer; None for an invalid output, or a task without labels."""
        return None

    def labels(self, outputs: Iterable[str]) -> frozenset[str]:
        return frozenset(label for label in map(self.label, outputs) if label is not None)

    def values(self, output: str, *, literals: bool = False) -> list[Leaf]:
        """The values of a valid output. Values of the same path can replace each other; values whose paths end
        with the same key are of the same kind. literals: true, false and null too."""
        return []

    def instruction(self, train: Sequence[Example], tools: Sequence[Mapping[str, Any]] | None) -> str:
        """The instruction for an untrained model; empty for none. tools: descriptions of functions, as JSON."""
        return ""

    def messages(self, example: Example, system: str = "") -> list[Message]:
        """The conversation up to the answer. system: the recipe's prompt, which an example's own replaces."""
        turns: list[Message] = [{"role": turn.role, "content": turn.content} for turn in example.turns]
        own = turns[:1] if turns and turns[0]["role"] == "system" else []
        asked: list[Message] = [*turns[len(own) :], {"role": example.role, "content": _content(example)}]
        given: list[Message] = [{"role": "system", "content": system}] if system else []
        return [*(own or given), *asked]

    def grade(self, answer: str, output: str, accept: Sequence[str], labels: frozenset[str]) -> Grade:
        """output: the right answer; accept: equivalent ones; labels: as for is_valid. White space around an
        answer does not count."""
        value = self.parse(answer)

        def equals(other: str) -> bool:
            return value is not None and json_equal(value, self.parse(other))

        exact = equals(output)
        given, wanted = self.label(answer), self.label(output)
        right = None if wanted is None else given == wanted
        return Grade(self.is_valid(value, labels), right, exact, exact or any(map(equals, accept)), given)

    def has_several(self, outputs: Iterable[str]) -> bool:
        """Whether one of these outputs is a list of labels or calls."""
        return False

    def list_schema(self, outputs: Iterable[str]) -> dict[str, Any] | None:
        """The JSON schema of outputs that are lists of labels; None for other outputs."""
        return None

    def options(self, outputs: Iterable[str]) -> list[str]:
        """The texts that a system weighs as answers; empty if an answer is not one of a few."""
        return []

    def measures(self, pairs: Pairs, labels: Labels = frozenset(), schema: Any = None) -> dict[str, Any]:
        """The task's own measures of a system: a number or None for each of `words.figures`; "rows": further
        numbers by what `words.row` names; and others by name, as JSON.

        pairs: each answer with its example; labels: as for is_valid; schema: of the answers, as a JSON value.
        """
        return {}


def _content(example: Example) -> str | list[dict[str, Any]]:
    if not example.images:
        return example.input
    shown: list[dict[str, Any]] = [
        {"type": "image", "path": image.path} if image.path else {"type": "image", "bytes": image.data}
        for image in example.images
    ]
    return [*shown, {"type": "text", "text": example.input}] if example.input else shown


@cache
def tasks() -> tuple[Task, ...]:
    """All tasks, sorted by name."""
    modules = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    candidates = (getattr(module, "task", None) for module in modules)
    return tuple(sorted((one for one in candidates if isinstance(one, Task)), key=lambda task: task.name))


def names() -> tuple[str, ...]:
    return tuple(task.name for task in tasks())


def by_name(name: str) -> Task:
    """Raises UnsupportedError for an unknown task."""
    for task in tasks():
        if task.name == name:
            return task
    raise UnsupportedError(f'task "{name}" does not exist; the tasks are {", ".join(names())}')
