"""What a recipe's format AUTO is measured on: its training examples, and answers to its validation ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import files
from tinsmith.pipeline import data as dataset

if TYPE_CHECKING:
    from tinsmith.models.spec import Spec
    from tinsmith.pipeline.run import Run
    from tinsmith.progress import Display
    from tinsmith.quant.model import Feedback
    from tinsmith.quant.presets import Mix
    from tinsmith.search.auto import Point, Search
    from tinsmith.search.budget import Budget
    from tinsmith.targets import Target

FOLDER = "search"  # of a run: what was measured
VALIDATED = 200  # validation examples that tell a choice's accuracy


@dataclass(frozen=True)
class Chosen:
    """front: rows of the report, by size; the one that was taken has `chosen`."""

    mix: Mix
    feedback: Feedback | None
    front: list[dict[str, Any]]


# Gives a model its formats; called with the spec that is written.
Choose = Callable[["Spec"], Chosen]


def of_search(search: Search, budget: Budget, display: Display, accuracy: Any = None) -> Chosen:
    """The choice within a budget, and the front around it, also shown. accuracy: as Search.choose takes it."""
    from tinsmith.search import auto

    point = search.measured(search.choose(budget, accuracy))
    front = [other for other in search.front() if other.formats != point.formats]
    for line in auto.table(front, point):
        display.line(line)
    rows = [{**other.row(), "chosen": False} for other in front] + [{**point.row(), "chosen": True}]
    feedback = search.feedback.by_role if search.feedback else None
    return Chosen(search.mix(point), feedback, sorted(rows, key=lambda row: row["bytes"]))


def of_run(run: Run, spec: Spec) -> Chosen:
    from tinsmith.search.auto import Search
    from tinsmith.search.budget import Budget

    stated = dataclasses.asdict(run.recipe.build)
    names = [field.name for field in dataclasses.fields(Budget)]
    search = Search(spec, calibration(run, spec), run.folder / FOLDER, run.display)
    accuracy = None
    if stated["min_accuracy"] is not None:
        accuracy = _Answers(run, spec, search).accuracy
    if run.recipe.build.target:
        from tinsmith.pipeline import build

        stated["memory"] = least(stated["memory"], build.room(run, spec))
        stated["bandwidth"] = stated["bandwidth"] or bandwidth(build.devices(run))
    return of_search(search, Budget(**{name: stated[name] for name in names}), run.display, accuracy)


def least(stated: int | None, room: int | None) -> int | None:
    """Of two limits, either of which may be none."""
    return min((one for one in (stated, room) if one is not None), default=None)


def bandwidth(devices: Sequence[Target]) -> int | None:
    """Bytes a second that the slowest device reads of a model."""
    return min((device.memory.flash_bandwidth or device.memory.bandwidth for device in devices), default=None)


def calibration(run: Run, spec: Spec) -> list[int]:
    """Tokens of the text that the recipe states, or of its training examples as the model sees them."""
    from tinsmith.models.chat_template import render, special_tokens
    from tinsmith.search import text

    stated = run.recipe.build.calibration
    if stated is not None:
        return text.tokens(spec, text.read(run.recipe.resolve(stated)))
    assert spec.chat_template is not None
    special = special_tokens(spec.tokenizer)
    said = []
    for example in dataset.examples(run, "train"):
        asked = dataset.conversation(run, example)
        whole = [*asked, {"role": "assistant", "content": example.output}]
        said.append(render(spec.chat_template, whole, generate=False, tokens=special))
    return text.tokens(spec, "".join(said))


class _Answers:
    """A choice's answers to validation examples, beside the float model's."""

    def __init__(self, run: Run, spec: Spec, search: Search) -> None:
        self.run, self.spec, self.search = run, spec, search
        self.examples = dataset.examples(run, "validation")[:VALIDATED]
        self.exact = self._exact("float", run.folder / "merged", run.facts("merge")["sha256"])

    def accuracy(self, point: Point) -> float:
        from tinsmith.pipeline import build

        path = self.run.folder / FOLDER / "candidate.gguf"
        feedback = self.search.feedback.by_role if self.search.feedback else None
        build.write_gguf(self.spec, path, self.search.mix(point), self.run.display, feedback=feedback)
        exact = self._exact(f"candidate-{point.size}", path, files.sha256_file(path))
        path.unlink()
        return exact / self.exact if self.exact else 1.0

    def _exact(self, name: str, model: Path, digest: str) -> float:
        """The share of exact answers, out of the run's own worker."""
        from tinsmith.evaluate import systems
        from tinsmith.evaluate.answers import Item, Job
        from tinsmith.pipeline.measure import labels

        run, settings = self.run, self.run.recipe.eval
        items = [Item(dataset.conversation(run, example)) for example in self.examples]
        job = Job(str(model), digest, settings.threads, settings.max_tokens, items)
        with run.display.bar(f"validate {name}", len(items)) as bar:
            outcome = systems.ask(name, job, run.folder / FOLDER, bar.update)
        grades = systems.grades(run.recipe.data.task, outcome, self.examples, labels(run))
        return sum(grade.exact for grade in grades) / len(grades)
