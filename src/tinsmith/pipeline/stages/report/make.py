"""The report stage: report.json for programs, report.html for people; the same figures in both."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import tasks
from tinsmith.errors import MissingExtraError
from tinsmith.evaluate import curve
from tinsmith.evaluate.answers import Answer, read_answers
from tinsmith.pipeline import facts, update
from tinsmith.pipeline.examples import PICTURES
from tinsmith.pipeline.measuring import (
    TUNED,
    Measured,
    answers_path,
    baseline_items,
    constrained,
    shipped,
    test_items,
)
from tinsmith.pipeline.run import Made, Nothing, Output, Record, Run, machine, versions
from tinsmith.pipeline.stages.build import Built
from tinsmith.pipeline.stages.data import augmentation
from tinsmith.pipeline.stages.data import make as data
from tinsmith.pipeline.stages.data.make import Data
from tinsmith.pipeline.stages.merge import Merged
from tinsmith.pipeline.stages.report import curves
from tinsmith.pipeline.stages.seal import Sealed
from tinsmith.pipeline.stages.train import make as training
from tinsmith.pipeline.stages.train.make import Trained
from tinsmith.pipeline.stages.verify import Verified
from tinsmith.system import files
from tinsmith.train import methods

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

    from tinsmith.data.readers import Example
    from tinsmith.tasks import Grade, Task

JSON, PAGE = "report.json", "report.html"
WORST = 20
CHANGED = 20
INVALID = "(invalid)"


@dataclass(frozen=True)
class Records:
    """What a report is made of: a field for each stage."""

    @property
    def records(self) -> dict[str, Record[Any]]:
        """By stage."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


@dataclass(frozen=True)
class Needs(Records):
    data: Record[Data]
    baselines: Record[Measured]
    train: Record[Trained]
    merge: Record[Merged]
    build: Record[Built]
    verify: Record[Verified]
    evaluate: Record[Measured]
    seal: Record[Sealed]


def inputs(run: Run, needs: Records) -> dict[str, Any]:
    made = {
        name: [record.inputs_sha256, {file: facts.to_json(output) for file, output in record.outputs.items()}]
        for name, record in needs.records.items()
    }
    return {"recipe": run.recipe.sha256, "stages": made}


def make(run: Run, needs: Needs) -> Made[Nothing]:
    document = compose(run, needs)
    return written(run, document, html(document))


def written(run: Run, document: dict[str, Any], page: str) -> Made[Nothing]:
    outputs = [run.folder / JSON, run.folder / PAGE]
    files.write_text(outputs[0], json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    files.write_text(outputs[1], page)
    return Made(outputs, Nothing())


def compose(run: Run, needs: Needs) -> dict[str, Any]:
    """report.json: each system's figures; `errors` and `confusion` are those of the `headline` system."""
    recipe, made = run.recipe, needs.data.facts
    task = tasks.by_name(recipe.data.task)
    headline = headline_system(recipe.build.formats)
    items, answers = test_items(run), read_answers(answers_path(run, headline))
    known, systems = data.labels(run), all_systems(needs)
    grades = [
        task.grade(answer.text, example.output, example.accept, known)
        for answer, example in zip(answers, items, strict=True)
    ]
    base = {key: getattr(made.base, key) for key in ("name", "sha256", "bytes", "family", "license")}
    method = methods.by_name(recipe.train.method)
    digests = {**data.model_data(needs.data), "test": needs.data.digests[data.split_name("test")]}
    return {
        "name": recipe.name,
        "task": recipe.data.task,
        "headline": headline,
        "systems": systems,
        "test": test_facts(run, needs, items),
        "base": base if recipe.base else None,
        "parameters": made.base.parameters,
        "data": {
            "counts": made.counts,
            "divided": facts.to_json(made.divided) if made.divided else None,
            "sha256": digests,
            "learned": method.needs[0][1],
        },
        "recipe": {"file": recipe.path.name, "sha256": recipe.sha256},
        "command": shlex.join(["tinsmith", "make", recipe.path.name, *update.flags(recipe)]),
        "augmentation": augmented(run, made),
        "train": {
            **facts.to_json(needs.train.facts),
            "share": method.share,
            "unit": method.unit,
        },
        "files": {
            name: {"sha256": file.sha256, "bytes": file.bytes} for name, file in shipped_files(needs).items()
        },
        "verify": needs.verify.facts.checks,
        "seeds": {"train": recipe.train.seed, "eval": recipe.eval.seed},
        "seconds": {
            **{name: record.seconds for name, record in needs.records.items()},
            "train": training.seconds_of(needs.train),
        },
        "machine": machine(),
        "versions": versions(),
        "confusion": confusion(task, grades, items),
        "errors": worst(task, grades, items, answers),
        "constraint": constraint(run, needs.data, items, systems),
        "front": needs.build.facts.front,
    }


def shipped_files(needs: Needs) -> dict[str, Output]:
    """The GGUFs and the sealed tins, by file name."""
    built = needs.build.facts
    made = {**needs.build.outputs, **needs.seal.outputs}
    return {name: made[name] for weights, tin in built.tins.items() for name in (built.ggufs[weights], tin)}


def all_systems(needs: Needs) -> dict[str, dict[str, Any]]:
    """The systems' entries; the bytes of a shipped one are those of its sealed tin."""
    systems = {**needs.baselines.facts.systems, **needs.evaluate.facts.systems}
    for weights, tin in needs.build.facts.tins.items():
        for name in (shipped(weights), constrained(shipped(weights))):
            if name in systems:
                systems[name] = {**systems[name], "bytes": needs.seal.outputs[tin].bytes}
    return systems


def test_facts(run: Run, needs: Needs, items: Sequence[Example]) -> dict[str, Any]:
    settings = run.recipe.eval
    return {
        "items": len(items),
        "parts": dict(sorted(Counter(example.part for example in items if example.part).items())),
        "baseline_items": {name: len(baseline_items(run, name)) for name in settings.baselines},
        "inputs_in_train": needs.data.facts.test_inputs_in_train,
        "shots": settings.shots,
        "max_tokens": settings.max_tokens,
        "resamples": settings.bootstrap,
    }


def augmented(run: Run, made: Data) -> dict[str, Any] | None:
    """The examples that were made, counted, and a few of them; None where there are none."""
    if made.augmentation is None:
        return None
    rows = [row for variant in data.augmented(run) for row in variant]
    return {
        **facts.to_json(made.augmentation),
        "examples": augmentation.shown(rows, data.examples(run, "train")),
    }


def constraint(
    run: Run, made: Record[Data], items: Sequence[Example], systems: dict[str, Any]
) -> dict[str, Any] | None:
    """What the constraint changed, by system; None where the recipe states none."""
    if not made.facts.constraint:
        return None

    def answers_of(name: str) -> list[Answer]:
        return read_answers(answers_path(run, name))

    task, known = tasks.by_name(run.recipe.data.task), data.labels(run)
    by_system = {
        name: changes(task, known, items, answers_of(name), answers_of(constrained(name)))
        for name in systems
        if constrained(name) in systems
    }
    forbidden = made.facts.test_outputs_forbidden
    return {**made.facts.constraint, "test_outputs_forbidden": forbidden, "changes": by_system}


def changes(
    task: Task,
    known: frozenset[str],
    items: Sequence[Example],
    free: Sequence[Answer],
    bound: Sequence[Answer],
) -> dict[str, Any]:
    """How answers under a constraint differ from free ones: how many, how many of them are better and worse by
    exact, then equivalent, function and valid; and examples, worse ones first."""
    counts = {"changed": 0, "better": 0, "worse": 0}
    examples: list[dict[str, Any]] = []
    for example, before, after in zip(items, free, bound, strict=True):
        if before.text.strip() == after.text.strip():
            continue
        worth = [
            (grade.exact, grade.equivalent, bool(grade.function), grade.valid)
            for text in (before.text, after.text)
            for grade in [task.grade(text, example.output, example.accept, known)]
        ]
        kind = "better" if worth[1] > worth[0] else "worse" if worth[1] < worth[0] else "as good"
        counts["changed"] += 1
        if kind in counts:
            counts[kind] += 1
        examples.append(
            {
                "input": example.input,
                "expected": example.output,
                "free": before.text.strip(),
                "constrained": after.text.strip(),
                "part": example.part,
                "kind": kind,
            }
        )
    examples.sort(key=lambda row: ("worse", "better", "as good").index(row["kind"]))
    return {**counts, "examples": examples[:CHANGED]}


def headline_system(formats: Sequence[str]) -> str:
    """The file whose errors the report shows: Q8_0 where it is built, else Q4_0, else the first."""
    preferred = [name for name in ("Q8_0", "Q4_0") if name in formats] or list(formats)
    return shipped(preferred[0])


def confusion(task: Task, grades: Sequence[Grade], items: Sequence[Example]) -> list[dict[str, Any]]:
    """How often each wrong label was answered for each expected one, most frequent first."""
    pairs = Counter(
        (task.label(example.output) or "", grade.label or INVALID)
        for grade, example in zip(grades, items, strict=True)
        if grade.function is False
    )
    return [
        {"expected": expected, "answered": answered, "count": count}
        for (expected, answered), count in sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    ]


def worst(
    task: Task, grades: Sequence[Grade], items: Sequence[Example], answers: Sequence[Answer]
) -> list[dict[str, Any]]:
    """Up to twenty wrong answers: invalid ones, then those with wrong labels, then the least similar."""

    def badness(i: int) -> tuple[bool, bool, float, int]:
        return (grades[i].valid, bool(grades[i].function), _overlap(answers[i].text, items[i].output), i)

    wrong = sorted((i for i, grade in enumerate(grades) if not grade.equivalent), key=badness)
    return [
        {
            "input": items[i].input,
            **_pictures(items[i]),
            "expected": items[i].output,
            "answered": answers[i].text.strip(),
            "part": items[i].part,
            "kind": _kind(task, grades[i]),
        }
        for i in wrong[:WORST]
    ]


def _pictures(example: Example) -> dict[str, list[str]]:
    """Of an example with pictures, the paths of the run's copies from its folder, where the page lies too."""
    names = [f"data/{PICTURES}/{Path(one.path).name}" for one in example.images if one.path]
    return {"pictures": names} if names else {}


def _kind(task: Task, grade: Grade) -> str:
    if not grade.valid:
        return "invalid"
    return f"wrong {task.words.label}" if grade.function is False else task.words.wrong


def _overlap(answer: str, output: str) -> float:
    """The share of words that two texts have in common, counted with repeats (Dice's coefficient)."""
    a, b = Counter(answer.split('"')), Counter(output.split('"'))
    return 2 * sum((a & b).values()) / max(1, sum(a.values()) + sum(b.values()))


def html(document: dict[str, Any]) -> str:
    """One page that needs nothing else: no script, no network. Raises MissingExtraError without jinja2."""
    template = environment().get_template("report.html.j2")
    baselines = [name for name in document["systems"] if name in document["test"]["baseline_items"]]
    return template.render(
        report=document,
        words=tasks.by_name(document["task"]).words,
        best=max(baselines, key=lambda name: document["systems"][name]["exact"], default=None),
        heat=heat(document["confusion"]),
        curves=curves.of_training(document["train"]),
        rollouts=curves.of_rollouts(document["train"]),
        front=front(document.get("front") or []),
        risks=risks(document),
        bounds=update.bounds,
    )


def environment() -> jinja2.Environment:
    """For the pages' templates. Raises MissingExtraError without jinja2."""
    try:
        import jinja2
    except ModuleNotFoundError:
        raise MissingExtraError("jinja2", "eval") from None
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parents[2] / "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": percent,
        "size": size,
        "figure": figure,
        "title": title,
        "humps": humps,
        "signed": signed,
        "share": share,
        "probability": lambda logarithm: f"{math.exp(logarithm):.4f}",
    }
    return made


def risks(document: dict[str, Any]) -> curve.Drawing | None:
    """Risk over coverage, in per cent, of the headline's answers on the test set, free and constrained."""
    names = {"free": document["headline"], "constrained": constrained(document["headline"])}
    rows = [
        {"coverage": 100 * point["coverage"], label: 100 * point["risk"]}
        for label, name in names.items()
        for point in document["systems"].get(name, {}).get("sure", {}).get("curve", ())
    ]
    return curve.draw(rows, tuple(names), along="coverage", labels={name: name for name in names})


def front(rows: Sequence[dict[str, Any]]) -> curve.Drawing | None:
    """What `auto` could choose from: losses over megabytes; `chosen` is a point."""
    drawn = [
        {
            "megabytes": row["bytes"] / 1e6,
            "front": row["sum_of_losses"],
            "chosen": row["sum_of_losses"] if row["chosen"] else None,
        }
        for row in rows
    ]
    begin = min((row["megabytes"] for row in drawn), default=0.0)
    return curve.draw(drawn, ("front", "chosen"), along="megabytes", begin=begin)


def heat(pairs: Sequence[dict[str, Any]], limit: int = 12) -> dict[str, Any]:
    """The confused labels as a table: rows expected, columns answered, the most confused `limit` of each."""
    rows: Counter[str] = Counter()
    columns: Counter[str] = Counter()
    for pair in pairs:
        rows[pair["expected"]] += pair["count"]
        columns[pair["answered"]] += pair["count"]
    counts = {(pair["expected"], pair["answered"]): pair["count"] for pair in pairs}
    return {
        "rows": [name for name, _ in rows.most_common(limit)],
        "columns": [name for name, _ in columns.most_common(limit)],
        "counts": counts,
        "most": max(counts.values(), default=1),
    }


TITLES = {
    "zero_shot": "Base: functions listed",
    "few_shot": "Base: fixed examples",
    "retrieval": "Base: nearest examples",
    "nearest": "Nearest example copied",
    "tfidf": "TF-IDF, logistic regression",
    TUNED: "Fine-tuned, float32",
}


# What a system's name may begin with, before its format.
KINDS = {
    shipped(""): "Shipped",
    "adapter_": "Adapter beside",
    "routed_": "Routed,",
    "own_": "A tin of its own,",
    "joint_": "One adapter for all,",
}


def title(system: str) -> str:
    """A system's name in words."""
    name, under, _ = system.partition(constrained(""))
    kind = next((kind for kind in KINDS if name.startswith(kind)), shipped(""))
    words = TITLES.get(name) or f"{KINDS[kind]} {name.removeprefix(kind).upper()}"
    return f"{words}, constrained" if under else words


def humps(name: str) -> Markup:
    """A name that a narrow column may break before its capitals."""
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[a-z])(?=[A-Z])", name))


def percent(fraction: float | None) -> str:
    return "–" if fraction is None else f"{100 * fraction:.1f}"


def signed(points: float) -> str:
    """A difference in per cent points: "+0.4", "−1.6"."""
    return "0.0" if abs(points) < 0.05 else f"{points:+.1f}".replace("-", "−")


def share(value: float | None, of: float | None) -> str:
    """A value in per cent of another."""
    return "–" if value is None or not of else f"{100 * value / of:.0f} %"


def figure(value: float | None) -> str:
    """A number to three digits or more, never in powers of ten."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 1 else f"{value:.3f}"


def size(count: int | None) -> str:
    """Bytes to read, in decimal units."""
    if count is None:
        return "–"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} B"


def table(systems: dict[str, Any]) -> str:
    """The systems as aligned text, for a terminal."""
    head = (
        "system",
        "exact %",
        "95 %",
        "equiv. %",
        "function %",
        "valid %",
        "ms/item",
        "size",
        "memory",
        "items",
    )
    rows = [head]
    for name, s in systems.items():
        low, high = s["exact_interval"]
        rows.append(
            (
                title(name),
                percent(s["exact"]),
                f"{percent(low)}–{percent(high)}",
                percent(s["equivalent"]),
                percent(s["function"]),
                percent(s["valid"]),
                figure(s["ms_per_item"]),
                size(s.get("bytes")),
                size(s["peak_memory"]),
                str(s["items"]),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
