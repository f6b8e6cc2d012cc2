"""What a recipe's format AUTO is measured on: its training examples, and answers to its validation ones."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import tasks
from tinsmith.format_names import AUTO
from tinsmith.pipeline import contents, data
from tinsmith.pipeline.data import Data
from tinsmith.pipeline.run import Record, Run
from tinsmith.system import files

if TYPE_CHECKING:
    from tinsmith.quant.model import Feedback
    from tinsmith.search.auto import Point, Search
    from tinsmith.search.choice import Chosen
    from tinsmith.spec import Spec

FOLDER = "search"  # of a run: what was measured
VALIDATED = 200  # validation examples that a choice's accuracy is measured on


@dataclass(frozen=True)
class FloatModel:
    """The trained float model's folder, and the SHA-256 of its files together."""

    folder: Path
    sha256: str


def inputs(run: Run, made: Record[Data]) -> dict[str, Any]:
    """What AUTO is measured on, as run.json keeps it."""
    recipe = run.recipe
    if AUTO not in recipe.build.formats:
        return {}
    digests = {split: made.digests[data.split_name(split)] for split in ("train", "validation")}
    return {"calibration": digests["train"], "validation": digests["validation"]}


def choose(run: Run, made: Record[Data], spec: Spec, folder: Path, merged: FloatModel | None = None) -> Chosen:
    """The formats of AUTO within the recipe's budgets.

    spec: as it is written; folder: keeps what is measured; merged: whose answers to validation examples a least
    accuracy is of; None where there is no trained model yet, and it is of how often the likeliest next token
    stays.
    """
    from tinsmith.search import choice
    from tinsmith.search.auto import Options, Search
    from tinsmith.search.budget import Budget

    stated = dataclasses.asdict(run.recipe.build)
    names = [field.name for field in dataclasses.fields(Budget)]
    options = Options(gguf=stated["max_size"] is not None)
    search = Search(spec, calibration(run, spec), folder, run.display, options)
    accuracy = None
    if stated["min_accuracy"] is not None and merged is not None:
        accuracy = _Answers(run, merged, spec, search).accuracy
    if run.recipe.build.target:
        stated["memory"] = contents.room(run, made, spec)
        stated["bandwidth"] = choice.bandwidth(contents.devices(run))
    return choice.of_search(search, Budget(**{name: stated.get(name) for name in names}), run.display, accuracy)


def seeing(run: Run, spec: Spec, chosen: Chosen, folder: Path) -> Chosen:
    """The choice with formats of the vision half, measured on training examples that show pictures; itself
    where there is no half or are no pictures."""
    examples = [one for one in data.examples(run, "train") if one.images] if spec.vision else []
    if not examples:
        return chosen
    from tinsmith.search import vision

    stated = run.recipe.data
    shown = vision.read(spec, examples, stated.task, stated.system)
    return dataclasses.replace(chosen, mix=vision.choose(spec, chosen.mix, shown, folder, run.display))


def calibration(run: Run, spec: Spec) -> list[int]:
    """Tokens of the recipe's training examples as the model sees them."""
    from tinsmith.chat.chat_template import render, special_tokens
    from tinsmith.search import text

    assert spec.chat_template is not None
    special = special_tokens(spec.tokenizer)
    rendered = []
    for example in data.examples(run, "train"):
        asked = data.conversation(run, example)
        whole = [*asked, {"role": "assistant", "content": example.output}]
        rendered.append(render(spec.chat_template, whole, generate=False, tokens=special))
    return text.tokens(spec, "".join(rendered))


def feedback(run: Run, spec: Spec) -> Feedback:
    """The error feedback of AUTO's blocks, without a search."""
    from tinsmith.search import grams

    return grams.Feedback(*grams.of_text(spec, calibration(run, spec), run.display)).by_role


class _Answers:
    """A choice's answers to validation examples, beside the float model's."""

    def __init__(self, run: Run, merged: FloatModel, spec: Spec, search: Search) -> None:
        self.run, self.spec, self.search = run, spec, search
        self.examples = data.examples(run, "validation")[:VALIDATED]
        self.exact = self._exact("float", merged.folder, merged.sha256)

    def accuracy(self, point: Point) -> float:
        from tinsmith.quant import shipping

        path = self.run.folder / FOLDER / "candidate.gguf"
        feedback = self.search.feedback.by_role if self.search.feedback else None
        weights = shipping.Weights("candidate", self.search.mix(point), feedback=feedback)
        shipping.write_gguf(self.spec, path, weights, self.run.display)
        exact = self._exact(f"candidate-{point.size}", path, files.sha256_file(path))
        path.unlink()
        return exact / self.exact if self.exact else 1.0

    def _exact(self, name: str, model: Path, digest: str) -> float:
        """The share of exact answers, out of the run's own worker."""
        from tinsmith.evaluate import systems
        from tinsmith.evaluate.answers import Item, Job

        run, settings = self.run, self.run.recipe.eval
        items = [Item(data.conversation(run, example)) for example in self.examples]
        job = Job(str(model), digest, settings.threads, settings.max_tokens, items)
        with run.display.bar(f"validate {name}", len(items)) as bar:
            outcome = systems.ask(name, job, run.folder / FOLDER, bar.update)
        task = tasks.by_name(run.recipe.data.task)
        grades = systems.grades(task, outcome, self.examples, data.labels(run))
        return sum(grade.exact for grade in grades) / len(grades)
