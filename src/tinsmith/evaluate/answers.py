"""A job for an evaluation worker, and its file of answers: JSON lines that survive a kill.

The first line of the file has the job's digest; each later line is one answer. A worker drops an incomplete
last line and resumes with the first item that has no answer."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinsmith.errors import FormatError
from tinsmith.system import files, reading
from tinsmith.tasks import Message


@dataclass(frozen=True)
class Item:
    """A prompt. draft: a draft of the answer's tokens, which saves time and cannot change the answer; expected:
    the answer whose probability the system reports."""

    messages: list[Message]
    draft: list[int] | None = None
    expected: str | None = None


@dataclass(frozen=True)
class Job:
    """model: a path; threads: 0 for all; max_tokens: of one answer; constrained: by the constraint of the
    model's file; thinking, date: the recipe's values for a base's chat template, which a built file has in its
    own; confidence: whether answers report their probability; adapter: None for the model's own weights;
    options: texts whose probabilities as the answer are reported."""

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
        """SHA-256 of everything that decides the answers and their times; drafts do not."""
        always = ("threads", "max_tokens", "constrained", "thinking", "date")
        deciding = {key: getattr(self, key) for key in always}
        deciding |= {"model": self.model_sha256, "items": [item.messages for item in self.items]}
        stated = {key: getattr(self, key) for key in ("confidence", "adapter", "options")}
        deciding |= {key: value for key, value in stated.items() if value}
        if any(expected := [item.expected for item in self.items]):
            deciding["expected"] = expected
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
    """item: its position in the job; tokens: None for another program's answer; prompt_tokens, seconds (of
    prompt and answer): None if unknown; evaluations: of the model, for prompt and answer; drafted: with a
    draft, so that seconds and evaluations are not a user's; log_probability: as in a Completion; options: the
    probability of each label, from 0 to 1; expected_log_probability: of the expected answer and its end, in
    nats; expected_tokens: their count; answer_tokens: the count where the tokens themselves are unknown."""

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
        """The number of the answer's tokens, None if unknown."""
        return self.answer_tokens if self.tokens is None else len(self.tokens)


class AnswerFile:
    """A job's answers on disk. Opening the file keeps what an interrupted worker wrote for the job."""

    _SYNC_EVERY = 16

    def __init__(self, path: Path, job_digest: str) -> None:
        self.answers: dict[int, Answer] = {}
        header = _line({"job": job_digest})
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        if whole.startswith(header):
            os.truncate(path, len(whole))
            self.answers = {answer.item: answer for answer in _answers(whole, path)}
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
    """Reads the lines after the first."""
    advice = "it is damaged, delete it to answer anew"
    for number, line in enumerate(data.split(b"\n")[1:-1], 2):
        fields = reading.json(line, path, FormatError, line=number, advice=advice)
        try:
            yield Answer(**fields)
        except TypeError:
            raise FormatError(f"{path}:{number}: is no answer; {advice}") from None
