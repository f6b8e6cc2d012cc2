"""Continuous batching: requests join and leave a running batch; each answer is that of `generate` alone."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from contextlib import closing

from tinsmith import _core
from tinsmith.checks import real, whole
from tinsmith.errors import InputError, RuntimeFault, TinsmithError, UnsupportedError
from tinsmith.runtime.adapters import prefix_of, rank_of
from tinsmith.runtime.choice import MOST_TOPS, choice_of, record
from tinsmith.runtime.generation import FINISH, Answer, Completion, Finish, TokenRequest, check_max_tokens
from tinsmith.runtime.image_prompt import begin, checked, rows_in
from tinsmith.runtime.loaded import CHECKPOINTS, Loaded
from tinsmith.runtime.slots import Slot, Slots
from tinsmith.runtime.stepped import nanoseconds

KEPT = 2
DELAY = 0.05  # seconds
_SLICE = 8, 32  # tokens of prompts computed beside running answers: fewest, first


class Job:
    """A request, and its answer as it grows."""

    def __init__(self, request: TokenRequest, tokens: list[int], answer: Answer) -> None:
        self.request = request
        self.tokens = tokens
        self.choices = answer.choices
        self.cached_tokens = 0  # of the prompt, computed for an earlier request
        self.completion: Completion | None = None  # once done
        self.error: TinsmithError | None = None  # once failed
        self._answer = answer
        self._pieces: list[str] = []

    @property
    def done(self) -> bool:
        return self.completion is not None or self.error is not None

    @property
    def answered(self) -> list[int]:
        """The answer's tokens so far."""
        return self._answer.tokens

    def take(self) -> str:
        """The text since the last call."""
        text = "".join(self._pieces)
        self._pieces.clear()
        return text


class Scheduler:
    """Not thread-safe. It plans its memory when it is created: `slots` concurrent answers, and `kept` more
    sessions with computed prefixes, of `context` positions each."""

    def __init__(
        self,
        model: Loaded,
        *,
        slots: int = 8,
        context: int | None = None,
        rank: int | None = None,
        pass_tokens: int | None = None,
        kept: int = KEPT,
        delay: float | None = DELAY,
    ) -> None:
        """context: most tokens of a prompt with its answer; None: the model's. rank: room for an answer's
        adapters; None: for each of the model's alone. pass_tokens: most tokens of a pass; None: the model's.
        delay: seconds that a pass may take while answers run, which limits the prompt tokens in it by measured
        speed; None: no limit, for throughput. It changes no token.

        Raises UnsupportedError for a model in another runtime, which computes one conversation at a time.
        """
        if model.engine is not None:
            raise UnsupportedError(
                f"{model.engine.runtime} computes one conversation at a time; take the back end native"
            )
        info = model.core.info()
        self._model = model
        self._most = whole("slots", slots, 1)
        self.context = whole("context", info["context"] if context is None else context, 1, info["context"])
        self._short = self.context < info["context"]
        self._image_rows = self.context if "vision" in model.tin.manifest else 0
        ranks = (one.rank for one in model.adapters.values()) if rank is None else (rank,)
        self.rank = max(ranks, default=0)
        rows = whole("pass_tokens", info["chunk"] if pass_tokens is None else pass_tokens, 1, _core.MAX_CHUNK)
        self._batch = _core.Batch(
            model.core, rows=rows, threads=model.threads, adapter_rank=self.rank, duty_cycle=model.duty_cycle
        )
        self._rows, self._delay = rows, None if delay is None else real("delay", delay, 0, 1e6)
        self._slice = 0 if delay is None else min(rows, _SLICE[1])
        self._batch.slice(self._slice)
        self._seconds = 0.0  # since a pass last computed tokens of prompts
        sessions = [self._session(rows) for _ in range(self._most + whole("kept", kept))]
        for session in sessions:
            self._batch.add(session)
        self.memory: int = self._batch.size() + sum(session.size() for session in sessions)
        self._slots: Slots[Job] = Slots(sessions, info["state_bytes"] > 0)
        self._queue: deque[Job] = deque()

    def _session(self, rows: int) -> _core.Session:
        session = _core.Session(
            self._model.core,
            context=self.context,
            chunk=rows,
            logit_rows=rows,  # in the batch's memory
            kv_type=self._model.kv_type,
            batched=True,
            checkpoints=CHECKPOINTS,
            adapter_rank=self.rank,
            tiles=self._image_rows,
            image_rows=self._image_rows,
            searches=True,
        )
        session.record(MOST_TOPS)  # plans memory for it
        return session

    @property
    def waiting(self) -> int:
        """Jobs without a slot."""
        return len(self._queue)

    @property
    def running(self) -> int:
        return sum(slot.job is not None for slot in self._slots.all)

    def add(self, request: TokenRequest) -> Job:
        """Queues a request; first come, first served. Raises InputError for one that can never fit."""
        most = check_max_tokens(request.max_tokens)
        vocab = self._model.core.info()["vocab"]
        whole("tops", request.tops, 0, MOST_TOPS)
        request.sampling.check(vocab)
        tokens = checked(request.tokens, vocab)
        if rows_in(tokens) > self._image_rows:
            raise InputError("this model has no image input; ask by text")
        room, rank = self.context - prefix_of(request.applied), rank_of(request.applied)
        if not 0 < len(tokens) <= room:
            raise InputError(f"a prompt of {len(tokens)} tokens; give 1 to {room}")
        if self._short and len(tokens) + most > room:  # `generate` would continue beyond this context
            raise InputError(
                f"a prompt of {len(tokens)} tokens, and max_tokens {most}; they may be {room} in all"
            )
        if rank > self.rank:
            raise InputError(f"adapters of rank {rank}; there is room for {self.rank}: give a higher rank")
        job = Job(request, tokens, Answer(self._model.core, request))
        self._queue.append(job)
        return job

    def cancel(self, job: Job) -> None:
        """Frees the job's slot at once, without a completion. Does nothing for a completed job."""
        if job in self._queue:
            self._queue.remove(job)
        for slot in self._slots.all:
            if slot.job is job:
                self._free(slot)

    def close(self) -> None:
        """Cancels all jobs, and returns constraints to their pool."""
        self._queue.clear()
        self._batch.cancel()
        for slot in self._slots.all:
            slot.give_back()
            slot.job = None

    def step(self, budget: float | None = None) -> list[Job]:
        """Computes until jobs have news (text, choices, a completion or an error), and returns these jobs.
        budget: most seconds; None: no limit; 0 and below: the smallest step."""
        bound = () if budget is None else (nanoseconds(real("budget", budget, -math.inf, math.inf)),)
        news = self._seat()
        working = [slot for slot in self._slots.all if slot.job is not None]
        if news or not working:
            return news
        prompts = [one.session for one in working if one.job is not None and not one.job._answer.tokens]
        computed, began = sum(one.computed() for one in prompts), time.perf_counter()
        events = self._batch.step(*bound)
        if self._delay is not None:
            computed = sum(one.computed() for one in prompts) - computed
            self._watch(time.perf_counter() - began, computed, self._delay)
        if all(event == _core.STEP_IDLE for event in events):
            raise RuntimeFault("TIN_ERR_STATE", "the batch is idle, though answers are missing")
        for slot, event in zip(self._slots.all, events, strict=True):
            if slot.job is not None and self._take(slot, slot.job, event):
                news.append(slot.job)
                if slot.job.done:
                    slot.leave()
        return news

    def _watch(self, seconds: float, tokens: int, delay: float) -> None:
        """Sets the prompt tokens of a pass with running answers by its measured time. tokens: of prompts; a
        pass has a slice of them, or little less where it is full."""
        self._seconds += seconds
        if self._slice <= 2 * tokens <= 2 * self._slice:
            wanted = min(2.0 * self._slice, max(0.5 * self._slice, tokens * delay / self._seconds))
            self._slice = max(min(_SLICE[0], self._rows), min(self._rows, round(wanted)))
            self._batch.slice(self._slice)
        self._seconds = 0.0 if tokens else self._seconds

    def _seat(self) -> list[Job]:
        """Gives waiting jobs slots, and starts them unless another job is computing their prefix. Returns the
        jobs that failed."""
        while self._queue and self.running < self._most:
            job = self._queue.popleft()
            slot = self._slots.free(job.tokens, job.request.applied, job.request.scope)
            slot.job = job
            job._answer.started = time.perf_counter()
        failed = []
        for slot in self._slots.all:
            waiting = slot.job
            if waiting is None or slot.started:
                continue
            try:
                self._begin(slot, waiting)
            except TinsmithError as error:
                waiting.error = error
                failed.append(waiting)
                slot.leave()
        return failed

    def _begin(self, slot: Slot[Job], job: Job) -> None:
        request = job.request
        slot.set_adapters(request.applied, request.scope)
        if not self._slots.ready(slot, job.tokens):
            return
        slot.constrain(request.constraint, self._model.constraints)
        record(slot.session, request.record, request.tops)
        self._model.use_draft_table(slot.session, request.applied)
        begin(slot.session, job.tokens)
        job.cached_tokens = slot.session.computed()
        request.sampling.begin(slot.session, request.max_tokens)
        slot.tokens, slot.started = job.tokens, True

    def _take(self, slot: Slot[Job], job: Job, event: int) -> bool:
        """Handles a step's event; returns whether the job has news."""
        if event == _core.STEP_LOGITS and slot.cut is not None:
            slot.cut = None
            begin(slot.session, job.tokens)
            job.request.sampling.begin(slot.session, job.request.max_tokens)
        elif event == _core.STEP_TOKEN:
            token = slot.session.token()
            if job.request.recorded:
                job.choices.append(choice_of(slot.session, token, job.request.constraint is not None))
            job._pieces.append(job._answer.add(token))
            if job._answer.stopped:
                self._end(slot, job, "stop")
            return True
        elif event == _core.STEP_DONE:
            end = slot.session.token() if slot.session.finish() == _core.FINISH_END else -1
            self._end(slot, job, FINISH[slot.session.finish()], None if end < 0 else end)
            return True
        return False

    def _end(self, slot: Slot[Job], job: Job, finish: Finish, end: int | None = None) -> None:
        job._pieces.append(job._answer.end())
        session = slot.session
        job.completion = job._answer.completion(finish, session.passes(), session.log_probability(), end)

    def _free(self, slot: Slot[Job]) -> None:
        try:
            slot.leave()
        except RuntimeFault:  # a pass is computing its tokens
            self._batch.cancel()
            slot.leave()


def generate_many(model: Loaded, requests: Sequence[TokenRequest], concurrency: int) -> list[Completion]:
    """Model.generate_many for requests. Raises the error of the first that fails."""
    whole("concurrency", concurrency, 1)
    if not requests:
        return []
    with closing(scheduler_for(model, requests, concurrency)) as scheduler:
        jobs = {item: scheduler.add(requests[item]) for item in _order(requests)}
        while scheduler.running or scheduler.waiting:
            for job in scheduler.step():
                if job.error is not None:
                    raise job.error
        return [done for k in range(len(requests)) if (done := jobs[k].completion) is not None]


def scheduler_for(model: Loaded, requests: Sequence[TokenRequest], concurrency: int) -> Scheduler:
    """A scheduler with room for these requests."""
    longest = max(
        prefix_of(one.applied) + len(one.tokens) + check_max_tokens(one.max_tokens) for one in requests
    )
    return Scheduler(
        model,
        slots=min(concurrency, len(requests)),
        context=min(model.core.info()["context"], longest + 1),
        rank=max(rank_of(one.applied) for one in requests),
        kept=0,
        delay=None,
    )


def _order(requests: Sequence[TokenRequest]) -> list[int]:
    """The requests' numbers, grouped by adapters and then by equal prompts, which share computed prefixes."""
    first: dict[object, int] = {}
    keys = []
    for item, one in enumerate(requests):
        adapters = first.setdefault(one.applied, item)
        keys.append((adapters, first.setdefault((one.applied, tuple(one.tokens)), item), item))
    return [item for *_, item in sorted(keys)]
