"""Answers windows of items by one model.

It sorts a window's prompts, to compute common prefixes once, and answers equal questions once. Lines have the
items' order.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, replace
from typing import Any

from tinsmith.batch.answers import Answer, Request
from tinsmith.batch.cache import Cache, CachedAnswer
from tinsmith.batch.items import Item
from tinsmith.batch.requests import RequestBuilder
from tinsmith.batch.settings import Settings
from tinsmith.errors import InputError, RuntimeFault, TinsmithError
from tinsmith.runtime import Model
from tinsmith.runtime.adapters import prefix_of, rank_of
from tinsmith.runtime.choice import TokenChoice
from tinsmith.runtime.generation import Completion
from tinsmith.runtime.receipt import Question, question, receipt
from tinsmith.runtime.scheduler import Job, Scheduler

SLOTS = 8
_WINDOWS = 2  # in flight: one that ends, and one to keep the slots full


@dataclass(frozen=True)
class Window:
    """Consecutive items. first: the number of items before them."""

    first: int
    items: Sequence[Item]


@dataclass
class Counts:
    """failed: items. tokens: of answers. known: answers from the cache or of an equal item. bytes: of lines."""

    items: int = 0
    failed: int = 0
    tokens: int = 0
    known: int = 0
    bytes: int = 0

    def plus(self, more: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(more), strict=True)))


@dataclass(frozen=True)
class WindowResult:
    """first: as the window's. lines: of all items, in their order."""

    first: int
    lines: bytes
    counts: Counts


class _OpenWindow:
    def __init__(self, window: Window) -> None:
        self.window, self.missing = window, len(window.items)
        self.lines: list[bytes | None] = [None] * self.missing  # None: not answered yet
        self.answers: dict[int, list[Answer | None]] = {}  # of items without a line
        self.counts = Counts(self.missing)

    def write(self, k: int, row: dict[str, Any]) -> None:
        self.answers.pop(k, None)
        line = json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        self.lines[k] = line
        self.counts.bytes += len(line)
        self.missing -= 1

    @property
    def result(self) -> WindowResult:
        return WindowResult(self.window.first, b"".join(filter(None, self.lines)), self.counts)


@dataclass
class _Pending:
    """A question and its items, each as its window, its index there, and the request's number."""

    request: Request
    key: Question
    tries: int  # left
    items: list[tuple[_OpenWindow, int, int]] = field(default_factory=list)


class Engine:
    """The executor of this process, whose `results` computes a step."""

    def __init__(
        self, model: Model, settings: Settings, slots: int = SLOTS, retry: int = 0, cache: Cache | None = None
    ) -> None:
        self._builder = RequestBuilder(model, settings)
        self._model, self._slots, self._retry, self._cache = model, slots, retry, cache
        self._scheduler: Scheduler | None = None
        self._context = 0
        self._max_context = model.core.info()["context"]
        self._jobs: dict[Job, _Pending] = {}
        self._open: list[_OpenWindow] = []
        self._ready: deque[_Pending] = deque()  # for the scheduler

    @property
    def has_room(self) -> bool:
        """Whether the slots need another window."""
        return len(self._open) < _WINDOWS and not self._ready

    @property
    def idle(self) -> bool:
        return not self._open

    def close(self) -> None:
        self._builder.close()
        if self._scheduler is not None:
            self._scheduler.close()
        if self._cache is not None:
            self._cache.close()

    def submit(self, window: Window) -> None:
        opened = _OpenWindow(window)
        self._open.append(opened)
        pending: dict[tuple[str, int | None], _Pending] = {}
        for k, item in enumerate(window.items):
            try:
                requests = self._builder.requests(item)
                keys = [question(self._model, one.token_request) for one in requests]
            except TinsmithError as error:
                self._fail(opened, k, str(error))
                continue
            opened.answers[k] = [None] * len(requests)
            for number, (one, key) in enumerate(zip(requests, keys, strict=True)):
                sort = key.digest, one.token_request.tops if one.with_choices else None
                if sort in pending:
                    opened.counts.known += 1
                else:
                    pending[sort] = _Pending(one, key, self._retry)
                pending[sort].items.append((opened, k, number))
        self._take_cached(opened, pending)
        self._ready.extend(sorted(pending.values(), key=lambda one: one.request.sort_key))
        self._feed()

    def _take_cached(self, opened: _OpenWindow, pending: dict[tuple[str, int | None], _Pending]) -> None:
        """Answers from the cache, which has no log probabilities."""
        if self._cache is None:
            return
        keys = {digest: one for (digest, tops), one in pending.items() if tops is None}
        for key, cached in self._cache.get(keys).items():
            one = pending.pop((key, None))
            if (problem := cached.problem(self._model, one.key, one.request.token_request)) is not None:
                raise InputError(
                    f"{self._cache.path}: the answer {key[:12]}… {problem}: it, or a merged file, is "
                    "damaged; remove it"
                )
            opened.counts.known += 1
            self._answer(one, cached.completion, cached.receipt)

    def _feed(self) -> None:
        """Keeps the scheduler's queue short: requests need less memory here."""
        while self._ready and (self._scheduler is None or self._scheduler.waiting < self._slots):
            request = self._ready[0].request.token_request
            needed = prefix_of(request.applied) + len(request.tokens) + request.max_tokens + 1
            if needed > self._context < self._max_context:
                if self._jobs:  # they need the current scheduler
                    return
                self._context = min(self._max_context, max(256, 1 << (needed - 1).bit_length()))
                rank = rank_of(request.applied)
                self._scheduler = Scheduler(self._model, slots=self._slots, context=self._context, rank=rank)
            assert self._scheduler is not None
            pending = self._ready.popleft()
            try:
                self._jobs[self._scheduler.add(request)] = pending
            except TinsmithError as error:
                self._fail_all(pending, error)

    def results(self) -> list[WindowResult]:
        """Computes a step. Returns the windows that it completes."""
        if self._jobs:
            assert self._scheduler is not None
            for job in self._scheduler.step():
                if job.done:
                    self._end(job)
        self._feed()
        complete = [one.result for one in self._open if not one.missing]
        self._open = [one for one in self._open if one.missing]
        if complete and self._cache is not None:
            self._cache.commit()
        return complete

    def _end(self, job: Job) -> None:
        pending = self._jobs.pop(job)
        if isinstance(job.error, RuntimeFault) and pending.tries > 0:
            pending.tries -= 1
            self._ready.appendleft(pending)
        elif job.error is not None:
            self._fail_all(pending, job.error)
        elif job.completion is not None:
            made = receipt(self._model, pending.key, job.completion, job.choices)
            if self._cache is not None:
                self._cache.put(pending.key.digest, CachedAnswer(job.completion, made.logits, made.digest))
            self._answer(pending, job.completion, made.digest, job.choices)

    def _answer(
        self, pending: _Pending, completion: Completion, digest: str, choices: Sequence[TokenChoice] = ()
    ) -> None:
        if pending.request.thinks:
            completion = replace(completion, opened=True)
        for opened, k, number in pending.items:
            if opened.lines[k] is not None:  # another answer to the item failed
                continue
            opened.answers[k][number] = Answer(pending.request, completion, digest, choices)
            answers = [one for one in opened.answers[k] if one is not None]
            if len(answers) == len(opened.answers[k]):
                self._complete(opened, k, answers)

    def _complete(self, opened: _OpenWindow, k: int, answers: Sequence[Answer]) -> None:
        try:
            row = self._builder.row(opened.window.items[k], answers)
        except TinsmithError as error:
            self._fail(opened, k, str(error))
            return
        opened.counts.tokens += sum(len(one.completion.token_ids) for one in answers)
        opened.write(k, row)

    def _fail_all(self, pending: _Pending, error: TinsmithError) -> None:
        for opened, k, _ in pending.items:
            self._fail(opened, k, str(error))

    def _fail(self, opened: _OpenWindow, k: int, reason: str) -> None:
        if opened.lines[k] is not None:
            return
        opened.counts.failed += 1
        opened.write(k, self._builder.error_row(opened.window.items[k], reason))
