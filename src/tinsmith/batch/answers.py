"""Windows of items to lines of OUT, by one model.

Items are computed by windows, in which they are sorted: prompts that begin alike stand together, so that what
they share is computed once, and an item that is asked twice is answered once. Lines come back in the items'
order.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tinsmith.batch.ask import Answer, Asker, Question
from tinsmith.batch.known import Known
from tinsmith.errors import InputError, RuntimeFault, TinsmithError
from tinsmith.runtime.adapters import prefix_of, rank_of
from tinsmith.runtime.receipt import Lines, question, receipt
from tinsmith.runtime.receipt import Question as Key
from tinsmith.runtime.scheduler import Job, Scheduler

if TYPE_CHECKING:
    from tinsmith.batch.cache import Cache
    from tinsmith.batch.items import Item
    from tinsmith.batch.settings import Settings
    from tinsmith.runtime import Model
    from tinsmith.runtime.choice import TokenChoice
    from tinsmith.runtime.generation import Completion

PLACES = 8  # answers that one model computes at a time
_WINDOWS = 2  # at a time: one that ends, one to go on with
_HEADS = 64


@dataclass(frozen=True)
class Window:
    """Items that follow each other. first: how many are before them."""

    first: int
    items: Sequence[Item]


@dataclass(frozen=True)
class Done:
    """A window's lines, in its items' order, each with its end. tokens: of the answers; known: how many answers
    were not computed, as the cache or an equal item of the window had them."""

    first: int
    items: int
    lines: bytes
    failed: int
    tokens: int
    known: int


@dataclass
class _Open:
    """A window that is being answered. lines: None where an answer is missing. answers: to the questions of
    items that are not complete."""

    window: Window
    lines: list[bytes | None]
    missing: int
    answers: dict[int, list[Answer | None]] = field(default_factory=dict)
    failed: int = 0
    tokens: int = 0
    known: int = 0


@dataclass
class _Wanted:
    """A question, the items that ask it, each with the number of the question among its own, and how often it
    may still be tried."""

    question: Question
    key: Key
    tries: int
    items: list[tuple[_Open, int, int]] = field(default_factory=list)


class Answers:
    """Answers windows as they are given; those that are complete come out of `step`."""

    def __init__(
        self,
        model: Model,
        settings: Settings,
        *,
        places: int = PLACES,
        retry: int = 0,
        cache: Cache | None = None,
    ) -> None:
        self._asker = Asker(model, settings)
        self._model, self._places, self._retry, self._cache = model, places, retry, cache
        self._scheduler: Scheduler | None = None
        self._context = 0
        self._jobs: dict[Job, _Wanted] = {}
        self._open: list[_Open] = []
        self._ready: deque[_Wanted] = deque()  # what the scheduler is to be given
        self._limit = model.core.info()["context"]
        self._heads: dict[Lines, Lines] = {}  # what questions begin with, which most have alike

    @property
    def has_room(self) -> bool:
        """Whether another window keeps all places busy."""
        return len(self._open) < _WINDOWS and not self._ready

    @property
    def idle(self) -> bool:
        return not self._open

    def close(self) -> None:
        self._asker.close()
        if self._scheduler is not None:
            self._scheduler.close()
        if self._cache is not None:
            self._cache.close()

    def add(self, window: Window) -> None:
        opened = _Open(window, [None] * len(window.items), len(window.items))
        self._open.append(opened)
        wanted: dict[tuple[str, int | None], _Wanted] = {}
        for k, item in enumerate(window.items):
            try:
                asking = self._asker.questions(item)
                keys = [question(self._model, one.asked) for one in asking]
            except TinsmithError as fault:
                self._fail(opened, k, str(fault))
                continue
            opened.answers[k] = [None] * len(asking)
            for number, (one, key) in enumerate(zip(asking, keys, strict=True)):
                sort = key.digest, one.asked.tops if one.shown else None
                if sort not in wanted:
                    wanted[sort] = _Wanted(one, self._lean(key), self._retry)
                else:
                    opened.known += 1
                wanted[sort].items.append((opened, k, number))
        self._ready.extend(self._unknown(opened, wanted))
        self._feed()

    def _lean(self, key: Key) -> Key:
        """The same, but for its lines before the input, which are held once."""
        head = key.lines[:-1]
        if len(self._heads) > _HEADS:
            self._heads.clear()
        return Key((*self._heads.setdefault(head, head), key.lines[-1]))

    def _unknown(self, opened: _Open, wanted: dict[tuple[str, int | None], _Wanted]) -> list[_Wanted]:
        """Those that the cache can't answer, prompts that begin alike beside each other. It does not know what
        tokens were chosen by."""
        plain = {digest: one for (digest, shown), one in wanted.items() if shown is None}
        held = self._cache.get(plain) if self._cache and plain else {}
        for key, known in held.items():
            one = wanted.pop((key, None))
            if (fault := known.fault(self._model, one.key, one.question.asked)) is not None:
                assert self._cache is not None
                raise InputError(
                    f"{self._cache.path}: the answer of {key[:12]}… {fault}: the file was changed, or one "
                    "that was merged; remove it"
                )
            opened.known += 1
            self._answer(one, known.completion, known.receipt)
        return sorted(wanted.values(), key=lambda one: one.question.order)

    def _feed(self) -> None:
        """Keeps the scheduler's queue as long as it has places: the rest waits here, in less memory."""
        while self._ready and (self._scheduler is None or self._scheduler.waiting < self._places):
            asked = self._ready[0].question.asked
            needed = prefix_of(asked.applied) + len(asked.tokens) + asked.max_tokens + 1
            if needed > self._context < self._limit:
                if self._jobs:  # those under way end in the room that they have
                    return
                self._context = min(self._limit, max(256, 1 << (needed - 1).bit_length()))
                rank = rank_of(asked.applied)
                self._scheduler = Scheduler(self._model, slots=self._places, context=self._context, rank=rank)
            self._begin(self._ready.popleft())

    def _begin(self, wanted: _Wanted) -> None:
        assert self._scheduler is not None
        try:
            self._jobs[self._scheduler.add(wanted.question.asked)] = wanted
        except TinsmithError as fault:
            for opened, k, _ in wanted.items:
                self._fail(opened, k, str(fault))

    def step(self) -> list[Done]:
        """Computes on, and gives the windows that are complete."""
        if self._jobs:
            assert self._scheduler is not None
            for job in self._scheduler.step():
                self._heard(job)
        self._feed()
        done = [one for one in self._open if not one.missing]
        self._open = [one for one in self._open if one.missing]
        return [self._done(one) for one in done]

    def _heard(self, job: Job) -> None:
        if job.error is not None:
            wanted = self._jobs.pop(job)
            if isinstance(job.error, RuntimeFault) and wanted.tries > 0:
                wanted.tries -= 1
                self._ready.appendleft(wanted)
                return
            for opened, k, _ in wanted.items:
                self._fail(opened, k, str(job.error))
        elif job.completion is not None:
            wanted = self._jobs.pop(job)
            completion = job.completion
            made = receipt(self._model, wanted.key, completion, job.choices)
            if self._cache:
                self._cache.put(wanted.key.digest, Known(completion, made.logits, made.digest))
            self._answer(wanted, completion, made.digest, job.choices)

    def _answer(
        self, wanted: _Wanted, completion: Completion, digest: str, choices: Sequence[TokenChoice] = ()
    ) -> None:
        if wanted.question.opened:
            completion = replace(completion, opened=True)
        for opened, k, number in wanted.items:
            if opened.lines[k] is not None:  # another answer of the item's failed
                continue
            opened.answers[k][number] = Answer(wanted.question, completion, digest, choices)
            made = [one for one in opened.answers[k] if one is not None]
            if len(made) == len(opened.answers[k]):
                self._complete(opened, k, made)

    def _complete(self, opened: _Open, k: int, answers: Sequence[Answer]) -> None:
        try:
            row = self._asker.row(opened.window.items[k], answers)
        except TinsmithError as fault:
            self._fail(opened, k, str(fault))
            return
        opened.tokens += sum(len(one.completion.token_ids) for one in answers)
        self._write(opened, k, row)

    def _fail(self, opened: _Open, k: int, reason: str) -> None:
        if opened.lines[k] is not None:
            return
        opened.failed += 1
        self._write(opened, k, self._asker.fault(opened.window.items[k], reason))

    @staticmethod
    def _write(opened: _Open, k: int, row: dict[str, Any]) -> None:
        opened.answers.pop(k, None)
        opened.lines[k] = json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        opened.missing -= 1

    def _done(self, opened: _Open) -> Done:
        if self._cache:
            self._cache.commit()
        lines = b"".join(line for line in opened.lines if line is not None)
        count = len(opened.window.items)
        return Done(opened.window.first, count, lines, opened.failed, opened.tokens, opened.known)
