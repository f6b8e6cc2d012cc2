"""Teachers: a local model, constrained to each answer's schema, or an endpoint. Their answers are saved as they
come, so that a killed run resumes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tinsmith.backends.endpoint import Endpoint
from tinsmith.errors import InputError
from tinsmith.formats.model_files import model_digest
from tinsmith.prepare.documents.passages import Passage
from tinsmith.prepare.documents.writing import Request, Terms, Writer, constraint
from tinsmith.runtime import load
from tinsmith.runtime.generation import Sampling, TokenRequest
from tinsmith.system import files, reading
from tinsmith.system.progress import Display

WEAK = 1_000_000_000  # parameters below which a teacher is weak
_AT_ONCE = 4  # requests to an endpoint
_FENCED = re.compile(r"```\w*\n(.*)\n```", re.DOTALL)  # JSON of unconstrained models


class Local:
    """A GGUF file, a tin or a Hugging Face folder. digest: of everything that decides its answers.

    name: as the user gave it; empty for the model's own."""

    def __init__(self, path: Path, threads: int | None = None, name: str = "") -> None:
        self.model = load(path, threads=threads)
        self.digest = model_digest(path)
        self.name = name or self.model.info.name or path.name
        self.parameters = self.model.info.parameters

    def answers(self, requests: Sequence[Request], seed: int) -> list[str]:
        """One for each request, empty for one that is too long. Greedy: the seed makes no difference."""
        from tinsmith.runtime.asking import tokens_of
        from tinsmith.runtime.scheduler import generate_many

        fitting: dict[int, TokenRequest] = {}
        most = max((one.max_tokens for one in requests), default=1)
        for number, one in enumerate(requests):
            tokens = tokens_of(self.model, one.messages)
            if len(tokens) + most < self.model.info.context:
                fitting[number] = TokenRequest(
                    tokens=tokens,
                    constraint=constraint(json.dumps(one.schema)),
                    max_tokens=most,
                    sampling=Sampling(),
                )
        answers = generate_many(self.model, list(fitting.values()), 8)
        texts = {number: answer.text for number, answer in zip(fitting, answers, strict=True)}
        return [texts.get(number, "") for number in range(len(requests))]


class Remote:
    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.name = f"{endpoint.model} at {endpoint.where}"
        self.digest = hashlib.sha256(self.name.encode()).hexdigest()
        self.parameters: int | None = None

    def answers(self, requests: Sequence[Request], seed: int) -> list[str]:
        def ask(one: Request) -> str:
            shape = json.dumps(one.schema, ensure_ascii=False)
            asked = one.messages
            asked[-1]["content"] += f"\n\nAnswer with JSON of this schema alone: {shape}"
            text = self.endpoint.ask(asked, one.max_tokens, seed=seed, schema=one.schema).text.strip()
            fenced = _FENCED.fullmatch(text)
            return fenced[1] if fenced else text

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(ask, requests))


Teacher = Local | Remote


def weakness(teacher: Teacher) -> str:
    """A warning about a small teacher; empty for another."""
    if teacher.parameters is None or teacher.parameters >= WEAK:
        return ""
    return f"a weak teacher ({teacher.parameters / 1e6:.0f}M parameters): read its examples before you use them"


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
