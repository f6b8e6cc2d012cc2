"""Sweeps behind "auto": the best LoRA rate, rank, batch and epochs on bases of several sizes, and a rule.

    python benchmarks/sweep.py examples/home/recipe.toml --work runs/sweep [--bases 2m,8m,smollm2-135m-instruct]
        [--rates 6.25e-4,1.25e-3,2.5e-3,5e-3,1e-2] [--settings rank,batch_tokens,epochs] [--examples 300]
        [--seeds 0] [--budget-minutes 60] [--threads 2]
    python benchmarks/sweep.py examples/home/recipe.toml --work runs/sweep [--examples 300] --fit

For every base the recipe's own values and other ones of each of --settings, one at a time, at every rate. A
base is one that a recipe can name, or such as `8m`: a new model of 8 million parameters, pretrained here for
minutes on the Python reference and this book. Training is the recipe's without augmentation and
quantization-aware training.

A finished point is a line of points-<examples>.jsonl in --work: what stands there is not measured again, so the
sweep can be stopped at any time and goes on where it was (the point under way too). First come the recipe's own
values, on all bases. Prints one line of JSON: points done and left, and the fit of those done (--fit: measures
nothing): by base the best rate, where a parabola in log(rate) through the best point and its neighbours is
lowest; `rule`, the line through these in log(parameters), as `default_learning_rate` would have it; by setting
and base what the best rate gives, and the means over the bases of its loss and seconds to those of the recipe's
own values.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics
from statistics import mean
from typing import Any

from recipe_job import job
from report import add_out, report

import tinsmith
from tinsmith import models
from tinsmith.data.readers import Example
from tinsmith.errors import InputError
from tinsmith.pipeline import recipe as recipes
from tinsmith.train import options as train_options
from tinsmith.train.beginning import scratch
from tinsmith.train.job import Job
from tinsmith.train.run import train

MANY = 1000  # examples, where all are taken: so many labels are read three times
# Other values than the recipe's own, one at a time.
SETTINGS = {"rank": (4, 64), "batch_tokens": (160, 320, 1280), "epochs": (1, 6)}
ANCHOR = 135e6  # parameters at which the rule states its rate
DOCS = Path(__file__).parents[1] / "docs"
PASSES, WORDS, LONGEST = 4, 40, 30  # over the pretraining text; words in a piece of it; letters in a word


@dataclass(frozen=True)
class Point:
    """What is measured."""

    base: str
    rate: float
    rank: int
    batch_tokens: int
    epochs: int
    seed: int


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--bases", default="2m,8m,smollm2-135m-instruct")
    parser.add_argument("--rates", default="6.25e-4,1.25e-3,2.5e-3,5e-3,1e-2")
    parser.add_argument("--settings", default=",".join(SETTINGS), help="those that are varied")
    parser.add_argument("--examples", type=int, help="of the training set, and at most of the validation set")
    parser.add_argument("--seeds", default="0", help="such as 0,1,2")
    parser.add_argument("--budget-minutes", type=float, default=math.inf)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fit", action="store_true", help="measure nothing")
    add_out(parser)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + (0 if args.fit else 60 * args.budget_minutes)
    own = {key: value for key, value in asdict(recipe_options(args)).items() if key in SETTINGS}
    path = args.work / f"points-{args.examples or 'all'}.jsonl"
    done = read(path)
    left = [point for point in planned(args, own) if point not in done]
    while left and time.monotonic() < end:
        done[left[0]] = measured(args, left[0])
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**asdict(left[0]), **done[left[0]]}) + "\n")
        print(f"{len(left)} left: {left[0]}: {done[left[0]]}", file=sys.stderr)
        left.pop(0)
    found = {"done": len(done), "left": len(left), **fitted(done, own)}
    rows = [{"Base": name, **one} for name, one in found["learning_rate"]["bases"].items()]
    report(args.out, found, rows, [int(seed) for seed in args.seeds.split(",")])
    return 0


def recipe_options(args: argparse.Namespace) -> train_options.TrainOptions:
    from tinsmith.pipeline.stages.train.options import options

    return options(recipes.load(args.recipe), args.examples or MANY)


def read(path: Path) -> dict[Point, dict[str, Any]]:
    """The points that were measured. A line that a kill cut short is taken out of the file."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole, _, rest = text.rpartition("\n")
    if rest:
        path.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
    rows = [json.loads(line) for line in whole.splitlines()]
    names = Point.__dataclass_fields__
    return {
        Point(**{name: row[name] for name in names}): {key: row[key] for key in row if key not in names}
        for row in rows
    }


def planned(args: argparse.Namespace, own: dict[str, int]) -> Iterator[Point]:
    varied = {key: SETTINGS[key] for key in args.settings.split(",") if key}
    others = [{**own, key: value} for key, values in varied.items() for value in values if value != own[key]]
    for settings in (own, *others):
        for seed in map(int, args.seeds.split(",")):
            for base in args.bases.split(","):
                for rate in map(float, args.rates.split(",")):
                    yield Point(base, rate, seed=seed, **settings)


def measured(args: argparse.Namespace, point: Point) -> dict[str, Any]:
    """Loss and exact answers are of the best validation of each; None where training diverged."""
    base = base_job(args.recipe, args.work, args.examples, args.threads, point.base)
    values = {key: getattr(point, key) for key in (*SETTINGS, "seed")}
    given = replace(
        base.options,
        learning_rate=point.rate,
        qat=None,
        search=0.0,
        threads=args.threads,
        **values,
    )
    facts = {"parameters": base.spec.parameters}
    begun = time.perf_counter()
    try:
        result = train("lora", replace(base, options=given))
    except InputError as error:
        if "diverged" not in str(error):
            raise
        return {**facts, "loss": None, "exact": None, "seconds": None}
    return {
        **facts,
        "loss": min(one.loss for one in result.validations),
        "exact": max(one.exact for one in result.validations),
        "seconds": round(time.perf_counter() - begun, 1),
    }


@cache
def base_job(recipe: Path, out: Path, examples: int | None, threads: int, name: str) -> Job:
    is_new = re.fullmatch(r"([\d.]+)m", name)
    path = pretrained(int(float(is_new[1]) * 1e6), out / "bases" / name, threads) if is_new else name
    given = recipes.load(recipe)
    assert given.base
    named = replace(given, base=replace(given.base, model=str(path)))
    return job(named, out / "running", examples)


def pretrained(parameters: int, folder: Path, threads: int) -> Path:
    """A new model that has read some English, in plain pieces and, every fourth, as a question and its answer,
    so that it knows the turns of a conversation."""
    if (made := folder / "trained").exists():
        return made
    pieces = list(texts())
    asked = [Example(" ".join(one[: len(one) // 2]), " ".join(one[len(one) // 2 :])) for one in pieces[::4]]
    plain = [" ".join(piece) for piece in pieces]
    shape = train_options.ScratchOptions(parameters, context=512)
    spec = scratch.start(shape, asked, plain, "", 0, folder.name)
    models.save_hf(spec, folder / "start")
    model = tinsmith.load(folder / "start", threads=1)
    given = train_options.TrainOptions(
        task="chat", epochs=PASSES, batch_tokens=2048, threads=threads, **train_options.SCRATCH_DEFAULTS
    )
    held = len(asked) // 20
    full = Job(
        spec=spec,
        examples=asked[held:],
        validation=asked[:held],
        options=given,
        out_dir=folder,
        encode=lambda text: model.tokenize(text, special=True),
        texts=plain,
        is_new=True,
    )
    begun = time.perf_counter()
    result = train("full", full)
    losses = [round(one.loss, 3) for one in result.validations]
    print(f"{folder.name}: pretrained in {time.perf_counter() - begun:.0f} s: losses {losses}", file=sys.stderr)
    return result.folder


def texts() -> Iterator[list[str]]:
    """Words of the Python reference and of this book, in pieces; no control tokens, which it names."""
    for text in (*topics.values(), *(page.read_text(encoding="utf-8") for page in sorted(DOCS.rglob("*.md")))):
        words = [word for word in text.split() if len(word) <= LONGEST and "<|" not in word]
        for begin in range(0, len(words) - 1, WORDS):
            piece = words[begin : begin + WORDS]
            if len(piece) > 1:
                yield piece


def fitted(done: dict[Point, dict[str, Any]], own: dict[str, int]) -> dict[str, Any]:
    bases = {point.base: row["parameters"] for point, row in done.items()}
    at_own = {base: best(curve(done, base, own)) for base in bases}
    rates = {
        base: {"parameters": parameters, **found}
        for base, parameters in bases.items()
        if (found := at_own[base])
    }
    settings: dict[str, Any] = {}
    for key, values in SETTINGS.items():
        settings[key] = {
            value: compared({base: best(curve(done, base, {**own, key: value})) for base in rates}, at_own)
            for value in sorted({own[key], *values})
        }
    return {"learning_rate": {"bases": rates, "rule": rule(list(rates.values()))}, **settings}


def compared(found: dict[str, Any], at_own: dict[str, Any]) -> dict[str, Any]:
    pairs = [(row, at_own[base]) for base, row in found.items() if row]
    ratios = {
        f"{key}_ratio": round(mean(row[key] / own[key] for row, own in pairs), 4) if pairs else None
        for key in ("loss", "seconds")
    }
    return {**ratios, "bases": found}


def curve(done: dict[Point, dict[str, Any]], base: str, settings: dict[str, int]) -> list[dict[str, Any]]:
    """By rate, rising, the means over the seeds; a rate at which training diverged is none."""
    by_rate: dict[float, list[dict[str, Any]]] = {}
    for point, row in done.items():
        if point.base == base and all(getattr(point, key) == value for key, value in settings.items()):
            by_rate.setdefault(point.rate, []).append(row)
    keys = ("loss", "exact", "seconds")
    return [
        {"rate": rate, **{key: mean(row[key] for row in rows) for key in keys}}
        for rate, rows in sorted(by_rate.items())
        if all(row["loss"] is not None for row in rows)
    ]


def best(points: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The best point, its rate moved to where the parabola in log(rate) through it and its neighbours is
    lowest; at_edge: it has not both, so that the best rate may lie beyond."""
    if not points:
        return None
    place = min(range(len(points)), key=lambda number: points[number]["loss"])
    row, at_edge = points[place], place in (0, len(points) - 1)
    rate = row["rate"]
    if not at_edge:
        (x0, y0), (x1, y1), (x2, y2) = [
            (math.log(one["rate"]), one["loss"]) for one in points[place - 1 : place + 2]
        ]
        left, right = (x1 - x0) * (y1 - y2), (x1 - x2) * (y1 - y0)
        rate = math.exp(x1 - 0.5 * ((x1 - x0) * left - (x1 - x2) * right) / (left - right))
    shown = {key: round(row[key], 4) for key in ("loss", "exact", "seconds")}
    return {"rate": float(f"{rate:.3g}"), **shown, "at_edge": at_edge}


def rule(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The least squares' line of log(rate) in log(parameters); None of fewer than two bases."""
    if len({row["parameters"] for row in rows}) < 2:
        return None
    xs = [math.log(row["parameters"] / ANCHOR) for row in rows]
    ys = [math.log(row["rate"]) for row in rows]
    x, y = mean(xs), mean(ys)
    slope = sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs)
    middle = math.exp(y - slope * x)
    off = max(abs(b - (y + slope * (a - x))) for a, b in zip(xs, ys, strict=True))
    return {
        "rate": f"{middle:.2g} * (135e6 / parameters) ** {-slope:.2f}",
        "at_135m": float(f"{middle:.3g}"),
        "exponent": round(-slope, 3),
        "off_by_at_most": round(math.exp(off), 2),
    }


if __name__ == "__main__":
    sys.exit(main())
