"""Reads a recipe's file and checks what no single key shows."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

from tinsmith import targets, tasks
from tinsmith.errors import RecipeError, UnsupportedError
from tinsmith.format_names import AUTO
from tinsmith.pipeline.recipe.tables import (
    BASE_KEYS,
    BUDGETS,
    DIVIDING_KEYS,
    EXAMPLE_KEYS,
    LABELS,
    LISTED,
    NO_QAT,
    OPTIONAL,
    QUANTIZED,
    REWARD,
    SCRATCH_METHOD,
    SEARCH,
    SHAPE_KEYS,
    SHARES,
    SOURCES,
    TFIDF,
    Base,
    Build,
    Compare,
    Constraint,
    Data,
    Eval,
    Output,
    Scratch,
    Train,
    Update,
)
from tinsmith.tables import TomlFile
from tinsmith.train import methods
from tinsmith.train.methods import Method
from tinsmith.train.reinforcement import rewards

Mistake = tuple[str, str | None, str]  # a table, a key, and the message
TABLES: dict[str, type[Any]] = {
    "base": Base,
    "scratch": Scratch,
    "data": Data,
    "train": Train,
    "update": Update,
    "constraint": Constraint,
    "build": Build,
    "eval": Eval,
    "output": Output,
    "compare": Compare,
}


class RecipeFile(TomlFile):
    fault = RecipeError
    kind = "recipe"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()

    def elsewhere(self, key: str) -> str:
        found = [
            name for name, cls in TABLES.items() if key in (field.name for field in dataclasses.fields(cls))
        ]
        return f", it is one of {' and '.join(f'[{name}]' for name in found)}" if found else ""

    def tables(self) -> dict[str, Any]:
        given = self.given
        if "router" in given:
            raise self.error("router", None, "is for recipes of several tasks; write each as a [[task]]")
        self.check_names([*TABLES, "task"], given)
        if "base" in given and "scratch" in given:
            raise self.error("scratch", None, "[base] is given too; give one of them")
        needed = {*TABLES.keys() - OPTIONAL, *given, *([] if "scratch" in given else ["base"])}
        tables: dict[str, Any] = {
            name: self.table(name, cls, given.get(name, {})) if name in needed else None
            for name, cls in TABLES.items()
        }
        if tables["scratch"]:
            tables["train"] = replace(tables["train"], method=SCRATCH_METHOD)
            if "baselines" not in self._given("eval"):
                tables["eval"] = replace(tables["eval"], baselines=("nearest",))
        if tables["data"].train is None:
            tables["eval"] = replace(tables["eval"], baselines=())
        if tables["build"].target:
            tables["build"] = self._for_target(tables["build"])
        method = methods.by_name(tables["train"].method)
        mistakes = chain(
            self._of_scratch() if tables["scratch"] else (),
            self._of_method(method),
            self._of_rewards(method),
            self._of_splits(),
            self._of_examples(tables["data"], method),
            self._of_update(method),
            self._of_build(tables["build"], method),
            self._of_task(tables),
            self._of_constraint(tables),
        )
        if mistake := next(mistakes, None):
            raise self.error(*mistake)
        tables["compare"] = self._listed(tables["compare"])
        return tables

    def _given(self, table: str) -> dict[str, Any]:
        found: dict[str, Any] = self.given.get(table, {})
        return found

    def _for_target(self, build: Build) -> Build:
        """With the targets' own formats where the recipe states none."""
        try:
            devices = [targets.find(name, self.path.parent) for name in build.target]
        except UnsupportedError as error:
            raise self.error("build", "target", str(error)) from None
        stated = "formats" in self._given("build")
        return build if stated else replace(build, formats=tuple(targets.formats(devices)))

    def _listed(self, compare: Compare) -> Compare:
        """With its [[compare.endpoint]] and [[compare.answers]] read as tables."""
        read: dict[str, Any] = {
            name: tuple(
                self.table(f"compare.{name} {place}", cls, entry)
                for place, entry in enumerate(getattr(compare, name), 1)
            )
            for name, cls in LISTED.items()
        }
        names = [entry.name for entries in read.values() for entry in entries]
        for name in names:
            if names.count(name) > 1:
                raise self.error("compare", None, f'two systems are called "{name}"; give each its own name')
        return replace(compare, **read)

    def _of_scratch(self) -> Iterator[Mistake]:
        given, data = self._given("scratch"), self._given("data")
        stated = [key for key in SHAPE_KEYS if key in given]
        if stated and "parameters" in given:
            yield "scratch", "parameters", f"follow from {', '.join(stated)}; give one or the other"
        if len(stated) == 1:
            (missing,) = set(SHAPE_KEYS) - set(stated)
            yield "scratch", missing, f"missing; it goes with {stated[0]}"
        if self._given("train").get("method", SCRATCH_METHOD) != SCRATCH_METHOD:
            yield "train", "method", f'[scratch] trains by "{SCRATCH_METHOD}"; leave it out'
        for key in BASE_KEYS:
            if key in data:
                yield "data", key, "is for a base; [scratch] has none; leave it out"
        for name in self._given("eval").get("baselines", []):
            if name != "nearest":
                what = f'"{name}" prompts a base; without one there is "nearest" alone'
                yield "eval", "baselines", what

    def _of_method(self, method: Method) -> Iterator[Mistake]:
        """Keys of another method say that something else was meant."""
        every = [methods.by_name(one) for one in methods.names()]
        for table, own in (("train", "keys"), ("data", "reads")):
            for key in self._given(table):
                readers = [f'"{one.name}"' for one in every if key in getattr(one, own)]
                if readers and key not in getattr(method, own):
                    what = f'is for method {", ".join(readers)}; this one is "{method.name}", leave it out'
                    yield table, key, what
        for table, key in method.needs:
            if key not in self._given(table):
                yield table, key, f'missing; method "{method.name}" learns from it'
        if self._given("base").get("weights") == QUANTIZED and not method.packs:
            yield "base", "weights", f'method "{method.name}" needs floats; leave it out, or train an adapter'

    def _of_rewards(self, method: Method) -> Iterator[Mistake]:
        if "reward" not in method.keys:
            return
        for reward in REWARD.read(self._given("train").get("reward", {})):
            place = rewards.of_function(reward)
            if place and not (self.path.parent / place[0]).is_file():
                yield "train", "reward", f"{place[0]} is no file; give one that has the function {place[1]}"
        for table in ("train", "update"):
            if self._given(table).get("learning_rate") == SEARCH:
                yield table, "learning_rate", f'"{SEARCH}" compares losses, not rewards; state a rate'

    def _of_splits(self) -> Iterator[Mistake]:
        """Splits that are not given are made of the training examples."""
        given = self._given("data")
        missing = [split for split in SHARES if split not in given]
        if missing and "train" not in given:
            yield "data", missing[0], "missing; give it, or train to make it of"
        for key in DIVIDING_KEYS:
            if key in given and not missing:
                yield "data", key, "nothing is divided by it; leave it out"
        stated = given.get("split_shares", {})
        for split in stated:
            if split not in missing:
                yield "data", "split_shares", f"{split} is given as a file; leave its share out"
        shares = [(SHARES | stated)[split] for split in missing]
        if sum(shares) >= 1:
            what = f"{' and '.join(map(str, shares))} of the examples leave none to learn from; give less"
            yield "data", "split_shares", what

    def _of_examples(self, data: Data, method: Method) -> Iterator[Mistake]:
        """What needs training examples or augmented ones, where the recipe has none."""
        given, task = self._given("data"), tasks.by_name(data.task)
        stated = [key for key in EXAMPLE_KEYS if given.get(key)]
        if data.train is None:
            for key in stated:
                yield "data", key, "is about the examples of train; give them, or leave this out"
            if self._given("eval").get("baselines"):
                yield "eval", "baselines", "are made from [data] train; give it, or leave this out"
            if self._given("constraint").get("choices") == LABELS:
                what = f'"{LABELS}" are those of [data] train; give it, or list the choices'
                yield "constraint", "choices", what
            if AUTO in self._given("build").get("formats", ()):
                yield "build", "formats", f'"{AUTO}" measures on [data] train; give it, or name formats'
        for key in stated:
            if key != "limit" and not method.reads_examples:
                what = f'is of examples to learn, which method "{method.name}" does not; leave it out'
                yield "data", key, what
        if data.augment and not task.has_values:
            known = ", ".join(one.name for one in tasks.tasks() if one.has_values)
            yield "data", "augment", f"is for the tasks {known}; this one is {data.task}"
        if data.augment_exclude and (data.augment is False or not task.has_values):
            yield "data", "augment_exclude", "nothing is substituted here; leave it out"

    def _of_update(self, method: Method) -> Iterator[Mistake]:
        given = self._given("update")
        every = [methods.by_name(one) for one in methods.names()]
        for key, can in (("adapter", "starts"), ("data", "replays")):
            if key in given and not getattr(method, can):
                known = ", ".join(f'"{one.name}"' for one in every if getattr(one, can))
                yield "update", key, f'is for method {known}; this one is "{method.name}", leave it out'
        for key in ("validation", "test", "epochs", "retrain"):
            if key in given and "data" not in given:
                yield "update", key, "goes with data, the new examples; give both, or neither"

    def _of_build(self, build: Build, method: Method) -> Iterator[Mistake]:
        """Budgets and the format that they are for go together, and what goes with mtp."""
        stated = [key for key in BUDGETS if getattr(build, key) is not None]
        if AUTO in build.formats:
            if build.mtp:
                what = f'does not go with "{AUTO}", which measures logits, not draft tokens; name formats'
                yield "build", "mtp", what
            if not stated and not build.target:
                yield "build", "formats", f'"{AUTO}" needs a budget; give target, {", ".join(BUDGETS)}'
        else:
            for key in stated:
                yield "build", key, f'is for the format "{AUTO}"; add it, or leave this out'
        if build.mtp and method.name == "prefix":
            yield "build", "mtp", 'does not go with method "prefix", which has nothing for that layer'

    def _of_task(self, tables: dict[str, Any]) -> Iterator[Mistake]:
        data, qat, built = tables["data"], tables["train"].qat, tables["build"].formats
        source = tasks.by_name(data.task).source
        if data.show_tools and not data.tools:
            yield "data", "show_tools", "there are no tools to show; give them in tools"
        if TFIDF in tables["eval"].baselines and source != "choices":
            yield "eval", "baselines", f'"{TFIDF}" learns labels; the task {data.task} has none, leave it out'
        if data.schema and source != "schema":
            what = f"the answers of the task {data.task} are no JSON by a schema; leave it out"
            yield "data", "schema", what
        if qat not in ("auto", NO_QAT, *built):
            yield "train", "qat", f"is none of [build] formats, {', '.join(built)}; give one of them"

    def _of_constraint(self, tables: dict[str, Any]) -> Iterator[Mistake]:
        """One source, and keys that apply to it; `max_backtracks` alone where one follows from the task."""
        given, data = self._given("constraint"), tables["data"]
        if tables["constraint"].unconstrained:
            if len(given) > 1:
                yield "constraint", "unconstrained", "contradicts the other keys; leave it out, or them"
            return
        if "constraint" not in self.given:
            return
        sources, own = [key for key in SOURCES if key in given], tasks.by_name(data.task).source
        follows = own == "choices" or (own and getattr(data, own))
        if not (given and follows and set(given) <= {"max_backtracks"}):
            if len(sources) != 1:
                what = f"{' and '.join(sources)} are given" if sources else "says nothing of the answer"
                key = sources[1] if sources else None
                yield "constraint", key, f"{what}; give one of {', '.join(SOURCES)}"
            known = [one.name for one in tasks.tasks() if one.constraint.get("choices") == LABELS]
            if given.get("choices") == LABELS and data.task not in known:
                what = f'"{LABELS}" is for the task {", ".join(known)}; this one is {data.task}'
                yield "constraint", "choices", what
            if "spacing" in given and not {"schema", "tools"} & set(sources):
                what = f"says nothing about {sources[0]}; it goes with schema or tools"
                yield "constraint", "spacing", what
        if data.thinking:
            yield "data", "thinking", "a constraint says what the whole answer may be; leave out one of them"
