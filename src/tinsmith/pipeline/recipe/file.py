"""Reads a recipe's file and checks what no single key shows."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

from tinsmith import targets, tasks
from tinsmith.errors import RecipeError, UnsupportedError
from tinsmith.format_names import AUTO
from tinsmith.pipeline.recipe import compare as compare_tables
from tinsmith.pipeline.recipe.compare import Compare
from tinsmith.pipeline.recipe.tables import (
    BASE_KEYS,
    BUDGETS,
    DIVIDING_KEYS,
    EXAMPLE_KEYS,
    LABELS,
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
from tinsmith.train.reinforcement import rewards

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
        origin = self._origin(given)
        tables: dict[str, Any] = {
            name: self.table(name, cls, given.get(name, {}))
            for name, cls in TABLES.items()
            if name not in OPTIONAL or name == origin or (name == "update" and name in given)
        }
        tables |= {name: None for name in OPTIONAL if name not in tables}
        if origin == "scratch":
            self._check_scratch(given)
            tables["train"] = dataclasses.replace(tables["train"], method=SCRATCH_METHOD)
            if "baselines" not in given.get("eval", {}):
                tables["eval"] = dataclasses.replace(tables["eval"], baselines=("nearest",))
        self._check_method(given, tables["train"].method)
        self._check_splits(given.get("data", {}))
        if tables["data"].train is None:
            tables["eval"] = self._without_examples(given, tables["eval"])
        if tables["build"].target:
            tables["build"] = self._for_target(tables["build"], "formats" in given["build"])
        self._check_augment(given.get("data", {}), tables)
        self._check_update(given.get("update", {}), tables["train"].method)
        self._check_build(tables["build"], tables["train"].method)
        self._check_task(tables)
        self._check_answers(given, tables)
        tables["compare"] = self._listed(tables["compare"])
        return tables

    def _check_task(self, tables: dict[str, Any]) -> None:
        data = tables["data"]
        source = tasks.by_name(data.task).source
        if data.show_tools and not data.tools:
            raise self.error("data", "show_tools", "there are no tools to show; give them in tools")
        if TFIDF in tables["eval"].baselines and source != "choices":
            raise self.error(
                "eval", "baselines", f'"{TFIDF}" learns labels; the task {data.task} has none, leave it out'
            )
        if data.schema and source != "schema":
            raise self.error(
                "data", "schema", f"the answers of the task {data.task} are no JSON by a schema; leave it out"
            )
        qat, built = tables["train"].qat, tables["build"].formats
        if qat not in ("auto", NO_QAT, *built):
            raise self.error(
                "train", "qat", f"is none of [build] formats, {', '.join(built)}; give one of them"
            )

    def _check_answers(self, given: dict[str, Any], tables: dict[str, Any]) -> None:
        """Checks the constraint, and the keys that exclude it."""
        if tables["constraint"].unconstrained and len(given["constraint"]) > 1:
            raise self.error("constraint", "unconstrained", "contradicts the other keys; leave it out, or them")
        if "constraint" in given and not tables["constraint"].unconstrained:
            self._check_constraint(given["constraint"], tables["data"])
            if tables["data"].thinking:
                raise self.error(
                    "data", "thinking", "a constraint says what the whole answer may be; leave out one of them"
                )

    def _listed(self, compare: Compare) -> Compare:
        """With its [[compare.endpoint]] and [[compare.answers]] read as tables."""
        read = {
            name: tuple(
                self.table(f"compare.{name} {place}", cls, entry)
                for place, entry in enumerate(getattr(compare, name), 1)
            )
            for name, cls in compare_tables.LISTED.items()
        }
        compare = dataclasses.replace(compare, endpoint=read["endpoint"], answers=read["answers"])
        known = compare_tables.names(compare)
        for name in known:
            if known.count(name) > 1:
                raise self.error(
                    "compare", None, f'two systems are called "{name}"; give each a name of its own'
                )
        return compare

    def _for_target(self, build: Build, stated: bool) -> Build:
        """With the targets' own formats where the recipe states none."""
        try:
            devices = [targets.find(name, self.path.parent) for name in build.target]
        except UnsupportedError as error:
            raise self.error("build", "target", str(error)) from None
        return build if stated else dataclasses.replace(build, formats=tuple(targets.formats(devices)))

    def _origin(self, given: dict[str, Any]) -> str:
        """Which of the tables that say what training starts from is there."""
        if "base" in given and "scratch" in given:
            raise self.error("scratch", None, "[base] is given too; give one of them")
        return "scratch" if "scratch" in given else "base"

    def _check_scratch(self, given: dict[str, Any]) -> None:
        """Checks what no single key shows about a recipe without a base."""
        stated = [key for key in SHAPE_KEYS if key in given["scratch"]]
        if stated and "parameters" in given["scratch"]:
            raise self.error("scratch", "parameters", f"follow from {', '.join(stated)}; give one or the other")
        for key in ("layers", "hidden"):
            if stated and key not in stated:
                raise self.error("scratch", key, f"missing; it goes with {stated[0]}")
        if given.get("train", {}).get("method", SCRATCH_METHOD) != SCRATCH_METHOD:
            raise self.error("train", "method", f'[scratch] trains by "{SCRATCH_METHOD}"; leave it out')
        for key in BASE_KEYS:
            if key in given.get("data", {}):
                raise self.error("data", key, "is for a base; [scratch] has none; leave it out")
        for name in given.get("eval", {}).get("baselines", []):
            if name != "nearest":
                raise self.error(
                    "eval", "baselines", f'"{name}" prompts a base; without one there is "nearest" alone'
                )

    def _check_method(self, given: dict[str, Any], name: str) -> None:
        """Keys of another method say that something else was meant."""
        method = methods.by_name(name)
        every = [methods.by_name(one) for one in methods.names()]
        for table, own in (("train", "keys"), ("data", "reads")):
            for key in given.get(table, {}):
                readers = [f'"{one.name}"' for one in every if key in getattr(one, own)]
                if readers and key not in getattr(method, own):
                    raise self.error(
                        table, key, f'is for method {", ".join(readers)}; this one is "{name}", leave it out'
                    )
        for table, key in method.needs:
            if key not in given.get(table, {}):
                raise self.error(table, key, f'missing; method "{name}" learns from it')
        if given.get("base", {}).get("weights") == QUANTIZED and not method.packs:
            raise self.error(
                "base", "weights", f'method "{name}" needs floats; leave it out, or train an adapter'
            )
        train = given.get("train", {})
        if "reward" in method.keys:
            self._check_rewards(train, given.get("update", {}))

    def _check_rewards(self, train: dict[str, Any], update: dict[str, Any]) -> None:
        for reward in REWARD.read(train.get("reward", {})):
            place = rewards.of_function(reward)
            if place and not (self.path.parent / place[0]).is_file():
                raise self.error(
                    "train", "reward", f"{place[0]} is no file; give one that has the function {place[1]}"
                )
        for table, stated in (("train", train), ("update", update)):
            if stated.get("learning_rate") == SEARCH:
                raise self.error(
                    table, "learning_rate", f'"{SEARCH}" compares losses, not rewards; state a rate'
                )

    def _check_splits(self, given: dict[str, Any]) -> None:
        """Splits that are not given are made of the training examples."""
        missing = [split for split in ("validation", "test") if split not in given]
        if missing and "train" not in given:
            raise self.error("data", missing[0], "missing; give it, or train to make it of")
        for key in DIVIDING_KEYS:
            if key in given and not missing:
                raise self.error("data", key, "nothing is divided by it; leave it out")
        stated = given.get("split_shares", {})
        for split in stated:
            if split not in missing:
                raise self.error("data", "split_shares", f"{split} is given as a file; leave its share out")
        shares = [(SHARES | stated)[split] for split in missing]
        if sum(shares) >= 1:
            what = f"{' and '.join(map(str, shares))} of the examples leave none to learn from; give less"
            raise self.error("data", "split_shares", what)

    def _without_examples(self, given: dict[str, Any], settings: Eval) -> Eval:
        """[eval] of a recipe that has no training examples; raises for what is made of these."""
        for key in EXAMPLE_KEYS:
            if given["data"].get(key):
                raise self.error("data", key, "is about the examples of train; give them, or leave this out")
        if given.get("eval", {}).get("baselines"):
            raise self.error("eval", "baselines", "are made from [data] train; give it, or leave this out")
        if given.get("constraint", {}).get("choices") == LABELS:
            raise self.error(
                "constraint", "choices", f'"{LABELS}" are those of [data] train; give it, or list the choices'
            )
        if AUTO in given.get("build", {}).get("formats", ()):
            raise self.error("build", "formats", f'"{AUTO}" measures on [data] train; give it, or name formats')
        return dataclasses.replace(settings, baselines=())

    def _check_augment(self, given: dict[str, Any], tables: dict[str, Any]) -> None:
        """Checks that augmentation has something to augment."""
        data, task = tables["data"], tasks.by_name(tables["data"].task)
        method = methods.by_name(tables["train"].method)
        for key in EXAMPLE_KEYS if not method.reads_examples else ():
            if key != "limit" and given.get(key):
                raise self.error(
                    "data", key, f'is of examples to learn, which method "{method.name}" does not; leave it out'
                )
        if data.augment and not task.has_values:
            known = ", ".join(one.name for one in tasks.tasks() if one.has_values)
            raise self.error("data", "augment", f"is for the tasks {known}; this one is {data.task}")
        off = data.augment is False or not task.has_values
        if off and data.augment_exclude:
            raise self.error("data", "augment_exclude", "nothing is substituted here; leave it out")

    def _check_update(self, given: dict[str, Any], name: str) -> None:
        if not given:
            return
        method = methods.by_name(name)
        every = [methods.by_name(one) for one in methods.names()]
        for key, can in (("adapter", "starts"), ("data", "replays")):
            if key in given and not getattr(method, can):
                known = ", ".join(f'"{one.name}"' for one in every if getattr(one, can))
                raise self.error("update", key, f'is for method {known}; this one is "{name}", leave it out')
        for key in ("validation", "test", "epochs", "retrain"):
            if key in given and "data" not in given:
                raise self.error("update", key, "goes with data, the new examples; give both, or neither")

    def _check_build(self, build: Build, method: str) -> None:
        """Budgets and the format that they are for go together, and what goes with mtp."""
        if build.mtp and AUTO in build.formats:
            why = f'does not go with "{AUTO}", which measures logits: draft tokens change none; name formats'
            raise self.error("build", "mtp", why)
        if build.mtp and method == "prefix":
            raise self.error(
                "build", "mtp", 'does not go with method "prefix", which has nothing for that layer'
            )
        stated = [key for key in BUDGETS if getattr(build, key) is not None]
        if AUTO in build.formats and not stated and not build.target:
            raise self.error("build", "formats", f'"{AUTO}" needs a budget; give target, {", ".join(BUDGETS)}')
        for key in stated:
            if AUTO not in build.formats:
                raise self.error("build", key, f'is for the format "{AUTO}"; add it, or leave this out')

    def _check_constraint(self, given: dict[str, Any], data: Data) -> None:
        """Checks what no single key shows: there is one source, and the other keys apply to it. Where one
        follows from the task, `max_backtracks` may stand alone."""
        sources, task = [key for key in SOURCES if key in given], data.task
        own = tasks.by_name(task).source
        follows = own == "choices" or (own and getattr(data, own))
        if given and follows and set(given) <= {"max_backtracks"}:
            return
        if len(sources) != 1:
            key = sources[1] if sources else None
            what = f"{' and '.join(sources)} are given" if sources else "says nothing of the answer"
            raise self.error("constraint", key, f"{what}; give one of {', '.join(SOURCES)}")
        with_labels = [one.name for one in tasks.tasks() if one.constraint.get("choices") == LABELS]
        if given.get("choices") == LABELS and task not in with_labels:
            known = ", ".join(with_labels)
            raise self.error("constraint", "choices", f'"{LABELS}" is for the task {known}; this one is {task}')
        if "spacing" in given and sources[0] not in ("schema", "tools"):
            raise self.error(
                "constraint", "spacing", f"says nothing about {sources[0]}; it goes with schema or tools"
            )
