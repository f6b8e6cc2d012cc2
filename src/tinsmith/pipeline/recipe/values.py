"""A recipe: a TOML file that states base, data, training, build and evaluation. Paths in it are relative to the
recipe's own folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinsmith import hub, tasks
from tinsmith.errors import InputError
from tinsmith.pipeline.recipe.tables import (
    Base,
    Build,
    Compare,
    Constraint,
    Data,
    Eval,
    Output,
    Router,
    Scratch,
    Train,
    Update,
)
from tinsmith.system import files
from tinsmith.train import methods
from tinsmith.train.options import EPOCHS
from tinsmith.train.rules import default_label_epochs, default_made_epochs, default_originals_once


@dataclass(frozen=True)
class Recipe:
    """path: the recipe file, absolute; sha256: of its bytes; the rest: its tables, `base` or `scratch` of which
    is None, and `update` where an adapter is begun.

    tasks: of a recipe with `[[task]]`, by name, each a recipe on the same base; `data` is then what
    the run makes of them together, and `router` what chooses among them."""

    path: Path
    sha256: str
    base: Base | None
    scratch: Scratch | None
    data: Data
    train: Train
    constraint: Constraint
    build: Build
    eval: Eval
    output: Output
    compare: Compare = field(default_factory=Compare)
    update: Update | None = None
    tasks: Mapping[str, Recipe] = field(default_factory=dict)
    router: Router | None = None

    @property
    def name(self) -> str:
        """What the built files are called: `[output] name`, or the recipe's file name without `.toml`."""
        return self.output.name or self.path.stem

    @property
    def model_digest(self) -> str:
        """SHA-256 of the values that decide the model: every table but [eval], [output] and [compare]."""
        origin = self.base or self.scratch
        tables = (origin, self.data, self.train, self.constraint, self.build, self.update, self.router)
        values: list[Any] = [dataclasses.asdict(table) for table in tables if table]
        if self.router:
            values.append({name: task.model_digest for name, task in self.tasks.items()})
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def passes(self, examples: int, made: bool) -> int:
        """Over so many training examples. made: whether others were made of them."""
        method = methods.by_name(self.train.method)
        if isinstance(self.train.epochs, int):
            return self.train.epochs
        if method.passes:
            return method.passes
        if made:
            return default_made_epochs(examples, self.reads_originals_once(examples, made))
        is_labelled = tasks.by_name(self.data.task).weighs == "options"
        return default_label_epochs(examples) if is_labelled and method.name == methods.DEFAULT else EPOCHS

    def reads_originals_once(self, examples: int, made: bool) -> bool:
        """Whether so many originals are read in the first epoch only. made: there are augmented examples."""
        stated = self.train.originals_once
        return stated if stated is not None else made and default_originals_once(examples)

    @property
    def quotes_input(self) -> bool:
        """Whether prompts repeat the input's words in quotes: as stated, or by the task, where there is a base,
        which has a vocabulary of its own."""
        stated = self.data.quote_input
        if stated is not None:
            return stated
        return self.base is not None and tasks.by_name(self.data.task).quotes_input

    @property
    def base_source(self) -> str:
        """The base as hub.pull takes it: a path from the recipe's folder, whatever folder we run in, or a name.
        Raises InputError where it is neither."""
        assert self.base
        stated = self.base.model
        local = self.resolve(stated)
        if local.exists():
            return str(local)
        if hub.is_known(stated):
            return stated
        where = f"{self.path}: [base] model"
        if local.suffix == ".gguf" or len(Path(stated).parts) > 1:
            raise InputError(f"{where}: {local}: no such file or folder; check the path")
        raise InputError(f"{where}: {hub.unknown(stated)}")

    def paths(self, table: Any, keys: Iterable[str]) -> dict[str, Path]:
        """The paths that a table states under these keys, by key."""
        stated = {key: getattr(table, key) for key in keys}
        return {key: self.resolve(path) for key, path in stated.items() if path}

    def resolve(self, relative: str) -> Path:
        """A path that the recipe states, taken from the recipe's folder."""
        return self.path.parent / files.stated(relative)
