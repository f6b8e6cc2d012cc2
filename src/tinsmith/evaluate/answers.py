"""A job for an evaluation worker, and the file of answers it leaves: JSON lines that survive a kill.

The first line of an answers file names the job it belongs to; each later line is one answer. A half-written
last line is dropped, and the worker goes on with the items that have no answer yet.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith.errors import FormatError
from tinsmith.system import files, reading

if TYPE_CHECKING:
    from tinsmith.tasks import Message


@dataclass(frozen=True)
class Item:
    """One prompt. draft: a draft of the answer's tokens, which saves time and cannot change the answer;
    expected: the answer that is wanted, where the system is to say how likely it is."""

    messages: list[Message]
    draft: list[int] | None = None
    expected: str | None = None


@dataclass(frozen=True)
class Job:
    """model: path of what answers; model_sha256: its digest; threads: 0 for all; max_tokens: of one answer;
    constrained: whether the answers obey the constraint that the model's file carries; thinking, date: what the
    recipe states of the base's chat template, which a file made from it has in its own; sure: whether answers
    say how likely they are; adapter: by which the file answers, and under which constraint; None for its own
    weights; options: texts whose probabilities as the answer are weighed beside it."""

    model: str
    model_sha256: str
    threads: int
    max_tokens: int
    items: list[Item]
    constrained: bool = False
    thinking: bool | None = None
    date: str | None = None
    confidence: bool = False
    adapter: str | None = None
    options: list[str] | None = None

    @property
    def digest(self) -> str:
        """Of everything that decides the answers and their times. Drafts do not, so they are left out."""
        deciding = {
            "model": self.model_sha256,
            "threads": self.threads,
            "max_tokens": self.max_tokens,
            "constrained": self.constrained,
            "thinking": self.thinking,
            "date": self.date,
            "items": [item.messages for item in self.items],
            **({"confidence": True} if self.confidence else {}),
            **({"adapter": self.adapter} if self.adapter else {}),
            **({"options": self.options} if self.options else {}),
            **({"expected": expected} if any(expected := [item.expected for item in self.items]) else {}),
        }
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()

    def save(self, path: Path) -> None:
        files.write_text(path, json.dumps(dataclasses.asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Job:
        fields = reading.read_table(path, FormatError)
        fields["items"] = [Item(**item) for item in fields["items"]]
        return cls(**fields)


@dataclass(frozen=True)
class Answer:
    """item: its position in the job; tokens: of the answer, None for one that another program gave;
    prompt_tokens: how many; seconds: prompt and answer together; both None where they are not known;
    evaluations: of the model, for prompt and answer; drafted: a draft was given, so seconds and evaluations are
    not those of a user; log_probability: as a Completion has it, where the job asks for it; options,
    expected_log_probability, expected_tokens: as tinsmith.tasks.Answered has them, likewise, after the seconds;
    answer_tokens: how many, where it is known of tokens that are not."""

    item: int
    text: str
    tokens: list[int] | None
    prompt_tokens: int | None
    seconds: float | None
    finish: str
    drafted: bool = False
    evaluations: int | None = None
    log_probability: float | None = None
    options: dict[str, float] | None = None
    expected_log_probability: float | None = None
    expected_tokens: int | None = None
    answer_tokens: int | None = None

    @property
    def length(self) -> int | None:
        """The answer's tokens, None where they are not known."""
        return self.answer_tokens if self.tokens is None else len(self.tokens)


class AnswerFile:
    """The answers of one job, on disk; opening it keeps what an interrupted worker wrote for the same job."""

    _SYNC_EVERY = 16

    def __init__(self, path: Path, job_digest: str) -> None:
        self.answers: dict[int, Answer] = {}
        header = _line({"job": job_digest})
        kept = b""
        if path.exists():
            data = path.read_bytes()
            whole = data[: data.rfind(b"\n") + 1]
            if whole.startswith(header):
                kept = whole
        if kept:
            os.truncate(path, len(kept))
            self.answers = {answer.item: answer for answer in _answers(kept, path)}
        else:
            with files.atomic_write(path) as new:
                new.write(header)
        self._file = path.open("ab")
        self._unsynced = 0

    def add(self, answer: Answer) -> None:
        self._file.write(_line(dataclasses.asdict(answer)))
        self._file.flush()
        self.answers[answer.item] = answer
        self._unsynced += 1
        if self._unsynced == self._SYNC_EVERY:
            self.sync()

    def sync(self) -> None:
        os.fsync(self._file.fileno())
        self._unsynced = 0

    def close(self) -> None:
        self.sync()
        self._file.close()


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def read_answers(path: Path) -> list[Answer]:
    """The answers of a finished job, in the order of its items."""
    return sorted(_answers(reading.read_bytes(path, FormatError), path), key=lambda answer: answer.item)


def _answers(data: bytes, path: Path) -> Iterator[Answer]:
    """Those of a whole file, behind its first line."""
    advice = "it is damaged, delete it to answer anew"
    for number, line in enumerate(data.split(b"\n")[1:-1], 2):
        fields = reading.json(line, path, FormatError, line=number, advice=advice)
        try:
            yield Answer(**fields)
        except TypeError:
            raise FormatError(f"{path}:{number}: is no answer; {advice}") from None
