"""What a recipe runs: data → baselines → train → merge → build → verify → evaluate → seal → report."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import files
from tinsmith.pipeline import build, measure, report
from tinsmith.pipeline import data as dataset
from tinsmith.pipeline import seal as sealing
from tinsmith.pipeline.recipe import Recipe
from tinsmith.pipeline.run import Made, Run, Stage, opened
from tinsmith.progress import Bar, Display

if TYPE_CHECKING:
    from tinsmith.train.options import Event


def train_inputs(run: Run) -> dict[str, Any]:
    data = run.recipe.data
    return {
        "train": dataclasses.asdict(run.recipe.train),
        "rough": rough_format(run.recipe),
        "task": data.task,
        "system": data.system,
        "base": run.facts("data")["base"]["sha256"],
        "template": run.facts("data")["base"]["template"],
        "data": list(build.data_digests(run).values()),
    }


def rough_format(recipe: Recipe) -> str | None:
    """The shipped format whose errors training should prepare for; 8 bits need no preparation."""
    return "Q4_0" if "Q4_0" in recipe.build.formats else None


def train(run: Run) -> Made:
    """An adapter of the base, or where there is none a whole model."""
    import tinsmith
    from tinsmith import models
    from tinsmith.train import lora, scratch
    from tinsmith.train.options import SCRATCH_DEFAULTS

    recipe = run.recipe
    base = run.facts("data")["base"]["path"]
    tokenizer, spec = tinsmith.load(base), models.load(base)
    for note in spec.notes:
        run.display.line(f"base: {note}")
    if spec.chat_template is not None:
        spec = dataclasses.replace(spec, chat_template=dataset.settled(recipe, spec.chat_template))
    values = dataclasses.asdict(recipe.train)
    if values["learning_rate"] == "auto":
        values["learning_rate"] = None
    if values["targets"] == "auto":
        values["targets"] = ()
    more = SCRATCH_DEFAULTS if recipe.scratch else {"rough": rough_format(recipe)}
    options = lora.TrainOptions(task=recipe.data.task, system=recipe.data.system, **more, **values)
    examples, validation = (dataset.examples(run, split) for split in ("train", "validation"))

    def encode(text: str) -> list[int]:
        return tokenizer.tokenize(text, special=True)

    with run.display.bar("train", 1) as bar:

        def tell(event: Event) -> None:
            show(event, run.display, bar)

        if recipe.scratch:
            texts = dataset.texts(run)
            result = scratch.train(spec, examples, validation, texts, options, run.folder, encode, tell)
        else:
            result = lora.train(spec, examples, validation, options, run.folder, encode, tell)
    facts = {
        "learning_rate": result.learning_rate,
        "note": result.note,
        "steps": result.steps,
        "tokens": result.tokens,
        "seconds": result.seconds,
        "curve": [{"step": step, "loss": loss} for step, loss in result.curve],
        "validations": [dataclasses.asdict(validated) for validated in result.validations],
    }
    return Made(sorted(path for path in result.folder.iterdir() if path.is_file()), facts)


def show(event: Event, display: Display, bar: Bar) -> None:
    """An event of training, to a reader: steps move the bar, the others are lines that stay."""
    from tinsmith.train.options import Started, Step

    if isinstance(event, Started):
        display.line(f"train: {event.steps} steps, {event.note}")
    elif isinstance(event, Step):
        bar.update(event.step, f"loss {event.loss:.3f}, {event.tokens_per_second:,.0f} tokens/s", event.steps)
    else:
        best = ", the best so far" if event.best else ""
        display.line(
            f"train: epoch {event.epoch}: validation loss {event.loss:.4f}, {event.exact:.1%} exact{best}"
        )


def merge_inputs(run: Run) -> dict[str, Any]:
    return {
        "base": run.facts("data")["base"]["sha256"],
        "trained": run.digests("train"),
        "template": run.facts("data")["base"]["template"],
    }


def merge(run: Run) -> Made:
    """The float32 model, base and adapter in one, as a Hugging Face folder.

    Its chat template is the one that it was trained under, the recipe's system message its default.
    """
    from tinsmith import models
    from tinsmith.train import adapter
    from tinsmith.train import merge as merging

    folder = run.folder / "merged"
    if run.recipe.scratch:
        models.save_hf(models.load(run.folder / "trained"), folder)
        return Made(dataset.base_files(folder), {"sha256": dataset.base_digest(folder)})
    spec = models.load(run.facts("data")["base"]["path"])
    template = None if spec.chat_template is None else dataset.settled(run.recipe, spec.chat_template)
    adapter.check_template(run.folder / "adapter", template)
    merged = merging.merge(spec, run.folder / "adapter")
    for note in merged.notes[len(spec.notes) :]:
        run.display.line(f"merge: {note}")
    general = {**merged.general, "name": run.recipe.name}
    models.save_hf(dataclasses.replace(merged, general=general), folder)
    return Made(dataset.base_files(folder), {"sha256": dataset.base_digest(folder)})


def baseline_inputs(run: Run) -> dict[str, Any]:
    data, settings = run.recipe.data, run.recipe.eval
    return {
        "base": run.facts("data")["base"]["sha256"],
        "data": [run.digests("data")[f"data/{name}.jsonl"] for name in ("train", "test")],
        "tools": files.sha256_file(run.recipe.resolve(data.tools)) if data.tools else None,
        "task": data.task,
        "system": data.system,
        "thinking": data.thinking,
        "date": data.date,
        "eval": dataclasses.asdict(settings),
    }


def evaluate_inputs(run: Run) -> dict[str, Any]:
    settings = dataclasses.asdict(run.recipe.eval)
    for baselines_only in ("baselines", "baseline_limit", "shots"):
        del settings[baselines_only]
    return {
        "built": run.digests("build"),
        "merged": run.digests("merge"),
        "data": run.digests("data")["data/test.jsonl"],
        "task": run.recipe.data.task,
        "system": run.recipe.data.system,
        "eval": settings,
    }


def report_inputs(run: Run) -> dict[str, Any]:
    stages = run.state["stages"]
    return {
        "recipe": run.recipe.sha256,
        "stages": {name: [stages[name]["inputs_sha256"], stages[name]["outputs"]] for name in REPORTED},
    }


REPORTED = ("data", "baselines", "train", "merge", "build", "verify", "evaluate", "seal")
STAGES = (
    Stage("data", (), dataset.data_inputs, dataset.data),
    Stage("baselines", ("data",), baseline_inputs, measure.baselines),
    Stage("train", ("data",), train_inputs, train),
    Stage("merge", ("train",), merge_inputs, merge),
    Stage("build", ("merge",), build.build_inputs, build.build),
    Stage("verify", ("build",), build.verify_inputs, build.verify),
    Stage("evaluate", ("verify",), evaluate_inputs, measure.evaluate),
    Stage("seal", ("evaluate",), sealing.seal_inputs, sealing.seal),
    Stage("report", REPORTED, report_inputs, report.report),
)


def default_folder(recipe: Recipe) -> Path:
    return Path("runs") / recipe.name


def make(recipe: Recipe, folder: Path | None, display: Display, goal: str = "report") -> Run:
    """Brings the stage `goal`, and all it needs, up to date in `folder` (default: runs/<recipe name>)."""
    with opened(recipe, folder or default_folder(recipe), display) as run:
        if recipe.build.target and goal != "data":
            run.update(STAGES, ["data"])
            build.check_target(run)
        run.update(STAGES, [goal])
        return run
