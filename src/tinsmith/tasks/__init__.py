"""Tasks: what kind of answer is wanted, how it is asked for, and what it is worth.

A task is one module of this folder with an instance of a Task subclass named `task`. Adding a module adds the
task: recipes, prompts, training, grading and reports ask it; no table lists them.
"""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypedDict

from tinsmith.errors import UnsupportedError
from tinsmith.tasks._json import json_equal

if TYPE_CHECKING:
    from tinsmith.data.leaves import Leaf
    from tinsmith.data.readers import Example

DEFAULT = "call"  # of a recipe that states no task


class Message(TypedDict):
    """content: a text, or where images are shown parts: of each image {"type": "image"} with its "path"
    or "bytes", and then {"type": "text", "text": …} where there is a text."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]]


@dataclass(frozen=True)
class Grade:
    """One answer against its example. function: whether its label is the right one, None where the task has no
    labels; label: the answer's own."""

    valid: bool
    function: bool | None
    exact: bool
    equivalent: bool
    label: str | None


class Answered(Protocol):
    """A system's answer, as measures see it. options: the probability of each label as the answer, from 0 to 1;
    expected_log_probability: of the expected answer with the end behind it, in nats, expected_tokens: how many
    that is. Each is None where a system can't say, or was not asked."""

    @property
    def text(self) -> str: ...
    @property
    def options(self) -> Mapping[str, float] | None: ...
    @property
    def expected_log_probability(self) -> float | None: ...
    @property
    def expected_tokens(self) -> int | None: ...


@dataclass(frozen=True)
class Figure:
    """What a report says of one of a task's measures. key: of `Task.measures`; title: of its column; meaning:
    in words, after the title; is_share: whether it is a fraction, shown in per cent."""

    key: str
    title: str
    meaning: str
    is_share: bool = True


@dataclass(frozen=True)
class Words:
    """What a report calls things. answers: the test set's answers; exact, valid: what an answer is that is
    exact, or valid; label: what the labels are, and labels more of them; wrong: an answer whose label is right
    and the rest is not; figures: the task's own measures; row: what its measures' rows are of."""

    answers: str
    exact: str
    valid: str
    label: str = "label"
    labels: str = "labels"
    wrong: str = "wrong"
    figures: tuple[Figure, ...] = ()
    row: str = ""


class Task(ABC):
    """A kind of answer. form: what an output is, in words; constraint: what a recipe's [constraint] can say of
    the task without a further file; source: the key of [constraint] that is of such outputs alone; has_values:
    whether outputs hold values that another input like the example's would have otherwise; spells: whether
    prompts say an input's words once more as an answer quotes them, where a recipe does not say; has_lists:
    whether an output may be a list of texts; is_free: whether it is a text, of which many are right; weighs:
    what its measures take of a system beside the answer."""

    name: ClassVar[str]
    words: ClassVar[Words]
    form: ClassVar[str] = "a text"
    source: ClassVar[str | None] = None
    has_lists: ClassVar[bool] = False
    is_free: ClassVar[bool] = False
    weighs: ClassVar[Literal["options", "expected"] | None] = None
    constraint: ClassVar[Mapping[str, str]] = {}
    has_values: ClassVar[bool] = False
    spells: ClassVar[bool] = False

    @abstractmethod
    def parse(self, text: str) -> Any:
        """The value that answers are compared by; None for a text that is no answer of this kind."""

    def is_valid(self, value: Any, labels: frozenset[str]) -> bool:
        """labels: those of the training examples."""
        return value is not None

    def likely(self, outputs: Sequence[str]) -> float:
        """How likely it is that these are outputs of this task, from 0 to 1; less where they might be of a task
        whose outputs are a part of this one's."""
        return 0.0

    def label(self, output: str) -> str | None:
        """What answers are grouped and confused by; None for an invalid output, or a task without labels."""
        return None

    def labels(self, outputs: Iterable[str]) -> frozenset[str]:
        return frozenset(label for label in map(self.label, outputs) if label is not None)

    def values(self, output: str, *, literals: bool = False) -> list[Leaf]:
        """The values of a valid output. A path says which argument a value is of: one of the same path could
        stand in its place, and one whose path ends with the same key is of the same kind. literals: true,
        false and null too."""
        return []

    def instruction(self, train: Sequence[Example], tools: Sequence[Mapping[str, Any]] | None) -> str:
        """What tells a model that was not trained how to answer; empty for none. tools: descriptions of the
        functions, as JSON values."""
        return ""

    def messages(self, example: Example, system: str = "") -> list[Message]:
        """The conversation up to the answer. system: the recipe's system prompt; empty for none. An example's
        own stands in its place."""
        turns: list[Message] = [{"role": turn.role, "content": turn.content} for turn in example.turns]
        own = turns[:1] if turns and turns[0]["role"] == "system" else []
        asked: list[Message] = [*turns[len(own) :], {"role": example.role, "content": _content(example)}]
        given: list[Message] = [{"role": "system", "content": system}] if system else []
        return [*(own or given), *asked]

    def grade(self, answer: str, output: str, accept: Sequence[str], labels: frozenset[str]) -> Grade:
        """output: the right answer; accept: more right answers, which count as equivalent; labels: as for
        is_valid. White space around an answer does not count."""
        value = self.parse(answer)
        exact = value is not None and json_equal(value, self.parse(output))
        equivalent = exact or (
            value is not None and any(json_equal(value, self.parse(other)) for other in accept)
        )
        given, wanted = self.label(answer), self.label(output)
        right = None if wanted is None else given == wanted
        return Grade(self.is_valid(value, labels), right, exact, equivalent, given)

    def has_several(self, outputs: Iterable[str]) -> bool:
        """Whether one of these outputs is a list: of labels, of calls."""
        return False

    def list_schema(self, outputs: Iterable[str]) -> dict[str, Any] | None:
        """The JSON schema of outputs that are lists of labels; None where these are none."""
        return None

    def options(self, outputs: Iterable[str]) -> list[str]:
        """The texts that a system weighs for `Answered.options`; none where an answer is not one of a few."""
        return []

    def measures(
        self,
        answers: Sequence[Answered],
        examples: Sequence[Example],
        labels: frozenset[str] = frozenset(),
        schema: Any = None,
    ) -> dict[str, Any]:
        """What a system's answers are worth by the task's own measures: a number or None for each of
        `words.figures`; "rows": further numbers by what `words.row` names; and what else has a name, as JSON.

        examples: those that were answered, in order; labels: as for is_valid; schema: of the answers, as a JSON
        value; None where none is stated.
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
    """Every task there is, by name."""
    modules = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    candidates = (getattr(module, "task", None) for module in modules)
    return tuple(sorted((one for one in candidates if isinstance(one, Task)), key=lambda task: task.name))


def names() -> tuple[str, ...]:
    return tuple(task.name for task in tasks())


def by_name(name: str) -> Task:
    """Raises UnsupportedError for an unknown one, listing those there are."""
    for task in tasks():
        if task.name == name:
            return task
    raise UnsupportedError(f'task "{name}" does not exist; the tasks are {", ".join(names())}')
