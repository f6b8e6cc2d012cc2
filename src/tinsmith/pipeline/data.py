"""The data stage: the base, and the examples as the run uses them."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith import tasks
from tinsmith.data.row_tools import has_rows, tools_of_rows
from tinsmith.data.splits import shared_inputs
from tinsmith.errors import DataError, InputError, TinsmithError
from tinsmith.formats.model_files import model_bytes, model_digest, model_files, remove_model
from tinsmith.pipeline import augmentation, constraint, drafts, sources, update
from tinsmith.pipeline.augmentation import Augmentation
from tinsmith.pipeline.examples import (
    DIVISION,
    Divided,
    columns,
    columns_of,
    digest,
    named_paths,
    pictures_digest,
    read_examples,
    write_examples,
)
from tinsmith.pipeline.examples import read as read_splits
from tinsmith.pipeline.run import Made, Nothing, Record, Run
from tinsmith.pipeline.update import New
from tinsmith.prepare.allowed import Checker
from tinsmith.system import files, reading

if TYPE_CHECKING:
    from tinsmith.data.readers import Example
    from tinsmith.pipeline.recipe import Recipe
    from tinsmith.spec import Spec
    from tinsmith.tasks import Message

# The run's own copies, in its folder.
LICENSES = "data/LICENSES.txt"
ANSWER = "data/answer.bin"  # the constraint, compiled
DRAFT = "data/draft.bin"  # the draft table
NEW_BASE = "base"  # an untrained model, or a GGUF file with its vision half
MODEL, PAIRED = "model.gguf", "mmproj.gguf"


@dataclass(frozen=True)
class Base:
    """What training starts from. name: as the recipe has it, None for a new model; template: the digest of its
    chat template with all that the recipe fixes; parameters: of a new model."""

    name: str | None
    path: str
    sha256: str
    bytes: int
    family: str
    license: str | None
    template: str | None
    parameters: int | None = None


@dataclass(frozen=True)
class Data:
    """constraint: what a tin's manifest says of it; counts, sources: of examples by split; the other numbers
    are of test examples whose output the constraint forbids, or whose input is a training input too; new: how
    many of the examples an adapter is to learn on top of the others; divided: of splits that were made."""

    base: Base
    constraint: dict[str, Any] | None
    test_outputs_forbidden: int
    counts: dict[str, int]
    sources: dict[str, str]
    test_inputs_in_train: int
    augmentation: Augmentation | None = None
    new: New | None = None
    divided: Divided | None = None


def split_name(split: str) -> str:
    """The run's own copy of a split, in its folder."""
    return f"data/{split}.jsonl"


def model_data(made: Record[Data]) -> dict[str, str]:
    """SHA-256 of what the model is made from, by name: the test set is not."""
    splits = {split: split_name(split) for split in ("train", "validation")}
    more = {**splits, **sources.COPIES, "augmented": augmentation.FILE}
    return {name: made.digests[path] for name, path in more.items() if path in made.digests}


def inputs(run: Run, needs: Nothing) -> dict[str, Any]:
    recipe, named = run.recipe, columns(run.recipe)
    read = [*named_paths(recipe).values(), *sources.stated(recipe).values()]
    shown = [pictures_digest(path, named) for path in (*read, *update.sources(recipe).values())]
    more = ("licenses", *(["tools"] if recipe.data.show_tools else []))
    copied = {key: digest(recipe.resolve(path)) for key in more if (path := getattr(recipe.data, key))}
    return {
        **origin(run),
        "data": dataclasses.asdict(recipe.data),
        "sources": [digest(path) for path in read],
        **({"pictures": shown} if any(shown) else {}),
        **copied,
        **({"seed": recipe.train.seed} if recipe.scratch else {}),
        **augmentation.inputs(recipe, any(shown)),
        **update.inputs(recipe),
        "constraint": dataclasses.asdict(recipe.constraint),
        "constraint_source": constraint.source_digest(recipe),
        "following": [dataclasses.asdict(table) for table in constraint.following(recipe)],
    }


def origin(run: Run) -> dict[str, Any]:
    """What training starts from, as the recipe says it; and what its own files hold where copies of them in the
    run's folder are the stage's outputs."""
    recipe = run.recipe
    if recipe.scratch:
        return {"scratch": dataclasses.asdict(recipe.scratch), "context": recipe.build.context}
    assert recipe.base  # the recipe's reader saw to it
    model, half = recipe.base.model, recipe.base.mmproj
    named = [(MODEL, recipe.resolve(model)), (PAIRED, recipe.resolve(half))] if half else []
    halves = {name: run.digest(path, f"{NEW_BASE}/{name}") for name, path in named if path.is_file()}
    return {"base": recipe.base.stated, **({"halves": halves} if halves else {})}


def make(run: Run, needs: Nothing) -> Made[Data]:
    """Gets the base, makes the data where it is missing, and keeps the examples that the run uses."""
    recipe = run.recipe
    base = find_base(run) if recipe.base else None
    make_missing(run, named_paths(recipe))
    read = read_splits(run)
    paths, splits = read.paths, {"train": [], **read.examples}
    wanted = sources.wanted(recipe)
    if recipe.data.limit:
        splits["train"] = splits["train"][: recipe.data.limit]
    given, new = splits, None
    task, added = recipe.data.task, update.sources(recipe)
    if more := {key: read_examples(path, task, columns_of(recipe, path)) for key, path in added.items()}:
        splits, new = update.joined(recipe, given, more)
        run.display.line(update.said(new))
        wanted |= {path: more[key] for key, path in update.sources(recipe).items() if key != "test"}
    outputs = keep(run, {split: splits[split] for split in paths})
    if read.divided is not None:
        outputs.append(run.folder / DIVISION)
    base = base or new_base(run, splits["train"])
    leaked = len(shared_inputs(splits["train"], splits["test"]))
    if leaked:
        run.display.line(f"data: warning: {leaked} test inputs are training inputs too")
    sealed = constraint.of_recipe(recipe, splits["train"])
    forbidden = 0
    if sealed is None:
        sealed = follow_task(run, {"train": splits["train"], **given}, wanted, Path(base.path))
    if sealed is not None:
        outputs.append(run.folder / ANSWER)
        with files.atomic_write(outputs[-1]) as file:
            file.write(sealed.data)
        checked = {**given, "test": splits["test"]}
        forbidden = check_constraint(run, Path(base.path), sealed, paths, checked, wanted)
        for line in constraint.unshown(recipe, splits["train"]):
            run.display.line(f"data: {line}; a small model learns what it is shown")
    if (table := drafts.of_recipe(recipe, splits["train"], shipped(recipe, Path(base.path)))) is not None:
        outputs.append(run.folder / DRAFT)
        with files.atomic_write(outputs[-1]) as file:
            file.write(table)
    further = augmentation.make(run, splits, Path(base.path))
    if further is not None:
        outputs.append(run.folder / augmentation.FILE)
        write_examples(outputs[-1], further[0])
        outputs += augmentation.show_pictures(run, further[0], splits["train"])
    facts = Data(
        base=base,
        constraint=sealed.facts if sealed is not None else None,
        test_outputs_forbidden=forbidden,
        counts={split: len(rows) for split, rows in splits.items()},
        sources={split: str(path) for split, path in paths.items()},
        test_inputs_in_train=leaked,
        augmentation=further[1] if further is not None else None,
        new=new,
        divided=read.divided,
    )
    return Made([*model_files(Path(base.path)), *outputs], facts)


def make_missing(run: Run, paths: Mapping[str, Path]) -> None:
    """Runs the recipe's command, where it states one and something that it names is not there."""
    recipe = run.recipe
    more = [augmentation.without_file(recipe)]
    needed = [*paths.values(), *sources.stated(recipe).values(), *more, constraint.source_file(recipe)]
    if recipe.data.command and any(path is not None and not path.exists() for path in needed):
        run_command(run, recipe.data.command)


def keep(run: Run, splits: Mapping[str, Sequence[Example]]) -> list[Path]:
    """The run's own copies."""
    recipe = run.recipe
    outputs = []
    for split, rows in splits.items():
        outputs.append(run.folder / split_name(split))
        write_examples(outputs[-1], rows)
    if recipe.data.licenses:
        outputs.append(run.folder / LICENSES)
        files.write_text(outputs[-1], reading.read_text(recipe.resolve(recipe.data.licenses), DataError))
    return [*outputs, *sources.copy(run)]


def follow_task(
    run: Run, splits: Mapping[str, Sequence[Example]], wanted: Mapping[Path, Sequence[Example]], base: Path
) -> constraint.Sealed | None:
    """The constraint that follows from the task, where it allows what is taught; why not is said."""
    recipe = run.recipe
    taught = [rows for split, rows in splits.items() if split != "test"]
    outputs = dict.fromkeys(row.output for rows in (*taught, *wanted.values()) for row in rows)
    found = constraint.of_task(recipe, splits["train"], list(outputs), base)
    if isinstance(found, str):
        run.display.line(f"data: no constraint: {found}; [constraint] says what answers may be")
        return None
    return found


def check_constraint(
    run: Run,
    base: Path,
    sealed: constraint.Sealed,
    paths: Mapping[str, Path],
    splits: Mapping[str, Sequence[Example]],
    wanted: Mapping[Path, Sequence[Example]],
) -> int:
    """How many test outputs the constraint forbids; one in the training or validation data, or that preferences
    want, is a DataError: what is taught there could never be answered."""
    import tinsmith

    checker = Checker(tinsmith.load(base), sealed.data)
    for split, path in paths.items():
        if split != "test":
            constraint.check_outputs(checker, path, splits[split])
    for path, examples in wanted.items():
        constraint.check_outputs(checker, path, examples)
    forbidden = sum(checker.departure(example.output) is not None for example in splits["test"])
    if forbidden:
        run.display.line(f"data: warning: the constraint forbids {forbidden} test outputs")
    return forbidden


def shipped(recipe: Recipe, base: Path) -> Spec:
    """The base with the chat template that ships."""
    from tinsmith import models

    spec = models.load(base)
    if spec.chat_template is None:
        return spec
    return dataclasses.replace(spec, chat_template=settled(recipe, spec.chat_template))


def settled(recipe: Recipe, template: str) -> str:
    """The base's chat template with all that the recipe fixes: what is trained under, and shipped."""
    from tinsmith.chat.chat_template import read_date, settle, writes_date

    data = recipe.data
    tools = read_tools(recipe) if data.show_tools else None
    try:
        fixed = settle(
            template,
            system=data.system,
            date=read_date(data.date) if data.date else None,
            thinking=data.thinking,
            tools=tools,
            spell=recipe.quotes_input,
        )
    except TinsmithError as error:
        raise InputError(f"{recipe.path}: [data]: {error}") from error
    if writes_date(fixed):
        raise InputError(
            f"{recipe.path}: [data] date: the base's chat template writes today's date; state the one that the "
            'model is trained and asked under, such as date = "2026-11-25"'
        )
    return fixed


def check_context(recipe: Recipe, spec: Spec) -> None:
    """Before anything is trained."""
    context, most = recipe.build.context, spec.hyper.context
    if context > most:
        raise InputError(
            f"{recipe.path}: [build] context: {context} is longer than the base's {most} tokens; give at most "
            "that, or 0"
        )


def find_base(run: Run) -> Base:
    from tinsmith import hub, models
    from tinsmith.chat import chat_template

    given = run.recipe.base
    assert given
    local = run.recipe.resolve(given.model)
    source = run.recipe.base_source
    with run.display.bar(f"pull {given.model}", 1) as bar:
        path = hub.pull(
            source,
            progress=lambda done, total: bar.update(done / 1e6, "MB", total / 1e6 if total else None),
        )
    if given.mmproj:
        path = paired(run, path, run.recipe.resolve(given.mmproj))
    # mtp is refused here where it is not possible: before anything is trained.
    spec = models.load(path, mtp=run.recipe.build.mtp)
    check_context(run.recipe, spec)
    chat_template.check(spec, str(path))
    template = None if spec.chat_template is None else settled(run.recipe, spec.chat_template)
    tools = read_tools(run.recipe) if run.recipe.data.show_tools else None
    sha256 = model_digest(path)
    trained_on = dataclasses.replace(spec, chat_template=template, source=spec.source or sha256)
    update.check(run.recipe, trained_on, tools)
    return Base(
        name=local.name if local.exists() else given.model,
        path=str(path.resolve()),
        sha256=sha256,
        bytes=model_bytes(path),
        family=spec.family,
        license=spec.general.get("license"),
        template=None if template is None else chat_template.digest(template),
    )


def paired(run: Run, model: Path, half: Path) -> Path:
    """A folder, in the run's, of a language model's GGUF file and its vision half: a base that sees."""
    from tinsmith import hub

    where = f"{run.recipe.path}: [base] mmproj"
    if not half.is_file():
        raise InputError(f"{where}: {half}: no such file; give the .gguf of the vision half")
    if model.is_dir():
        raise InputError(
            f"{where}: {model} is a folder, which has its own vision half; an mmproj is for a .gguf"
        )
    folder, licenses = run.folder / NEW_BASE, hub.license_text(model)
    with files.atomic_folder(folder, PAIRED) as draft:
        for source, name in ((model, MODEL), (half, PAIRED)):
            try:
                os.link(source.resolve(), draft / name)
            except OSError:  # on another disk
                shutil.copyfile(source, draft / name)
                stat = source.stat()  # whose time it is known again by
                os.utime(draft / name, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        if licenses:
            (draft / "LICENSE").write_bytes(licenses)
    return folder


def new_base(run: Run, examples: Sequence[Example]) -> Base:
    """An untrained model in the run's folder, which training from scratch takes for its base."""
    from tinsmith import models
    from tinsmith.chat import chat_template
    from tinsmith.train.beginning import scratch
    from tinsmith.train.options import ScratchOptions

    recipe, folder = run.recipe, run.folder / NEW_BASE
    assert recipe.scratch
    context = recipe.build.context or ScratchOptions.context
    options = ScratchOptions(context=context, **dataclasses.asdict(recipe.scratch))
    with run.display.bar("tokenizer", 1) as bar:
        spec = scratch.start(
            options, examples, sources.texts(run), recipe.data.system, recipe.train.seed, recipe.name
        )
        bar.update(1)
    check_context(recipe, spec)
    files.claim(folder)
    remove_model(folder)
    models.save_hf(spec, folder)
    hyper = spec.hyper
    run.display.line(
        f"data: a new model of {spec.parameters:,} parameters: {hyper.vocab:,} tokens, {hyper.layers} layers, "
        f"hidden {hyper.dim}, heads {hyper.heads} and {hyper.kv_heads}, feed-forward {hyper.ffn_dim}"
    )
    assert spec.chat_template
    return Base(
        name=None,
        path=str(folder.resolve()),
        sha256=model_digest(folder),
        bytes=model_bytes(folder),
        family=spec.family,
        license=None,
        template=chat_template.digest(settled(recipe, spec.chat_template)),
        parameters=spec.parameters,
    )


def run_command(run: Run, command: Sequence[str]) -> None:
    words = [sys.executable if word == "python" else word for word in command]
    run.display.line(f"data: {' '.join(command)}")
    try:
        # Its output is for the reader, not a result: stdout is kept for the table and the report's path.
        ended = subprocess.run(words, cwd=run.recipe.path.parent, stdout=sys.stderr, check=False)
    except (OSError, ValueError) as error:  # ValueError: a NUL in a word
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{run.recipe.path}: [data] command: {words[0]}: {reason}") from None
    if ended.returncode != 0:
        raise InputError(
            f"{run.recipe.path}: [data] command ended with exit code {ended.returncode}: {' '.join(command)}"
        )


def examples(run: Run, split: str) -> list[Example]:
    """The run's own copy of a split; none where the recipe has no such examples."""
    from tinsmith.data import readers

    if split == "train" and run.recipe.data.train is None:
        return []
    return readers.read_jsonl(run.folder / split_name(split))


def augmented(run: Run) -> list[list[Example]]:
    """The further examples that were made, by variant; empty where none were."""
    from tinsmith.data import readers

    # A file that an earlier recipe left is none of this run's.
    if augmentation.FILE not in run.state["stages"]["data"]["outputs"]:
        return []
    return augmentation.by_variant(readers.read_jsonl(run.folder / augmentation.FILE))


def labels(run: Run) -> frozenset[str]:
    """Those of the training examples, or where there are none the validation examples; empty for a task
    without labels."""
    task = tasks.by_name(run.recipe.data.task)
    known = examples(run, "train") or examples(run, "validation")
    return task.labels(example.output for example in known)


def conversation(run: Run, example: Example) -> list[Message]:
    """The messages that ask for an example's answer, in training and ever after."""
    return tasks.by_name(run.recipe.data.task).messages(example, run.recipe.data.system)


def read_tools(recipe: Recipe) -> list[dict[str, Any]] | None:
    """The tools of [data] tools, in OpenAI's shape; None where the recipe has none."""
    if not recipe.data.tools:
        return None
    path, advice = recipe.resolve(recipe.data.tools), "it is a list of tools in OpenAI's shape"
    if has_rows(path):
        return tools_of_rows(path)
    tools = reading.read_json(path, DataError, unique=True, advice=advice)
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise DataError(f"{path}: holds {reading.kind(tools)}; {advice}")
    return tools
