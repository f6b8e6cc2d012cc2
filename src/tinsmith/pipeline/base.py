"""The base of training: fetched, paired with a vision file, or created."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from tinsmith import hub, models
from tinsmith.chat import chat_template, own_templates
from tinsmith.data.readers import Example
from tinsmith.errors import InputError
from tinsmith.formats.model_files import model_bytes, model_digest, model_files, remove_model
from tinsmith.pipeline import update
from tinsmith.pipeline.prepared import COPIES, Base, read_texts, read_tools, settled
from tinsmith.pipeline.recipe.values import Recipe
from tinsmith.pipeline.stage import Reporter
from tinsmith.spec import Spec
from tinsmith.system import files, reading
from tinsmith.train.options import ScratchOptions

NEW_BASE = "base"  # in the run's folder: an untrained model, one with its vision model, or another template
MODEL, PAIRED, TEMPLATE = "model.gguf", "mmproj.gguf", "chat_template.jinja"


def check_context(recipe: Recipe, spec: Spec) -> None:
    """Raises InputError for a context longer than the base takes, before anything is trained."""
    context, most = recipe.build.context, spec.hyper.context
    if context > most:
        raise InputError(
            f"{recipe.path}: [build] context: {context} is longer than the base's {most} tokens; give at most "
            "that, or 0"
        )


def find_base(recipe: Recipe, folder: Path, reporter: Reporter) -> Base:
    given = recipe.base
    assert given
    local = recipe.resolve(given.model)
    source = recipe.base_source
    with reporter.step(f"pull {given.model}", 1):
        path = hub.pull(
            source,
            progress=lambda done, total: reporter.progress(done / 1e6, "MB", total / 1e6 if total else None),
        )
    if given.mmproj:
        path = paired(recipe, path, recipe.resolve(given.mmproj), folder / NEW_BASE)
    spec = stated(recipe, path)
    if given.template:
        path = templated(recipe, spec, path, folder / NEW_BASE)
    assert spec.chat_template  # stated() refuses a base without one
    template = settled(recipe, spec.chat_template)
    tools = read_tools(recipe) if recipe.data.show_tools else None
    sha256 = model_digest(path)
    trained_on = dataclasses.replace(spec, chat_template=template, source=spec.source or sha256)
    update.check(recipe, trained_on, tools)
    return Base(
        name=local.name if local.exists() else given.model,
        path=str(path.resolve()),
        sha256=sha256,
        bytes=model_bytes(path),
        family=spec.family,
        license=spec.general.get("license"),
        template=chat_template.digest(template),
    )


def stated(recipe: Recipe, path: Path) -> Spec:
    """The base as the recipe states it, with its chat template. Raises InputError for a context, a template or
    MTP layers that it can't have."""
    spec = models.load(path, mtp=recipe.build.mtp)
    check_context(recipe, spec)
    spec = dataclasses.replace(spec, chat_template=base_template(recipe, spec))
    chat_template.check(spec, str(path))
    return spec


def base_template(recipe: Recipe, spec: Spec) -> str:
    """The base's chat template, or the one that the recipe states for it. Raises InputError without either."""
    assert recipe.base
    stated, where = recipe.base.template, f"{recipe.path}: [base] template"
    if stated is None:
        if spec.chat_template is None:
            known = ", ".join(f'"{name}"' for name in own_templates.fitting(spec.tokenizer))
            raise InputError(f"{where}: the base has no chat template; give {known} or a Jinja file")
        return spec.chat_template
    try:
        if stated in own_templates.FORMATS:
            return own_templates.named(stated, spec.tokenizer)
        path = recipe.resolve(stated)
        text = reading.read_text(path, InputError)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    if not text.strip():
        raise InputError(f"{where}: {path}: is empty; write a Jinja template")
    return text


def templated(recipe: Recipe, spec: Spec, path: Path, folder: Path) -> Path:
    """The base with the spec's chat template: a copy of a GGUF file, or a folder of links."""
    if spec.vision:
        raise InputError(f"{recipe.path}: [base] template: a vision-language model has its own; leave it out")
    licenses, is_file = hub.license_text(path), path.is_file()
    with files.atomic_folder(folder, MODEL if is_file else "config.json") as draft:
        if is_file:
            models.save_gguf(spec, draft / MODEL)
        else:
            for file in model_files(path):
                if file.name != TEMPLATE:
                    link(file, draft / file.name)
            files.write_text(draft / TEMPLATE, spec.chat_template or "")
        if licenses:
            (draft / "LICENSE").write_bytes(licenses)
    return folder / MODEL if is_file else folder


def link(file: Path, to: Path) -> None:
    try:
        os.link(file.resolve(), to)
    except OSError:  # on another disk
        shutil.copyfile(file, to)


def paired(recipe: Recipe, model: Path, vision: Path, folder: Path) -> Path:
    """A folder with the GGUF files of a language model and its vision model: a vision-language model."""
    where = f"{recipe.path}: [base] mmproj"
    if not vision.is_file():
        raise InputError(f"{where}: {vision}: no such file; give the .gguf of the vision model")
    if model.is_dir():
        raise InputError(f"{where}: {model} is a folder, with its own vision model; an mmproj is for a .gguf")
    licenses = hub.license_text(model)
    with files.atomic_folder(folder, PAIRED) as draft:
        for source, name in ((model, MODEL), (vision, PAIRED)):
            link(source, draft / name)
        if licenses:
            (draft / "LICENSE").write_bytes(licenses)
    return folder


def new_base(recipe: Recipe, examples: Sequence[Example], folder: Path, reporter: Reporter) -> Base:
    """Creates an untrained model in the run's folder, as the base of training from scratch."""
    from tinsmith.train.beginning import scratch

    assert recipe.scratch
    texts = read_texts(folder / COPIES["text"]) if recipe.data.text else []
    folder = folder / NEW_BASE
    context = recipe.build.context or ScratchOptions.context
    options = ScratchOptions(context=context, **dataclasses.asdict(recipe.scratch))
    with reporter.step("tokenizer", 1):
        spec = scratch.start(options, examples, texts, recipe.data.system, recipe.train.seed, recipe.name)
        reporter.progress(1)
    check_context(recipe, spec)
    files.claim(folder)
    remove_model(folder)
    models.save_hf(spec, folder)
    hyper = spec.hyper
    reporter.note(
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
