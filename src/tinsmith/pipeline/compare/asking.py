"""Asks each system the same items, and keeps the answers in files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tinsmith.backends.endpoint import Endpoint
from tinsmith.data.readers import Example
from tinsmith.evaluate import remote, systems
from tinsmith.evaluate.answers import Item
from tinsmith.evaluate.baselines import Messages, Nearest, Prompts, Retriever
from tinsmith.evaluate.naming import constrained
from tinsmith.evaluate.static import StaticRetriever
from tinsmith.evaluate.systems import Outcome
from tinsmith.pipeline.compare import settings
from tinsmith.pipeline.measuring import Asking, copying, figures, timed
from tinsmith.pipeline.prepared import Model, Prepared, read_tools
from tinsmith.pipeline.recipe import tables
from tinsmith.tasks import Grade

PROMPTED, COPIED, TUNED, ENDPOINT, ANSWERS = "prompted", "copied", "tuned", "endpoint", "answers"
UNTRAINED = (PROMPTED, COPIED, ENDPOINT)  # the kinds of systems that nothing was trained for
ELSEWHERE = (ENDPOINT, ANSWERS)  # the kinds of systems that another program answers for
RETRIEVAL, STATIC = "retrieval", "retrieval_static"  # how examples are found: by words, by embeddings
NEAREST = "nearest"
# By kind, the ways to prompt a local model, each with the retriever that it needs.
WAYS = {
    PROMPTED: {"zero_shot": "", "few_shot": "", RETRIEVAL: RETRIEVAL, STATIC: STATIC},
    TUNED: {TUNED: "", "tuned_retrieval": RETRIEVAL, "tuned_retrieval_static": STATIC},
}


@dataclass(frozen=True)
class Tin:
    """A model's file. seconds, examples: of its training; None for a base."""

    path: Path
    sha256: str
    bytes: int
    seconds: float | None = None
    examples: int | None = None


@dataclass(frozen=True)
class System:
    """kind: one of the above; prompt: the way to prompt it; base: a label, None without one."""

    name: str
    kind: str
    prompt: str
    base: str | None = None
    is_constrained: bool = False

    @property
    def retrieves(self) -> bool:
        return RETRIEVAL in self.prompt or self.kind == COPIED


@dataclass(frozen=True)
class Answered:
    """entry: the system's entry in compare.json."""

    system: System
    outcome: Outcome
    grades: list[Grade]
    entry: dict[str, Any]

    @property
    def right(self) -> list[bool]:
        return [grade.exact for grade in self.grades]

    @property
    def exact(self) -> float:
        return sum(self.right) / max(1, len(self.grades))


@dataclass(frozen=True)
class Shown:
    """The training examples for prompts and retrieval, before or after a change of the right answers."""

    data: Prepared
    train: Sequence[Example]

    @cached_property
    def retrievers(self) -> dict[str, Nearest]:
        recipe = self.data.recipe
        found: dict[str, Nearest] = {RETRIEVAL: Retriever(self.train)}
        if recipe.compare.embeddings:
            found[STATIC] = StaticRetriever(recipe.resolve(recipe.compare.embeddings), self.train)
        return found

    @cached_property
    def prompts(self) -> dict[str, Prompts]:
        """By retriever."""
        recipe = self.data.recipe
        task, tools, stated = self.data.task, read_tools(recipe), recipe.eval
        return {
            name: Prompts(task, recipe.data.system, self.train, tools, stated.shots, retriever)
            for name, retriever in self.retrievers.items()
        }

    def messages(self, prompt: str, example: Example) -> Messages:
        """The messages for an example under this way to prompt."""
        if prompt == TUNED:
            return self.data.conversation(example)
        found = STATIC if prompt.endswith(STATIC) else RETRIEVAL
        ask: Callable[[Example], Messages] = getattr(self.prompts[found], prompt.replace(STATIC, RETRIEVAL))
        return ask(example)


@dataclass
class Table:
    """The systems that answered so far, in the report's order. tins: their model files."""

    asking: Asking
    items: Sequence[Example]
    shown: Shown
    answered: dict[str, Answered] = dataclasses.field(default_factory=dict)
    tins: dict[str, Tin] = dataclasses.field(default_factory=dict)

    @property
    def data(self) -> Prepared:
        return self.asking.data

    @cached_property
    def labels(self) -> frozenset[str]:
        return self.data.labels()

    @property
    def is_bound(self) -> bool:
        """Whether the recipe has a constraint."""
        return self.data.recipe.constraint.source is not None

    def local(self, kind: str, tin: Tin, label: str, suffix: str) -> None:
        """Asks a base or a tuned model under each way to prompt it, unconstrained and constrained."""
        for way, retriever in WAYS[kind].items():
            if retriever and retriever not in self.shown.retrievers:
                continue
            name = way + suffix
            self.ask(System(name, kind, way, label), tin)
            if self.is_bound:
                self.ask(System(constrained(name), kind, way, label, is_constrained=True), tin)

    def ask(self, system: System, tin: Tin) -> None:
        outcome = self.outcome(system, tin, self.items, self.shown)
        self.add(system, outcome, bytes=tin.bytes, training_seconds=tin.seconds, examples=tin.examples)
        self.tins[system.name] = tin

    def outcome(
        self, system: System, tin: Tin, items: Sequence[Example], shown: Shown, name: str = ""
    ) -> Outcome:
        """name: of the answer file, if not the system's."""
        asked = [Item(shown.messages(system.prompt, example)) for example in items]
        model = Model(tin.path, tin.sha256)
        return self.asking.ask(name or system.name, model, asked, constrained=system.is_constrained)

    def copied(self) -> None:
        """Answers with the output of the nearest training example."""
        self.add(System(NEAREST, COPIED, NEAREST), copies(self.shown, self.items))

    def endpoint(self, stated: tables.Endpoint) -> None:
        system = System(stated.name, ENDPOINT, stated.prompt)
        asked = [Item(self.shown.messages(stated.prompt, example)) for example in self.items]
        endpoint = Endpoint(stated.url, stated.model, settings.keys(self.data.recipe)[stated.name])
        most = self.data.recipe.eval.max_tokens
        reporter, folder = self.asking.reporter, self.asking.folder
        with reporter.step(stated.name, len(asked)):
            outcome = remote.ask(stated.name, endpoint, asked, most, folder, reporter.progress)
        self.add(system, outcome, model=stated.model)

    def given(self, stated: tables.Answers) -> None:
        outcome = remote.given(self.data.recipe.resolve(stated.file), self.items)
        self.add(System(stated.name, ANSWERS, "its own"), outcome, file=Path(stated.file).name)

    def grades(self, outcome: Outcome, items: Sequence[Example]) -> list[Grade]:
        return systems.grades(self.data.task, outcome, items, self.labels)

    def add(self, system: System, outcome: Outcome, **more: Any) -> Answered:
        grades = self.grades(outcome, self.items)
        entry = {
            "kind": system.kind,
            "prompt": system.prompt,
            "base": system.base,
            "constrained": system.is_constrained,
            **figures(outcome, self.items, grades),
            **more,
        }
        found = Answered(system, outcome, grades, entry)
        self.answered[system.name] = found
        return found


def copies(shown: Shown, items: Sequence[Example]) -> Outcome:
    return Outcome(timed(copying(shown.retrievers[RETRIEVAL]), items), None)
