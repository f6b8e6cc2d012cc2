"""A recipe of one task or of several: each `[[task]]` is read as the recipe that it would be alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tinsmith.data.splits import SPLITS
from tinsmith.errors import InputError
from tinsmith.format_names import AUTO
from tinsmith.pipeline.recipe.file import RecipeFile
from tinsmith.pipeline.recipe.tables import NO_QAT, Constraint, Data, Output, Router, Train
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.system import files
from tinsmith.tables import NAME, nearest, show
from tinsmith.train import methods
from tinsmith.train.options import LANGUAGE, PARTS

TASK = "task"
OWN = ("data", "constraint", "train")  # tables of a task, such as [task.data]
SHARED = ("base", "train", "build", "eval", "output", "router")  # [train]: what a task's own leaves out
# The run's own copies of what the tasks have together, as any text for an answer.
TOGETHER = Data(
    train="data/train.jsonl", validation="data/validation.jsonl", test="data/test.jsonl", task="chat"
)


def load(
    path: str | Path, devices: Sequence[str] = (), update: Mapping[str, str | float] | None = None
) -> Recipe:
    """Reads and checks a recipe; RecipeError names the file, line, table and key of the first mistake. devices:
    names or TOML files, in place of `[build] target`; update: keys of `[update]`, likewise."""
    file = RecipeFile(path)
    if devices:
        own = [str(files.resolved(one)) if one.endswith(".toml") else one for one in devices]
        file.given.setdefault("build", {})["target"] = own
    if update and isinstance(file.given.setdefault("update", {}), dict):
        file.given["update"] |= update
    if TASK not in file.given:
        return Recipe(file.path, file.sha256, **file.tables())
    views = _views(file)
    tables = [view.tables() for view in views]
    shared = {name: tables[0][name] for name in ("base", "build", "eval")}
    licensed = any(one["data"].licenses for one in tables)
    dates = [one["data"].date for one in tables if one["data"].date]
    train = file.table("train", Train, file.given.get("train", {}))
    router = file.table("router", Router, file.given.get("router", {}))
    if router.compare and not _learns_together(train):
        what = f'"{train.method}" makes no adapter of all tasks to compare with; '
        what += "say it in [task.train], or [router] compare = false"
        raise file.error("train", "method", what)
    whole = Recipe(
        file.path,
        file.sha256,
        scratch=None,
        data=dataclasses.replace(
            TOGETHER, licenses="data/LICENSES.txt" if licensed else None, date=dates[0] if dates else None
        ),
        train=dataclasses.replace(train, qat=NO_QAT),
        constraint=Constraint(),
        output=file.table("output", Output, file.given.get("output", {})),
        router=router,
        **shared,
    )
    alone = {view.name: _alone(whole, view.name, own) for view, own in zip(views, tables, strict=True)}
    return dataclasses.replace(whole, tasks=alone)


def _learns_together(train: Train) -> bool:
    """Whether the method merges, and learns of what all tasks have: examples, and what [train] names."""
    method = methods.by_name(train.method)
    has = [getattr(train, key) if table == "train" else key == "train" for table, key in method.needs]
    return method.merges and all(has)


def _alone(whole: Recipe, name: str, tables: Mapping[str, Any]) -> Recipe:
    """The recipe of one task. Its adapter stands beside the base as that is built, so no other is trained for
    files of lower precision."""
    train = dataclasses.replace(tables["train"], qat=NO_QAT)
    output = Output(f"{whole.name}-{name}")
    return Recipe(whole.path, whole.sha256, **{**tables, "train": train, "output": output})


def joint(whole: Recipe, folder: Path) -> Recipe:
    """One adapter for all tasks, on the joined data of the run in `folder`, without a constraint."""
    paths: dict[str, Any] = {split: str(folder / getattr(whole.data, split)) for split in SPLITS}
    data = dataclasses.replace(whole.data, licenses=None, **paths)
    return dataclasses.replace(
        whole,
        data=data,
        eval=dataclasses.replace(whole.eval, baselines=(), limit=0, max_error=None),
        output=Output(f"{whole.name}-joint"),
        tasks={},
        router=None,
    )


def _views(file: RecipeFile) -> list[_TaskFile]:
    given = file.given
    entries = given[TASK]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise file.error(TASK, None, f"got {show(entries)}; each task is a table of its own: write [[task]]")
    if "update" in given:
        raise file.error("update", None, "continues one adapter (--from); give the recipe of one task")
    for name in given:
        if name in OWN and name not in SHARED:
            raise file.error(name, None, f"a recipe with [[task]] states it for each task: write [task.{name}]")
    file.check_names(SHARED, {name: value for name, value in given.items() if name != TASK})
    if AUTO in given.get("build", {}).get("formats", ()):
        raise file.error("build", "formats", f'"{AUTO}" is for a recipe of one task; give formats by name')
    views: list[_TaskFile] = []
    for number, entry in enumerate(entries):
        view = _TaskFile(file, number, entry)
        view.check_own([one.name for one in views])
        views.append(view)
    if len(views) < 2:
        raise file.error(TASK, None, "is the only one; give a second one, or write its tables without [[task]]")
    return views


class _TaskFile(RecipeFile):
    """One task's tables and the shared ones, as a file. text: with the other tasks' lines empty, so that an
    error names the right line."""

    def __init__(self, whole: RecipeFile, number: int, entry: dict[str, Any]) -> None:
        self.whole, self.entry, self.path, self.raw = whole, entry, whole.path, whole.raw
        lines = whole.text.splitlines()
        starts = [n for n, line in enumerate(lines) if line.split("#")[0].replace(" ", "") == f"[[{TASK}]]"]
        begin, *later = starts[number:] or [0]
        end = later[0] if later else len(lines)
        # The scan for a key's line knows plain tables alone.
        self.text = "\n" * begin + "\n".join([f"[{TASK}]", *lines[begin + 1 : end]])
        self.given = {name: whole.given[name] for name in ("base", "build", "eval") if name in whole.given}
        self.own = {name: table for name, table in entry.items() if name in OWN}
        self.given |= self.own
        if isinstance(self.own.get("train", {}), dict):
            self.given["train"] = {**whole.given.get("train", {}), **self.own.get("train", {})}

    @property
    def name(self) -> str:
        return str(self.entry["name"])

    def check_own(self, names: Sequence[str]) -> None:
        """What no table of the task says alone. names: of the tasks before it."""
        fail, given, known = partial(super().error, TASK), self.entry.get("name"), ("name", *OWN)
        if "name" not in self.entry:
            raise fail("name", "missing")
        if not NAME.accepts(given):
            raise fail("name", f"got {show(given)}; give {NAME.allowed}")
        if given in names:
            raise fail("name", f"another task is called {show(given)}; give each its own name")
        for key, value in self.entry.items():
            if key not in known:
                raise fail(key, f"no such key{nearest(key, known)}; a task takes {', '.join(known)}")
            if key in OWN and not isinstance(value, dict):
                raise fail(key, f"got {show(value)}; write [task.{key}]")
        train, beside = self.given["train"], "a task's adapter stands beside the base"
        if "qat" in train:
            raise self.error("train", "qat", f"is for merged files; {beside}, leave it out")
        parts = train.get("parts")
        if isinstance(parts, list) and set(parts) & set(PARTS) - {LANGUAGE}:
            raise self.error("train", "parts", f'{beside}, of which it changes "{LANGUAGE}" alone')
        method = train.get("method", methods.DEFAULT)
        if method in methods.names() and not methods.by_name(method).is_beside:
            raise self.error("train", "method", f'"{method}" trains no adapter that can stand beside the base')
        if "train" not in self.given.get("data", {}):
            raise self.error("data", "train", "missing; the router learns from it which prompts are the task's")

    def error(self, table: str | None, key: str | None, what: str) -> InputError:
        if table in OWN and not (table in SHARED and key not in self.own.get(table, {})):
            line = self._line(f"{TASK}.{table}", key) or self._line(f"{TASK}.{table}", None)
            return super().error(f"{TASK}.{table}" if line else TASK, key, what)
        return self.whole.error(table, key, what)
