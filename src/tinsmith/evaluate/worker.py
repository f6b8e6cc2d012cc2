"""`python -m tinsmith.evaluate.worker JOB ANSWERS`: answers a job's items in a separate process.

A crash then costs one system, and peak memory is measured per system. Each line on stdout is a JSON object:
{"done": answers so far}, and at the end {"peak_memory": bytes} or {"error": text}."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tinsmith.errors import TinsmithError, UnsupportedError
from tinsmith.evaluate.answers import Answer, AnswerFile, Item, Job

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinsmith.runtime import Model

UNDRAFTED = 16  # first items, answered without a draft to measure a user's waiting time


def work(job: Job, answers: Path) -> int:
    """Answers the items that have no answer yet; returns the peak memory of this process in bytes."""
    import tinsmith

    with closing(AnswerFile(answers, job.digest)) as file:
        model = tinsmith.load(job.model, threads=job.threads or None, conversations=1, date=job.date)
        # By default, a file obeys its constraint.
        options: dict[str, Any] = {} if job.constrained else {"constraint": None}
        if job.thinking is not None:
            options["thinking"] = job.thinking
        if job.adapter is not None:
            options["adapter"] = job.adapter
        for i, item in enumerate(job.items):
            if i in file.answers:
                continue
            draft = item.draft if i >= UNDRAFTED else None
            reply = model.chat(
                item.messages, max_tokens=job.max_tokens, draft=draft, confidence=job.confidence, **options
            )
            same = ("text", "prompt_tokens", "seconds", "finish", "evaluations", "log_probability")
            found = {key: getattr(reply, key) for key in same} | weighed(model, job, item)
            file.add(Answer(i, tokens=list(reply.token_ids), drafted=draft is not None, **found))
            _say({"done": len(file.answers)})
        return peak_memory()


def weighed(model: Model, job: Job, item: Item) -> dict[str, Any]:
    """The fields of an Answer that a task's measures read beside its text; none for an expected answer longer
    than the model's context."""
    from tinsmith.runtime import choosing

    found: dict[str, Any] = {}
    if job.options:
        asked = cast("Sequence[Mapping[str, str]]", item.messages)
        found["options"] = model.choose(asked, job.options, adapter=job.adapter).probabilities
    if item.expected is not None:
        prompt = model.render(item.messages, thinking=job.thinking, adapter=job.adapter)
        count = len(model.tokenize(item.expected)) + 1  # the end is one
        if len(prompt) + count <= model.info.context:
            (log_probability,) = choosing.scored(model, prompt, [item.expected], job.adapter)
            found |= {"expected_log_probability": log_probability, "expected_tokens": count}
    return found


def peak_memory() -> int:
    """The peak memory of this process in bytes, mapped pages included."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            # getrusage may report the size of the process from which this one was forked.
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if sys.platform == "win32":
        raise UnsupportedError("peak memory can't be measured on Windows; evaluate on Linux or macOS")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main(arguments: list[str]) -> int:
    job, answers = arguments
    try:
        _say({"peak_memory": work(Job.load(Path(job)), Path(answers))})
    except TinsmithError as error:
        _say({"error": str(error)})
        return 2
    except OSError as error:
        _say({"error": f"{error.filename or answers}: {error.strerror}"})
        return 2
    return 0


def _say(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
