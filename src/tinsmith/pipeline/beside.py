"""Adapters of several tasks beside their base, in one tin."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinsmith import models
from tinsmith.compiler import build as compiler
from tinsmith.compiler.adapter import FORMATS
from tinsmith.compiler.program import read_program
from tinsmith.formats.router import ENTRY, Router
from tinsmith.pipeline import contents
from tinsmith.pipeline.prepared import Learned, Prepared, settled
from tinsmith.quant import shipping
from tinsmith.quant.shipping import Extra
from tinsmith.runtime.adapters import entry, folder
from tinsmith.train import methods
from tinsmith.train.adapters import tin as adapter_tin
from tinsmith.train.options import TrainOptions


def add(
    tasks: Mapping[str, Learned],
    source: Path,
    out: Path,
    measured: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Writes a tin with the adapters of all tasks. measured: by task, further facts of its adapter."""
    for name, one in tasks.items():
        more = extra(one.data, (measured or {}).get(name, {}))
        adapter_tin.add(source, name, one.adapter, out, FORMATS[0], more)
        source = out


def extra(data: Prepared, measured: Mapping[str, Any]) -> Extra:
    """A task's constraint, its data's licences and its provenance, which stand beside the adapter's factors."""
    of_base = shipping.licenses(Path(data.base.path))
    entries = {name: size for name, size in contents.entries(data).items() if name not in of_base}
    facts = {"data": data.model_data, "recipe": data.recipe.model_digest, **measured}
    if data.constraint:
        facts["constraint"] = data.constraint
    bill = dataclasses.replace(contents.bill(data), metrics=measured.get("metrics", {}))
    return Extra(entries, facts, bill)


def planned(whole: Prepared, tasks: Mapping[str, tuple[Prepared, TrainOptions]]) -> tuple[dict[str, int], int]:
    """Bytes of what the tasks add to the base's tin, by entry and at most, and the highest of their parts of a
    session's adapter_rank: before they are trained."""
    spec = models.load(whole.base.path)
    program, template = read_program(compiler.programs_of(spec)["program.bin"]), spec.chat_template
    assert template  # the data stage refuses a base without one
    sizes, highest = {ENTRY: Router.bytes_of(list(tasks), spec.hyper.dim)}, 0
    for name, (data, train) in tasks.items():
        method = methods.by_name(data.recipe.train.method)
        sizes[entry(name)], rank = method.beside(spec, train, program)
        brought = dict(extra(data, {}).entries)
        own, base = (settled(one.recipe, template) for one in (data, whole))
        if own != base:
            brought |= compiler.template_entries(spec.tokenizer, own, name)[0]
        sizes |= {f"{folder(name)}{at}": len(part) for at, part in brought.items()}
        highest = max(highest, rank)
    return sizes, highest
