"""A teacher's answers to all passages, kept as they come: a run that was killed goes on where it was."""

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

Asked = tuple[Passage, list[Request], list[str]]

FILE = "answers.jsonl"
_BATCH = 16  # requests; as many answers at most are lost by a kill


def asked(
    passages: Sequence[Passage],
    writer: Writer,
    terms: Terms,
    teacher: Teacher,
    seed: int,
    kept: Path,
    display: Display,
) -> Iterator[Asked]:
    """Each passage with what was asked and answered, in order. kept: the file of answers; those that are there
    to the same requests, of the same teacher and seed, are not asked for again."""
    known = _known(kept)
    wanted = [(one, writer.requests(one, terms)) for one in passages]
    keys = [_key(teacher, seed, requests) for _, requests in wanted]
    fresh = dict.fromkeys(key for key, (_, requests) in zip(keys, wanted, strict=True) if requests)
    missing = [key for key in fresh if key not in known]
    of_key = dict(zip(keys, (requests for _, requests in wanted), strict=True))
    with display.bar(f"ask {teacher.name}", max(1, len(missing))) as bar:
        for done, batch in _batches(missing, of_key):
            flat = [request for key in batch for request in of_key[key]]
            texts = iter(teacher.answers(flat, seed))
            for key in batch:
                known[key] = [next(texts) for _ in of_key[key]]
                files.append_line(kept, json.dumps({"key": key, "answers": known[key]}, ensure_ascii=False))
            bar.update(done + len(batch), "passages")
    for key, (passage, requests) in zip(keys, wanted, strict=True):
        yield passage, requests, known[key] if requests else []


def _batches(keys: Sequence[str], requests: dict[str, list[Request]]) -> Iterator[tuple[int, list[str]]]:
    """With how many keys came before each."""
    begin = 0
    while begin < len(keys):
        end, size = begin, 0
        while end < len(keys) and (end == begin or size + len(requests[keys[end]]) <= _BATCH):
            size += len(requests[keys[end]])
            end += 1
        yield begin, list(keys[begin:end])
        begin = end


def _key(teacher: Teacher, seed: int, requests: Sequence[Request]) -> str:
    said = json.dumps([teacher.digest, seed, [asdict(one) for one in requests]], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def _known(path: Path) -> dict[str, list[str]]:
    """A line that a loss of power cut off is as if it were not there."""
    known: dict[str, list[str]] = {}
    for line in reading.lines(path) if path.exists() else ():
        try:
            row: Any = reading.json(line, path)
        except InputError:
            continue
        if isinstance(row, dict) and isinstance(row.get("answers"), list):
            known[str(row.get("key"))] = [str(text) for text in row["answers"]]
    return known
