"""The checked rows, with their splits, task, constraint and the base's tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tinsmith import _core, models, tasks
from tinsmith.compiler import build_words
from tinsmith.data.readers import Example
from tinsmith.data.shapes import Named, open_examples
from tinsmith.errors import DataError, InputError
from tinsmith.prepare.check._texts import fold
from tinsmith.prepare.check.rules import Rules
from tinsmith.runtime.model import Model
from tinsmith.tasks import Task

Files = Sequence[tuple[str, Path]]  # splits and paths
_SHORTEST = 3  # characters of a special token; texts may have shorter ones by accident


@dataclass(frozen=True)
class Row:
    """path: of its file or folder."""

    split: str
    path: Path
    example: Example

    @property
    def where(self) -> str:
        return str(self.example.where or self.path)


@dataclass(frozen=True)
class Fault:
    """A row that is not an example. empty: without an input or an output."""

    split: str
    path: Path
    where: str
    message: str
    empty: bool = False


@dataclass(frozen=True)
class Base:
    """A base's tokens, without its weights. special: the texts of the vocabulary's control tokens. system: the
    system message of every example."""

    model: Model
    special: tuple[str, ...]
    system: str = ""

    @classmethod
    def read(cls, path: Path, system: str = "", template: str | None = None) -> Base:
        """template: the chat template with a recipe's settings; None for the base's own."""
        spec = models.load(path)
        facts = {"name": path.name, "family": spec.family, "parameters": spec.parameters, "tensors": {}}
        image = build_words(spec.tokenizer, template or spec.chat_template, spec.hyper.context, facts)
        vocabulary = zip(spec.tokenizer.tokens, spec.tokenizer.types, strict=True)
        special = {token for token, kind in vocabulary if kind == "control" and len(token) >= _SHORTEST}
        return cls(Model(_core.Model(image), image, 1), tuple(sorted(special)), system)

    def tokens(self, example: Example, task: Task) -> int:
        """The number of tokens of prompt and answer, with the end token and without those of images."""
        example = replace(example, images=())
        if self.model.can_chat:
            prompt = len(self.model.render(task.messages(example, self.system)))
        else:
            prompt = len(self.model.tokenize(example.input, bos=True))
        return prompt + len(self.model.tokenize(example.output)) + 1


@dataclass(eq=False)  # hashable, for caches of results that several checks share
class Data:
    """rules: the constraint of answers. base: the model to train. length: most tokens of a row. refused:
    faults of the recipe and of files that can't be read, in messages that begin with the place."""

    rows: list[Row]
    faults: list[Fault]
    task: Task
    rules: Rules | None = None
    base: Base | None = None
    length: int = 512
    refused: Sequence[InputError] = ()

    @property
    def places(self) -> Sequence[Row | Fault]:
        return [*self.rows, *self.faults]

    @cached_property
    def values(self) -> list[Any]:
        """The outputs as the task parses them; None for invalid ones."""
        return [self.task.parse(row.example.output) for row in self.rows]

    @cached_property
    def labels(self) -> list[str | None]:
        return [self.task.label(row.example.output) for row in self.rows]

    @cached_property
    def folded(self) -> list[str]:
        """The inputs without case, spacing and punctuation."""
        return [fold(row.example.prompt) for row in self.rows]


def read(files: Files, task: Task | None = None, named: Named | None = None) -> tuple[list[Row], list[Fault]]:
    """The rows and faults of files. Raises DataError for a file that can't be read."""
    rows: list[Row] = []
    faults: list[Fault] = []
    for split, path in files:
        for example in open_examples(path, named=named, task=task, split=split).each():
            if isinstance(example, DataError):
                faults.append(_fault(split, path, str(example)))
            else:
                rows.append(Row(split, path, example))
    return rows, faults


def _fault(split: str, path: Path, error: str) -> Fault:
    """error: a message that begins with the place."""
    place = re.match(rf"{re.escape(str(path))}[^:]*(?::\d+|: row \d+)?", error)
    where = place[0] if place else str(path)
    message = error.removeprefix(where).removeprefix(": ")
    return Fault(split, path, where, message, re.match(r'"\w+" is (?:empty|missing)', message) is not None)


def likely_task(rows: Sequence[Row]) -> Task:
    """The task that the outputs look like."""
    outputs = [row.example.output for row in rows]
    return max(tasks.tasks(), key=lambda task: task.likely(outputs))


def answer(data: Data, row: int) -> str:
    """An output in a normal form."""
    value = data.values[row]
    return data.rows[row].example.output if value is None else json.dumps(value, sort_keys=True)
