"""How an adapter learns new examples, and what decides each training: an interrupted run resumes where that is
the same."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinsmith.data.augment import origin
from tinsmith.pipeline.prepared import Prepared
from tinsmith.pipeline.stages.train.options import options
from tinsmith.system.from_json import digest_of
from tinsmith.train.events import CONTINUED, NEW_TEST, NEW_VALIDATION, OLD_TEST, OLD_VALIDATION, RETRAINED

if TYPE_CHECKING:
    from tinsmith.data.readers import Example
    from tinsmith.train.job import Job
    from tinsmith.train.update import Plan


@dataclass(frozen=True)
class Inputs:
    """decides: all that decides the result, as run.json keeps it; log: the kind of files that training writes
    its curves to, None for none."""

    data: Prepared
    decides: Mapping[str, Any]
    log: str | None = None


def decisive(inputs: Inputs, job: Job) -> dict[str, Any]:
    """The digests that matter to the job. A key of [train] that it ignores counts as unstated."""
    found = copy.deepcopy(dict(inputs.decides))
    if job.options.qat is None:
        del found["qat"]
        found["train"]["qat"] = "auto"
    return found


def untested(added: Mapping[str, Any]) -> dict[str, Any]:
    """The part of [update] that decides a training: neither its tests, nor whether the other training runs."""
    seen = {key: value for key, value in added.items() if key not in ("retrain", "test")}
    if "new" in added:
        seen["new"] = {key: value for key, value in added["new"].items() if key != "test"}
    return seen


def plan(inputs: Inputs, job: Job) -> Plan:
    """Continues the adapter with the new examples, or trains a new one on all examples."""
    from tinsmith.train.update import Plan

    data = inputs.data
    stated, new = data.recipe.update, data.new
    assert stated and new  # there are new examples
    count = len(job.examples) - new.train
    further = dataclasses.replace(
        job,
        examples=job.examples[count:],
        known=job.examples[:count],
        variants=[without_first(made, count) for made in job.variants],
        options=options(data.recipe, count, job.options.qat, made=data.is_augmented, goes_on=True),
    )
    splits = {
        (OLD_TEST, NEW_TEST): (data.examples("test"), new.test),
        (OLD_VALIDATION, NEW_VALIDATION): (job.validation, new.validation),
    }
    sets: dict[str, Sequence[Example]] = {}
    for (old_name, new_name), (rows, added) in splits.items():
        sets[old_name] = rows[: len(rows) - added]
        if added:
            sets[new_name] = rows[len(rows) - added :]
    whole = decisive(inputs, job)
    seen = untested(whole.pop("update"))
    digests = {CONTINUED: digest_of({**whole, "update": seen}), RETRAINED: digest_of(whole)}
    alone = dataclasses.replace(job, start=None)
    return Plan(further, alone, stated.retrain, sets, digests)


def without_first(made: Sequence[Example], count: int) -> list[Example]:
    """Of the examples without the first `count`, which are then numbered anew, what was made: what is off topic
    goes along with any."""
    kept = []
    for row in made:
        number = origin(row)
        if number is None:
            kept.append(row)
        elif number > count:
            kept.append(dataclasses.replace(row, about={**row.about, "from": number - count}))
    return kept
