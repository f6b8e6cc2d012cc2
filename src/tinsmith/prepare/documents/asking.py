"""A teacher's answers about all passages, saved as they come, so that a killed run resumes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tinsmith.errors import InputError
from tinsmith.prepare.documents.passages import Passage
from tinsmith.prepare.documents.teachers import Teacher
from tinsmith.prepare.documents.writing import Request, Terms, Writer
from tinsmith.system import files, reading
from tinsmith.system.progress import Display

Answered = tuple[Passage, list[Request], list[str]]

FILE = "answers.jsonl"
_BATCH = 16  # requests; a kill loses at most so many answers


def ask(
    passages: Sequence[Passage],
    writer: Writer,
    terms: Terms,
    teacher: Teacher,
    seed: int,
    kept: Path,
    display: Display,
) -> Iterator[Answered]:
    """Each passage with its requests and answers, in order. kept: the file of answers, which answers the same
    requests of the same teacher and seed."""
    known = _known(kept)
    requests = [writer.requests(one, terms) for one in passages]
    keys = [_key(teacher, seed, own) for own in requests]
    by_key = dict(zip(keys, requests, strict=True))
    missing = [key for key, own in by_key.items() if own and key not in known]
    size = max(1, _BATCH // max((len(by_key[key]) for key in missing), default=1))
    with display.bar(f"ask {teacher.name}", max(1, len(missing))) as bar:
        for begin in range(0, len(missing), size):
            batch = missing[begin : begin + size]
            texts = iter(teacher.answers([request for key in batch for request in by_key[key]], seed))
            for key in batch:
                known[key] = [next(texts) for _ in by_key[key]]
                files.append_line(kept, json.dumps({"key": key, "answers": known[key]}, ensure_ascii=False))
            bar.update(begin + len(batch), "passages")
    for key, passage, own in zip(keys, passages, requests, strict=True):
        yield passage, own, known[key] if own else []


def _key(teacher: Teacher, seed: int, requests: Sequence[Request]) -> str:
    identity = json.dumps([teacher.digest, seed, [asdict(one) for one in requests]], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def _known(path: Path) -> dict[str, list[str]]:
    """By key; an incomplete line, as after a loss of power, is ignored."""
    known: dict[str, list[str]] = {}
    for line in reading.lines(path) if path.exists() else ():
        try:
            row: Any = reading.json(line, path)
        except InputError:
            continue
        if isinstance(row, dict) and isinstance(row.get("answers"), list):
            known[str(row.get("key"))] = [str(text) for text in row["answers"]]
    return known
