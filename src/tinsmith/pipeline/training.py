"""The train stage: an adapter of the base, or where there is none a whole model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.formats.model_files import model_digest
from tinsmith.pipeline import augmentation, contents, data, roughest, sources, update
from tinsmith.pipeline.data import Data
from tinsmith.pipeline.recipe import Recipe
from tinsmith.pipeline.recipe_tables import SEARCH, SEARCH_BUDGET
from tinsmith.pipeline.run import SPELL, Made, Record, Run, digest_of
from tinsmith.pipeline.training_progress import Progress
from tinsmith.system import files
from tinsmith.system.progress import Bar
from tinsmith.train import methods, rules
from tinsmith.train.adapters import peft_folder
from tinsmith.train.events import (
    CONTINUED,
    NEW_TEST,
    NEW_VALIDATION,
    OLD_TEST,
    OLD_VALIDATION,
    RETRAINED,
    Event,
    Point,
    Rolled,
    Seeded,
    Trial,
    Updated,
    Validated,
)
from tinsmith.train.options import (
    AUTO_DEVICE,
    BASE_TEACHER,
    SCRATCH_DEFAULTS,
    UPDATE_EPOCHS,
    UPDATE_SHARE,
    TrainOptions,
)
from tinsmith.train.quantized import qat_adapter
from tinsmith.train.reinforcement import rewards
from tinsmith.train.steps import logs
from tinsmith.train.trials import finished

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinsmith.constraint import Constraint
    from tinsmith.data.readers import Example
    from tinsmith.quant.presets import Mix
    from tinsmith.spec import Spec
    from tinsmith.train.batches.sequences import Encode
    from tinsmith.train.events import TrainResult
    from tinsmith.train.job import Job
    from tinsmith.train.quantized.qat_adapter import Preparation
    from tinsmith.train.update import Plan


FINISHED = "trained.json"  # beside an adapter's folder: what its training came to, and from what


@dataclass(frozen=True)
class Needs:
    data: Record[Data]


@dataclass(frozen=True)
class Qat:
    """format: whose errors it was trained under; note, steps, seconds, curve: as of Trained, of it alone;
    validations: under these errors."""

    format: str
    note: str
    steps: int
    seconds: float
    validations: list[Validated]
    curve: list[Point] = field(default_factory=list)


@dataclass(frozen=True)
class Trained:
    """note: how the learning rate was chosen; tokens, seconds: of all steps, of every seed; curve: the loss
    after each, of the best seed; trials: of learning rates, the best last; seeds: of several runs, the mean
    last; update: what became of an adapter that learned new examples; qat: an adapter of its own for files of
    quantized weights; rollouts: of each step, where answers are drawn."""

    learning_rate: float
    note: str
    steps: int
    tokens: int
    seconds: float
    curve: list[Point]
    validations: list[Validated]
    trials: list[Trial] = field(default_factory=list)
    seeds: list[Seeded] = field(default_factory=list)
    update: Updated | None = None
    qat: Qat | None = None
    rollouts: list[Rolled] = field(default_factory=list)


def seconds_of(trained: Record[Trained]) -> float:
    """What training took. The record has the seconds of the process that ended it, and the facts those of all
    steps, whichever process took them."""
    facts = trained.facts
    steps = sum(facts.update.seconds.values()) if facts.update else facts.seconds
    return round(max(trained.seconds, steps + (facts.qat.seconds if facts.qat else 0)), 3)


def folder_name(recipe: Recipe) -> str:
    """Of what is trained, in the run's folder: an adapter, or a whole model."""
    return methods.by_name(recipe.train.method).folder


def inputs(run: Run, needs: Needs) -> dict[str, Any]:
    stated, base = run.recipe.data, needs.data.facts.base
    teacher = teacher_path(run.recipe, base.path)
    # What was trained stays, wherever it was: another device is no other model.
    made = has_variants(needs.data)
    examples = needs.data.facts.counts["train"]
    forward_pass = rules.forward_pass(base.family)
    train = {
        **dataclasses.asdict(run.recipe.train),
        "epochs": run.recipe.passes(examples, made),
        "originals_once": run.recipe.reads_originals_once(examples, made),
    }
    return {
        "train": {key: value for key, value in train.items() if key != "device"},
        "qat": roughest.inputs(run, needs.data),
        "task": stated.task,
        "system": stated.system,
        "base": base.sha256,
        "template": base.template,
        **({SPELL: True} if run.recipe.quotes_input else {}),
        "data": list(data.model_data(needs.data).values()),
        **({"teacher": model_digest(teacher)} if teacher and teacher.exists() else {}),
        "augmented": needs.data.facts.augmentation is not None,
        **({"forward_pass": forward_pass} if forward_pass else {}),
        **update_inputs(run, needs),
        **reward_inputs(run, needs),
    }


def has_variants(made: Record[Data]) -> bool:
    """Whether others were made of the examples."""
    return made.facts.augmentation is not None


def reward_inputs(run: Run, needs: Needs) -> dict[str, Any]:
    """Of what rollouts are held to, and of the functions that say what they are worth."""
    is_grpo = "reward" in methods.by_name(run.recipe.train.method).keys
    held = is_grpo and needs.data.facts.constraint is not None
    scored = [files.sha256_file(path) for path in reward_files(run.recipe)]
    return {
        **({"held": needs.data.digests[data.ANSWER]} if held else {}),
        **({"scored": scored} if scored else {}),
    }


def held_to(run: Run, facts: dict[str, Any] | None) -> Constraint | None:
    """The recipe's constraint, compiled. facts: what a tin's manifest says of it."""
    from tinsmith.constraint import Constraint

    if facts is None:
        return None
    return Constraint.of_bytes(facts["kind"], (run.folder / data.ANSWER).read_bytes())


def reward_files(recipe: Recipe) -> list[Path]:
    places = map(rewards.of_function, recipe.train.reward or ())
    return [recipe.resolve(place[0]) for place in places if place]


def update_inputs(run: Run, needs: Needs) -> dict[str, Any]:
    """The old and the new tests decide no weight, but they are measured here."""
    stated, start = run.recipe.update, update.folder(run.recipe)
    if stated is None or start is None:
        return {}
    more: dict[str, Any] = {}
    if new := needs.data.facts.new:
        count, made = needs.data.facts.counts["train"] - new.train, has_variants(needs.data)
        chosen = options(run.recipe, count, made=made, goes_on=True)
        whole = run.recipe.reads_originals_once(needs.data.facts.counts["train"], made)
        more = {
            "new": dataclasses.asdict(new),
            "epochs": chosen.epochs,
            **({} if chosen.originals_once == whole else {"originals_once": chosen.originals_once}),
            "retrain": stated.retrain,
            "test": needs.data.digests[data.split_name("test")],
        }
    rate = {"learning_rate": stated.learning_rate}
    return {"update": {"adapter": peft_folder.digest_of(start), **rate, **more}}


def teacher_path(recipe: Recipe, base: str) -> Path | None:
    """base: the path of the base's model."""
    given = recipe.train.teacher
    if given is None or given == BASE_TEACHER:
        return Path(base) if given else None
    return recipe.resolve(given)


def before(run: Run, needs: Needs) -> dict[str, Any]:
    """What training did in versions that had no keys for it: it took the base's own template with the system
    message, chose the layers itself, and had the recipe's examples alone."""
    stated = run.recipe.data
    states_more = stated.thinking is not None or stated.date is not None
    states_more = states_more or stated.show_tools or bool(stated.quote_input)
    epochs, goes_on = run.recipe.train.epochs, needs.data.facts.new is not None
    return {
        "template": None if states_more else needs.data.facts.base.template,
        "train": {
            "targets": "auto",
            "parts": TrainOptions.parts,
            "method": "full" if run.recipe.scratch else methods.DEFAULT,
            "average": 0.0,
            "qat": "auto",
            "beta": TrainOptions.beta,
            "teacher": None,
            "prefix_length": TrainOptions.prefix_length,
            "seeds": TrainOptions.seeds,
            "reward": None,
            "rollouts": TrainOptions.rollouts,
            "prompts": TrainOptions.prompts,
            "originals_once": TrainOptions.originals_once,
        },
        "augmented": False,
        # Of AUTO's targets there were only the names.
        "qat": contents.target_inputs(run),
        # Passes over new examples were those of [train].
        **({"update": {"epochs": epochs if isinstance(epochs, int) else UPDATE_EPOCHS}} if goes_on else {}),
    }


def check(run: Run, needs: Needs) -> None:
    """Raises InputError or DataError where training would before its first step, as far as that is seen without
    a network: minutes of other work may stand before it."""
    method = methods.by_name(run.recipe.train.method)
    if run.recipe.train.device != AUTO_DEVICE:
        from tinsmith.train.model import devices

        devices.choose(run.recipe.train.device)
    job = job_of(run, needs.data, base_of(run, needs))
    method.check(job)
    method.check_lengths(job)
    if job.options.targets:
        from tinsmith.train.model import network

        network.adapted(job.spec, job.options)


def make(run: Run, needs: Needs) -> Made[Trained]:
    from tinsmith.train.steps import together

    together.call(run.recipe)
    result, outcome, qat = train(run, needs)
    if result.rollouts and all(step.alike == step.prompts for step in result.rollouts):
        run.display.line(
            "train: warning: nothing was learned, since in no step a prompt had answers that were worth more "
            "than others; teach the base with examples first and go on from there, or reward parts of an answer"
        )
    facts = Trained(
        learning_rate=result.learning_rate,
        note=result.note,
        steps=result.steps,
        tokens=result.tokens,
        seconds=result.seconds,
        curve=[Point(step, loss) for step, loss in result.curve],
        validations=result.validations,
        trials=result.trials,
        seeds=result.seeds,
        update=outcome,
        qat=qat,
        rollouts=result.rollouts,
    )
    folders = [result.folder, *([qat_folder(run)] if qat else [])]
    return Made(sorted(path for folder in folders for path in folder.iterdir() if path.is_file()), facts)


def qat_folder(run: Run) -> Path:
    """Of the adapter for low-precision files."""
    return run.folder / qat_adapter.FOLDER / folder_name(run.recipe)


def train(run: Run, needs: Needs) -> tuple[TrainResult, Updated | None, Qat | None]:
    spec = base_of(run, needs)
    for note in spec.notes:
        run.display.line(f"base: {note}")
    with run.display.bar("train", 1) as bar:
        preparation = roughest.choose(run, needs.data, spec)
        if preparation is None or methods.by_name(run.recipe.train.method).one_adapter:
            return *first(run, needs, bar, job_of(run, needs.data, spec, preparation)), None
        job = job_of(run, needs.data, spec)
        result, outcome = first(run, needs, bar, job)
        return result, outcome, prepared(run, needs, bar, job, result, preparation)


def base_of(run: Run, needs: Needs) -> Spec:
    """With the chat template that is trained under."""
    from tinsmith import models

    spec = models.load(needs.data.facts.base.path)
    if spec.chat_template is None:
        return spec
    return dataclasses.replace(spec, chat_template=data.settled(run.recipe, spec.chat_template))


def first(run: Run, needs: Needs, bar: Bar, job: Job) -> tuple[TrainResult, Updated | None]:
    """What the recipe trains, once: other files to build may want another adapter beside it."""
    if needs.data.facts.new is not None:
        return updated(run, needs, bar, job)

    def train_one() -> TrainResult:
        return trained(run, bar, job, run.folder / logs.FOLDER)

    earlier = inputs(run, needs)
    if job.options.qat is None:
        del earlier["qat"]
    digest = digest_of(decisive(run, needs, job))
    return finished.once(run.folder / FINISHED, digest, train_one, digest_of(earlier)), None


def decisive(run: Run, needs: Needs, job: Job) -> dict[str, Any]:
    """The inputs that the job sees; of [train], what it does not is as if it were not stated."""
    found = inputs(run, needs)
    if job.options.qat is None:
        del found["qat"]
        found["train"]["qat"] = "auto"
    return found


def decisive_of_both(run: Run, needs: Needs, job: Job) -> dict[str, str]:
    """Digests, by training, of what decides it: not its tests, nor whether there is the other."""
    whole = decisive(run, needs, job)
    seen = untested(whole.pop("update"))
    return {CONTINUED: digest_of({**whole, "update": seen}), RETRAINED: digest_of(whole)}


def untested(added: dict[str, Any]) -> dict[str, Any]:
    """What [update] decides of a training."""
    seen = {key: value for key, value in added.items() if key not in ("retrain", "test")}
    if "new" in added:
        seen["new"] = {key: value for key, value in added["new"].items() if key != "test"}
    return seen


def prepared(run: Run, needs: Needs, bar: Bar, job: Job, result: TrainResult, preparation: Preparation) -> Qat:
    """The adapter for low-precision files."""
    name = preparation.preset if isinstance(preparation.preset, str) else preparation.preset.name
    run.display.line(f"train: quantization-aware training for {name}, from the first adapter")
    further = qat_adapter.job_of(job, result, preparation)

    def train_one() -> TrainResult:
        return trained(run, bar, further, run.folder / logs.FOLDER / qat_adapter.FOLDER)

    begun = {"start": peft_folder.digest_of(result.folder), "rate": result.learning_rate}
    decided = {**decisive(run, needs, job), "qat": roughest.inputs(run, needs.data), **begun}
    if "update" in decided:
        decided["update"] = untested(decided["update"])
    second = finished.once(further.out_dir / FINISHED, digest_of(decided), train_one)
    curve = [Point(step, loss) for step, loss in second.curve]
    return Qat(name, second.note, second.steps, second.seconds, second.validations, curve)


def trained(run: Run, bar: Bar, job: Job, log: Path) -> TrainResult:
    """log: the folder that curves are written to, where they are."""
    from tinsmith.train.run import train

    method = run.recipe.train.method
    progress = Progress(run.display, bar, methods.by_name(method).found)
    if run.log is None:
        return train(method, job, progress.show)
    with logs.opened(run.log, log) as write:

        def note(event: Event) -> None:
            progress.show(event)
            write(event)

        return train(method, job, note)


def updated(run: Run, needs: Needs, bar: Bar, job: Job) -> tuple[TrainResult, Updated]:
    """The adapter with the new examples too, and what became of the old ones."""
    from tinsmith.train.update import update as learn

    def train_one(name: str, one: Job) -> TrainResult:
        return trained(run, bar, one, run.folder / logs.FOLDER / name)

    result, outcome = learn(plan(run, needs, job), train_one, run.display.line)
    for line in update.lines(outcome):
        run.display.line(line)
    return result, outcome


def job_of(run: Run, made: Record[Data], spec: Spec, preparation: Preparation | None = None) -> Job:
    """All that is learned, from the beginning or where an adapter is; every other step under what is prepared
    for, if anything is."""
    import tinsmith
    from tinsmith.train.job import Job

    base = made.facts.base.path
    tokenizer = tinsmith.load(base)

    def encode(text: str) -> list[int]:
        return tokenizer.tokenize(text, special=True)

    variants = data.augmented(run)
    preset = preparation.preset if preparation else None
    job = Job(
        spec=spec,
        examples=data.examples(run, "train"),
        validation=data.examples(run, "validation"),
        options=options(
            run.recipe,
            made.facts.counts["train"],
            preset,
            made=has_variants(made),
            goes_on=made.facts.new is None,
        ),
        out_dir=run.folder,
        encode=encode,
        variants=variants,
        texts=sources.texts(run),
        preferences=sources.preferences(run),
        teacher=teacher_path(run.recipe, base),
        is_new=run.recipe.scratch is not None,
        feedback=preparation.feedback if preparation else None,
        feedback_of=preparation.feedback_of if preparation else "",
        start=update.folder(run.recipe),
        base_sha256=(spec.source or made.facts.base.sha256) if run.recipe.base else "",
        constraint=held_to(run, made.facts.constraint),
        context=contents.context_of(run, spec),
        reward_digest="".join(files.sha256_file(path) for path in reward_files(run.recipe)),
    )
    check_asked(run, spec, encode)
    return job


def check_asked(run: Run, spec: Spec, encode: Encode) -> None:
    """Raises DataError for a test example that fills a session of what is built before its answer begins. spec:
    with the template that it is asked under."""
    from tinsmith.train.batches.sequences import Tokenization

    if spec.chat_template is not None:  # else nothing can be asked
        stated, context = run.recipe.data, contents.context_of(run, spec) or spec.hyper.context
        asking = Tokenization(spec, encode, stated.task, stated.system, context, "context")
        asking.check_asked(data.examples(run, "test"), context)


def check_built(run: Run, made: Record[Data]) -> None:
    """As check_asked, of a context that may have changed since training."""
    import tinsmith

    base = Path(made.facts.base.path)
    tokenizer = tinsmith.load(base)
    check_asked(run, data.shipped(run.recipe, base), partial(tokenizer.tokenize, special=True))


def plan(run: Run, needs: Needs, job: Job) -> Plan:
    """Of the job, the new examples on top of the old ones, or all of them anew."""
    from tinsmith.train.update import Plan

    stated, new = run.recipe.update, needs.data.facts.new
    assert stated and new  # there are new examples
    count = len(job.examples) - new.train
    more = options(run.recipe, count, job.options.qat, made=has_variants(needs.data), goes_on=True)
    further = dataclasses.replace(
        job,
        examples=job.examples[count:],
        known=job.examples[:count],
        variants=[augmentation.without_first(made, count) for made in job.variants],
        options=more,
    )
    splits = {
        (OLD_TEST, NEW_TEST): (data.examples(run, "test"), new.test),
        (OLD_VALIDATION, NEW_VALIDATION): (job.validation, new.validation),
    }
    sets: dict[str, Sequence[Example]] = {}
    for (old_name, new_name), (rows, added) in splits.items():
        sets[old_name] = rows[: len(rows) - added]
        if added:
            sets[new_name] = rows[len(rows) - added :]
    whole = dataclasses.replace(job, start=None)
    digests = decisive_of_both(run, needs, job)
    return Plan(further, whole, stated.retrain, sets, digests, digest_of(inputs(run, needs)))


def options(
    recipe: Recipe,
    examples: int,
    preset: str | Mix | None = None,
    made: bool = False,
    *,
    goes_on: bool = False,
) -> TrainOptions:
    """[train] as training takes it, where "auto" is what is left out. examples, made: as for Recipe.passes;
    preset: what training prepares for; goes_on: from the adapter of [update], if there is one."""
    update = recipe.update if goes_on else None
    further = update is not None and update.data is not None
    passes, once = recipe.passes(examples, made), recipe.reads_originals_once(examples, made)
    if update and further:
        stated = update.epochs
        passes = stated if isinstance(stated, int) else max(UPDATE_EPOCHS, round(UPDATE_SHARE * passes))
        once = bool(recipe.train.originals_once)  # the new ones are few
    values = {**dataclasses.asdict(recipe.train), "epochs": passes, "originals_once": once}
    if update:
        gentle = methods.by_name(recipe.train.method).gentle
        rate = values["learning_rate"]
        values |= {"gentle": gentle}
        if update.learning_rate != "auto":
            values["learning_rate"] = update.learning_rate
        elif isinstance(rate, float | int) and gentle != 1:
            values |= {"learning_rate": rate * gentle, "given": rate}
    del values["method"]
    if values["learning_rate"] == SEARCH:
        values |= {"search": SEARCH_BUDGET, "learning_rate": None}
    for key, left_out in (("learning_rate", None), ("targets", ())):
        if values[key] == "auto":
            values[key] = left_out
    stated = values.pop("reward")
    if stated:
        places = {name: rewards.of_function(name) for name in stated}
        files_too = {name: f"{recipe.resolve(place[0])}:{place[1]}" for name, place in places.items() if place}
        values["reward"] = {files_too.get(name, name): weight for name, weight in stated.items()}
    values["qat"] = preset
    values["renew"] = methods.by_name(recipe.train.method).renew
    more = SCRATCH_DEFAULTS if recipe.scratch else {}
    if recipe.base:
        more = {**more, "weights": recipe.base.weights}
    return TrainOptions(task=recipe.data.task, system=recipe.data.system, **{**values, **more})
