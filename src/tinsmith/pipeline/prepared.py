"""The results of the data stage for later stages: the base, and the run's own copies of the examples."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tinsmith import models, tasks
from tinsmith.chat.chat_template import settle, writes_date
from tinsmith.data import readers
from tinsmith.data.preferences import Preference, read_pairs, read_ratings
from tinsmith.data.readers import Example
from tinsmith.data.row_tools import has_rows, tools_of_rows
from tinsmith.errors import DataError, InputError, TinsmithError
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.spec import Spec
from tinsmith.system import reading
from tinsmith.tasks import Message, Task
from tinsmith.train.methods import kto

# The run's own copies, by their names in its folder.
LICENSES = "data/LICENSES.txt"
ANSWER = "data/answer.bin"  # the constraint, compiled
DRAFT = "data/draft.bin"  # the draft table
AUGMENTED = "data/augmented.jsonl"
COPIES = {  # of the files beside the examples, by the recipe's key
    "text": "data/text.txt",
    "preferences": "data/preferences.jsonl",
}


def split_name(split: str) -> str:
    return f"data/{split}.jsonl"


@dataclass(frozen=True)
class Base:
    """What training starts from. name: as the recipe has it, None for a new model; template: the digest of its
    chat template with all that the recipe fixes; parameters: of a new model."""

    name: str | None
    path: str
    sha256: str
    bytes: int
    family: str
    license: str | None
    template: str
    parameters: int | None = None


@dataclass(frozen=True)
class New:
    """Counts of new examples, the last of each split; replaced: old training examples that gave way, since a
    new one has their input."""

    train: int
    validation: int
    test: int
    replaced: int


@dataclass(frozen=True)
class Augmentation:
    """rows: examples made; variants: of each example, at most; slots: values found that can be substituted, by
    argument; sources: values filled in, by where they are from; shared: of each split, how many inputs were
    made too; images: changes of images, by kind."""

    rows: int
    variants: int
    slots: dict[str, int]
    sources: dict[str, int]
    shared: dict[str, int]
    images: dict[str, int]


@dataclass(frozen=True)
class Divided:
    """Splits that were made. made: their names, and the training split's; kept: examples whose split an earlier
    run in this folder had chosen; groups: of examples that stay together; near: of the examples, those in a
    group with others."""

    made: list[str]
    kept: int
    groups: int
    near: int


@dataclass(frozen=True)
class Data:
    """constraint: what a tin's manifest says of it; counts: of examples by split; the other numbers are of test
    examples whose output the constraint forbids, or whose input is a training input too; new: how many of the
    examples an adapter is to learn on top of the others; divided: of splits that were made."""

    base: Base
    constraint: dict[str, Any] | None
    test_outputs_forbidden: int
    counts: dict[str, int]
    test_inputs_in_train: int
    augmentation: Augmentation | None = None
    new: New | None = None
    divided: Divided | None = None


@dataclass(frozen=True, kw_only=True)
class Prepared(Data):
    """files, digests: of the run's own copies, by name."""

    recipe: Recipe
    files: Mapping[str, Path]
    digests: Mapping[str, str]

    @property
    def is_augmented(self) -> bool:
        return self.augmentation is not None

    @property
    def task(self) -> Task:
        return tasks.by_name(self.recipe.data.task)

    @property
    def model_data(self) -> dict[str, str]:
        """SHA-256 of the data that decides the model, by name: all but the test set."""
        splits = {split: split_name(split) for split in ("train", "validation")}
        more = {**splits, **COPIES, "augmented": AUGMENTED}
        return {name: self.digests[path] for name, path in more.items() if path in self.digests}

    def split_digest(self, split: str) -> str:
        return self.digests[split_name(split)]

    def examples(self, split: str) -> list[Example]:
        """The examples of a split; empty where the recipe has none."""
        if split == "train" and self.recipe.data.train is None:
            return []
        return readers.read_jsonl(self.files[split_name(split)])

    def augmented(self) -> list[list[Example]]:
        """The augmented examples by variant; empty where there are none."""
        if AUGMENTED not in self.files:
            return []
        rows = readers.read_jsonl(self.files[AUGMENTED])
        count = 1 + max((row.about["variant"] for row in rows), default=-1)
        return [[row for row in rows if row.about["variant"] == n] for n in range(count)]

    def labels(self) -> frozenset[str]:
        """Those of the training examples, or where there are none the validation examples; empty for a task
        without labels."""
        known = self.examples("train") or self.examples("validation")
        return self.task.labels(example.output for example in known)

    def conversation(self, example: Example) -> list[Message]:
        """The messages that ask for an example's answer, in training and ever after."""
        return self.task.messages(example, self.recipe.data.system)

    def preferences(self) -> Sequence[Preference]:
        stated = self.recipe.data.preferences
        return read_preferences(self.recipe, self.files[COPIES["preferences"]]) if stated else ()

    def texts(self) -> list[str]:
        """The plain texts, which empty lines separate."""
        return read_texts(self.files[COPIES["text"]]) if self.recipe.data.text else []

    def constraint_bytes(self) -> bytes:
        return self.files[ANSWER].read_bytes()


class Model(NamedTuple):
    """A model's file or folder, and the SHA-256 of its files together."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Learned:
    """One task's adapter. digests: of the files in its folder."""

    data: Prepared
    adapter: Path
    digests: Mapping[str, str]


def read_preferences(recipe: Recipe, path: Path) -> Sequence[Preference]:
    """Pairs, or ratings for the method that learns from these."""
    return read_ratings(path) if recipe.train.method == kto.method.name else read_pairs(path)


def read_texts(path: Path) -> list[str]:
    whole = reading.read_text(path, DataError).replace("\r\n", "\n")
    return [text for text in re.split(r"\n(?:[ \t]*\n)+", whole) if text.strip()]


def load_base(recipe: Recipe, base: str | Path, *, mtp: bool = False) -> Spec:
    """The base with the chat template for training and shipping."""
    spec = models.load(base, mtp=mtp)
    assert spec.chat_template  # the data stage refuses a base without one
    return dataclasses.replace(spec, chat_template=settled(recipe, spec.chat_template))


def settled(recipe: Recipe, template: str) -> str:
    """The base's chat template with the values that the recipe fixes, for training and shipping."""
    data = recipe.data
    tools = read_tools(recipe) if data.show_tools else None
    try:
        fixed = settle(
            template,
            system=data.system,
            date=data.date or None,
            thinking=data.thinking,
            tools=tools,
            quotes_input=recipe.quotes_input,
        )
    except TinsmithError as error:
        raise InputError(f"{recipe.path}: [data]: {error}") from error
    if writes_date(fixed):
        raise InputError(
            f"{recipe.path}: [data] date: the base's chat template writes today's date; state the one that the "
            'model is trained and asked under, such as date = "2026-11-25"'
        )
    return fixed


def read_tools(recipe: Recipe) -> list[dict[str, Any]] | None:
    """The tools of [data] tools, in OpenAI's shape; None where the recipe has none."""
    if not recipe.data.tools:
        return None
    path, advice = recipe.resolve(recipe.data.tools), "it is a list of tools in OpenAI's shape"
    if has_rows(path):
        return tools_of_rows(path)
    tools = reading.read_json(path, DataError, unique=True, advice=advice)
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise DataError(f"{path}: holds {reading.kind(tools)}; {advice}")
    return tools
