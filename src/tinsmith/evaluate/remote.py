"""Remote systems: a model behind an endpoint, and the answers of another program."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tinsmith.backends.endpoint import Endpoint
from tinsmith.data import readers
from tinsmith.data.readers import Example
from tinsmith.errors import DataError
from tinsmith.evaluate.answers import Answer, AnswerFile, Item, Job
from tinsmith.evaluate.systems import Outcome
from tinsmith.tables import number

_COSTS = ("prompt_tokens", "tokens", "seconds")
_FORM = 'each line is one object such as {"input": "…", "text": "…"}'


def ask(
    name: str,
    endpoint: Endpoint,
    items: Sequence[Item],
    max_tokens: int,
    folder: Path,
    on_done: Callable[[int], None],
) -> Outcome:
    """Asks an endpoint, one item after the other. folder keeps `<name>.jsonl`, from which an interrupted run
    resumes without paying twice. Raises as Endpoint.ask; earlier answers are kept."""
    where = hashlib.sha256(f"{endpoint.url} {endpoint.model}".encode()).hexdigest()
    job = Job(endpoint.url, where, 0, max_tokens, list(items))
    with closing(AnswerFile(folder / f"{name}.jsonl", job.digest)) as file:
        for place, item in enumerate(job.items):
            on_done(len(file.answers))
            if place in file.answers:
                continue
            reply = endpoint.ask(item.messages, max_tokens)
            cost = reply.prompt_tokens, reply.seconds, reply.finish
            file.add(Answer(place, reply.text, None, *cost, answer_tokens=reply.answer_tokens))
    return Outcome([file.answers[place] for place in range(len(items))], None)


def given(path: Path, examples: Sequence[Example]) -> Outcome:
    """The answers of a file to these examples, by input. A line may have `prompt_tokens`, `tokens` and
    `seconds`. Equal inputs take the answers in order, and then the last one again.

    Raises DataError for a line that is no answer, and for an example without one."""
    found: dict[str, deque[dict[str, Any]]] = defaultdict(deque)
    for where, row in readers.objects(path, _FORM):
        asked = readers.text_of(row, "input", where, _FORM)
        if not isinstance(row.get("text"), str):
            raise DataError(f'{where}: "text" must be the answer, a text; {_FORM}')
        for key in _COSTS:
            if row.get(key) is not None and not number(0, math.inf).accepts(row[key]):
                raise DataError(f'{where}: "{key}" must be a number, 0 or more')
        found[asked].append(row)
    missing = [example.input for example in examples if example.input not in found]
    if missing:
        raise DataError(
            f"{path}: has no answer to {len(missing)} of {len(examples)} test inputs, such as {missing[0]!r}; "
            "answer every test example"
        )
    answers = []
    for place, example in enumerate(examples):
        rows = found[example.input]
        row = rows.popleft() if len(rows) > 1 else rows[0]
        prompt, answer, seconds = (row.get(key) for key in _COSTS)
        answers.append(Answer(place, row["text"], None, prompt, seconds, "stop", answer_tokens=answer))
    return Outcome(answers, None)
