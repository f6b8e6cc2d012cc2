"""Continuous batching: prompts join and leave a running batch, and each answer is that of `generate` alone."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tinsmith import _core
from tinsmith.checks import real, whole
from tinsmith.errors import InputError, RuntimeFault, TinsmithError, UnsupportedError
from tinsmith.runtime.adapters import Applied, prefix_of, rank_of
from tinsmith.runtime.choice import MOST_TOPS, TokenChoice, choice_of, record
from tinsmith.runtime.generation import FINISH, LOOKUP, Answer, Completion, Finish, Sampling, check_max_tokens
from tinsmith.runtime.image_prompt import begin, checked, rows_in
from tinsmith.runtime.loaded import CHECKPOINTS
from tinsmith.runtime.slots import Slot, Slots
from tinsmith.runtime.stepped import nanoseconds

if TYPE_CHECKING:
    from tinsmith.constraint import Constraint
    from tinsmith.runtime.loaded import Loaded

KEPT = 2
DELAY = 0.05  # seconds
_SLICE = 8, 32  # tokens of prompts beside running answers: the fewest, and how many at first


@dataclass(frozen=True)
class Asked:
    """A prompt, the adapters that it is answered under, what the answer may be, the logarithm of the
    probability from which on it is given (None: none is known), and whether its probability is counted.

    record: what its tokens are chosen by is kept, with `tops` alternatives of each. Where there are tops, or it
    is `confidence`, so are probabilities. scope: what the prompt shares with others is reused within a scope
    only."""

    tokens: Sequence[int]
    applied: Applied = ()
    constraint: Constraint | None = None
    least: float | None = None
    confidence: bool = False
    max_tokens: int = 256
    sampling: Sampling = field(default_factory=lambda: Sampling(lookup=LOOKUP))
    stop: Sequence[str] = ()
    tops: int = 0
    record: bool = False
    scope: str = ""


class Job:
    """What was asked, and its answer as it comes. choices: where they were to be kept. cached_tokens: of the
    prompt, those that were computed for another. completion: once it is done; error: once it has failed."""

    def __init__(self, asked: Asked, tokens: list[int], answer: Answer) -> None:
        self.asked = asked
        self.tokens = tokens
        self.choices: list[TokenChoice] = []
        self.cached_tokens = 0
        self.completion: Completion | None = None
        self.error: TinsmithError | None = None
        self._answer = answer
        self._pieces: list[str] = []
        self._started = time.perf_counter()

    @property
    def recorded(self) -> bool:
        return self.asked.record or self.asked.tops > 0

    @property
    def done(self) -> bool:
        return self.completion is not None or self.error is not None

    @property
    def answered(self) -> list[int]:
        """The answer's tokens so far."""
        return self._answer.tokens

    def take(self) -> str:
        """The text that came since it was last asked for."""
        text = "".join(self._pieces)
        self._pieces.clear()
        return text


class Scheduler:
    """One thread at a time may use it. Its memory is planned when it is made: `slots` answers at a time and
    `kept` more sessions that hold what was computed, of `context` positions each."""

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
        """context: most tokens of a prompt with its answer; None: the model's. rank: room for the adapters of
        an answer; None: for each of the model's alone. pass_tokens: most tokens that are computed at once;
        None: the model's own. delay: seconds that the next tokens of running answers may take beside prompts,
        of which as much is computed at once as was seen to take so long; None: no bound, where throughput is
        all. It changes no token.

        Raises UnsupportedError for a model that another runtime computes, one conversation at a time.
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
        known = (one.rank for one in model.adapters.values()) if rank is None else (rank,)
        self.rank = max(known, default=0)
        rows = whole("pass_tokens", info["chunk"] if pass_tokens is None else pass_tokens, 1, _core.MAX_CHUNK)
        self._batch = _core.Batch(
            model.core, rows=rows, threads=model.threads, adapter_rank=self.rank, duty_cycle=model.duty_cycle
        )
        self._rows, self._delay = rows, None if delay is None else real("delay", delay, 0, 1e6)
        self._slice = 0 if delay is None else min(rows, _SLICE[1])
        self._batch.slice(self._slice)
        self._seconds = 0.0  # since tokens of prompts were last seen to be computed
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
            logit_rows=rows,  # memory for them is the batch's
            kv_type=self._model.kv_type,
            batched=True,
            checkpoints=CHECKPOINTS,
            adapter_rank=self.rank,
            tiles=self._image_rows,
            image_rows=self._image_rows,
            searches=True,
        )
        session.record(MOST_TOPS)  # memory for it is planned too
        return session

    @property
    def waiting(self) -> int:
        """Jobs that have no slot yet."""
        return len(self._queue)

    @property
    def running(self) -> int:
        return sum(slot.job is not None for slot in self._slots.all)

    def add(self, asked: Asked) -> Job:
        """Queues a prompt; first come, first served. Raises InputError for one that can never fit."""
        check_max_tokens(asked.max_tokens)
        vocab = self._model.core.info()["vocab"]
        whole("tops", asked.tops, 0, MOST_TOPS)
        asked.sampling.check(vocab)
        tokens = checked(asked.tokens, vocab)
        if rows_in(tokens) > self._image_rows:
            raise InputError("this model has no image input; ask by text")
        room = self.context - prefix_of(asked.applied)
        if not 0 < len(tokens) <= room:
            raise InputError(f"a prompt of {len(tokens)} tokens; give 1 to {room}")
        most = asked.max_tokens
        if self._short and len(tokens) + most > room:  # `generate` would go on there
            raise InputError(
                f"a prompt of {len(tokens)} tokens, and max_tokens {most}; they may be {room} in all"
            )
        if rank_of(asked.applied) > self.rank:
            raise InputError(
                f"adapters of rank {rank_of(asked.applied)}; there is room for {self.rank}: give a higher rank"
            )
        job = Job(asked, tokens, Answer(self._model.core, asked.stop))
        self._queue.append(job)
        return job

    def cancel(self, job: Job) -> None:
        """Its slot is free at once. It comes to no completion; does nothing where it has one."""
        if job in self._queue:
            self._queue.remove(job)
        for slot in self._slots.all:
            if slot.job is job:
                self._free(slot)

    def close(self) -> None:
        """Cancels all, and gives back what was lent."""
        self._queue.clear()
        self._batch.cancel()
        for slot in self._slots.all:
            slot.give_back()
            slot.job = None

    def step(self, budget: float | None = None) -> list[Job]:
        """Computes until a job has news, for `budget` seconds at most (None: no bound; 0 and below: the least
        that can be done), and says which have: text, choices, a completion or an error."""
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
            raise RuntimeFault("TIN_ERR_STATE", "the batch has nothing to do, and answers are missing")
        for slot, event in zip(self._slots.all, events, strict=True):
            if slot.job is not None and self._take(slot, slot.job, event):
                news.append(slot.job)
                if slot.job.done:
                    slot.leave()
        return news

    def _watch(self, seconds: float, tokens: int, delay: float) -> None:
        """Sets how much of prompts is computed beside running answers by how long it was seen to take. tokens:
        of prompts; a pass has a slice of them, or little less where it is full."""
        self._seconds += seconds
        if self._slice <= 2 * tokens <= 2 * self._slice:
            wanted = min(2.0 * self._slice, max(0.5 * self._slice, tokens * delay / self._seconds))
            self._slice = max(min(_SLICE[0], self._rows), min(self._rows, round(wanted)))
            self._batch.slice(self._slice)
        self._seconds = 0.0 if tokens else self._seconds

    def _seat(self) -> list[Job]:
        """Gives slots to those who wait, and begins their answers where nobody else computes part of them.
        Those that failed."""
        while self._queue and self.running < self._most:
            job = self._queue.popleft()
            slot = self._slots.free(job.tokens, job.asked.applied, job.asked.scope)
            slot.job = job
            job._started = time.perf_counter()
        failed = []
        for slot in self._slots.all:
            job_here = slot.job
            if job_here is None or slot.started:
                continue
            try:
                self._begin(slot, job_here)
            except TinsmithError as error:
                job_here.error = error
                failed.append(job_here)
                slot.leave()
        return failed

    def _begin(self, slot: Slot[Job], job: Job) -> None:
        asked = job.asked
        slot.put_on(asked.applied, asked.scope)
        if not self._slots.ready(slot, job.tokens):
            return
        slot.constrain(asked.constraint, self._model.constraints)
        record(slot.session, asked.record, asked.tops)
        self._model.use_draft_table(slot.session, asked.applied)
        begin(slot.session, job.tokens)
        job.cached_tokens = slot.session.computed()
        self._generate(slot, job)
        slot.held, slot.started = job.tokens, True

    def _generate(self, slot: Slot[Job], job: Job) -> None:
        sampling = job.asked.sampling
        if job.asked.confidence and not sampling.confidence:
            sampling = replace(sampling, confidence=True)
        sampling.begin(slot.session, job.asked.max_tokens)

    def _take(self, slot: Slot[Job], job: Job, event: int) -> bool:
        """Takes up what has come. Whether that is news."""
        if event == _core.STEP_LOGITS and slot.cut is not None:
            slot.cut = None
            begin(slot.session, job.tokens)
            self._generate(slot, job)
        elif event == _core.STEP_TOKEN:
            token = slot.session.token()
            if job.recorded:
                job.choices.append(choice_of(slot.session, token, job.asked.constraint is not None))
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
        asked, answer, session = job.asked, job._answer, slot.session
        job.completion = Completion(
            answer.text,
            answer.tokens,
            len(job.tokens),
            time.perf_counter() - job._started,
            finish,
            session.passes(),
            log_probability=session.log_probability() if asked.confidence else None,
            least=asked.least,
            choices=tuple(job.choices),
            end=end,
        )

    def _free(self, slot: Slot[Job]) -> None:
        try:
            slot.leave()
        except RuntimeFault:  # its tokens are under way
            self._batch.cancel()
            slot.leave()
