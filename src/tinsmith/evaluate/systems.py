"""Runs a system over the test set in a worker process, and reports the grades and costs of its answers."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tinsmith.data.readers import Example
from tinsmith.errors import FormatError, TinsmithError
from tinsmith.evaluate.answers import Answer, AnswerFile, Job
from tinsmith.system import children, files, reading
from tinsmith.tasks import Grade, Task


@dataclass(frozen=True)
class Outcome:
    """answers: one an item, in order; peak_memory: of the worker process, in bytes; None where none ran."""

    answers: list[Answer]
    peak_memory: int | None


def ask(name: str, job: Job, folder: Path, on_done: Callable[[int], None]) -> Outcome:
    """Answers a job in a worker. folder keeps `<name>.jsonl`, from which an interrupted job resumes. Raises
    TinsmithError if the worker fails or dies."""
    answers = folder / f"{name}.jsonl"
    memory = folder / f"{name}.memory.json"
    job_file = folder / f"{name}.job.json"
    job.save(job_file)
    before = AnswerFile(answers, job.digest)
    before.close()
    on_done(len(before.answers))
    peak = _peak(memory, job.digest)
    if len(before.answers) < len(job.items) or peak is None:
        peak = max(_run(name, job_file, answers, on_done), peak or 0)
        files.write_text(memory, json.dumps({"job": job.digest, "peak_memory": peak}))
    after = AnswerFile(answers, job.digest)
    after.close()
    return Outcome([after.answers[i] for i in range(len(job.items))], peak)


def _peak(path: Path, digest: str) -> int | None:
    if not path.exists():
        return None
    kept = reading.read_table(path, FormatError, advice="delete it to measure anew")
    peak = kept.get("peak_memory")
    return peak if kept.get("job") == digest and isinstance(peak, int) else None


def _run(name: str, job_file: Path, answers: Path, on_done: Callable[[int], None]) -> int:
    command = children.python("-m", "tinsmith.evaluate.worker", str(job_file), str(answers))
    last: dict[str, Any] = {}
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, env=children.environment(), stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        try:
            assert process.stdout is not None
            for line in process.stdout:
                last = json.loads(line)
                if "done" in last:
                    on_done(int(last["done"]))
            code = process.wait()
        finally:
            process.kill()
        if "error" in last:
            raise TinsmithError(f"{name}: {last['error']}")
        if code != 0 or "peak_memory" not in last:
            raise TinsmithError(f"{name}: its evaluation ended with {_ending(code)}: {_last_line(errors)}")
    return int(last["peak_memory"])


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "without a message"


def grades(task: Task, outcome: Outcome, examples: Sequence[Example], labels: frozenset[str]) -> list[Grade]:
    return [
        task.grade(answer.text, example.output, example.accept, labels)
        for answer, example in zip(outcome.answers, examples, strict=True)
    ]


def costs(outcome: Outcome) -> dict[str, Any]:
    """report.json's figures of time and size: means over the answers; times and model evaluations only of
    answers without a draft."""
    answers = outcome.answers
    timed = [a for a in answers if not a.drafted and a.seconds is not None]
    return {
        "ms_per_item": _mean([1000 * a.seconds for a in timed if a.seconds is not None]),
        "evaluations": _mean([a.evaluations for a in timed if a.evaluations is not None]),
        "prompt_tokens": _mean([a.prompt_tokens for a in answers if a.prompt_tokens is not None]),
        "generated_tokens": _mean([a.length for a in answers if a.length is not None]),
        "peak_memory": outcome.peak_memory,
        "timed_items": len(timed),
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
