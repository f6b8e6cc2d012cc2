"""The evaluate stage: how well the float model and every shipped file answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.evaluate.answers import Item
from tinsmith.evaluate.naming import TUNED, constrained
from tinsmith.pipeline import constraint
from tinsmith.pipeline.measuring import FOLDER, Asking, Measured, answers_path, eval_digests, test_items
from tinsmith.pipeline.prepared import Model, Prepared
from tinsmith.pipeline.stage import Made, Reporter

# Models of one training answer nearly alike, so each one after the first checks the first one's answers as
# drafts: one pass over prompt and draft, and plain decoding from the first token that differs. Each token kept
# is the model's own greedy choice, so its answers are exactly those of plain decoding. A quantized file goes
# first: it decodes fastest.
FLOAT = (TUNED, "shipped_f32", "shipped_f16")


@dataclass(frozen=True)
class Inputs:
    """models: by system, the float model, then the built files; built, merged: digests of files, by name."""

    data: Prepared
    models: Mapping[str, Model]
    built: Mapping[str, str]
    merged: Mapping[str, str]


def digests(inputs: Inputs) -> dict[str, Any]:
    prepared, recipe = inputs.data, inputs.data.recipe
    return {
        "built": dict(inputs.built),
        "merged": dict(inputs.merged),
        "data": prepared.split_digest("test"),
        "task": recipe.data.task,
        "schema": constraint.source_digest(recipe),
        "system": recipe.data.system,
        "eval": eval_digests(recipe),
        **({"validation": prepared.split_digest("validation")} if recipe.eval.max_error is not None else {}),
    }


def make(inputs: Inputs, folder: Path, reporter: Reporter) -> Made[Measured]:
    """A file with a constraint answers twice: unconstrained, and constrained (`<name>_constrained`) without
    drafts, which shows what the constraint saves."""
    asking = Asking(inputs.data, folder / FOLDER, reporter)
    results = dict(_of_models(asking, inputs.models))
    order = [system for name in inputs.models for system in (name, constrained(name))]
    ordered = {system: results[system] for system in order if system in results}
    return Made([answers_path(asking.folder, name) for name in ordered], Measured(ordered))


def _of_models(asking: Asking, models: Mapping[str, Model]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each system's entry, quantized files first, since the first one's answers are the others' drafts."""
    messages = [asking.data.conversation(example) for example in test_items(asking.data)]
    plain = [Item(asked) for asked in messages]
    drafts: list[list[int] | None] | None = None
    for name in sorted(models, key=lambda name: name in FLOAT):
        prompted = plain
        if drafts is not None:
            prompted = [Item(asked, draft) for asked, draft in zip(messages, drafts, strict=True)]
        outcome, entry = asking.measured(name, models[name], prompted)
        drafts = drafts or [answer.tokens for answer in outcome.answers]
        size = {} if name == TUNED else {"bytes": models[name].path.stat().st_size}
        yield name, {**entry, **size}
        if asking.data.constraint is not None and name != TUNED:
            _, entry = asking.measured(constrained(name), models[name], plain, constrained=True)
            yield constrained(name), {**entry, **size}
