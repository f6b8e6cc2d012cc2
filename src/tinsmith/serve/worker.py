"""A model's thread, which does all its computation; the event loop submits work and receives updates."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from tinsmith.runtime.choice import TokenChoice
from tinsmith.runtime.generation import Completion, TokenRequest
from tinsmith.runtime.loaded import Loaded
from tinsmith.runtime.scheduler import Job, Scheduler
from tinsmith.serve.errors import ApiError, overloaded
from tinsmith.serve.fair_queue import FairQueue

STEP_SECONDS = 0.05  # of a step, after which new requests are taken
SlicedWork = Iterator[Any]  # yields None after each slice, and at last its result


@dataclass(frozen=True)
class _SlicedTask:
    client: str
    work: SlicedWork
    result: Future[Any]


@dataclass(frozen=True, kw_only=True)
class Update:
    """An answer's growth since the last update."""

    text: str
    tokens: list[int]  # with control tokens, which the text lacks
    choices: list[TokenChoice]
    cached: int  # tokens of the prompt that were cached
    completion: Completion | None  # once the answer is complete


Deliver = Callable[[Update | Exception], None]


class AnswerHandle:
    """An answer in flight, for the event loop."""

    def __init__(self, worker: Worker, request: TokenRequest, deliver: Deliver) -> None:
        self.request = request
        self.loop = asyncio.get_running_loop()
        self.job: Job | None = None  # for the thread, as are the next two
        self.choices_sent = 0
        self.tokens_sent = 0
        self.started = time.monotonic()
        self.done = False
        self._worker, self._deliver = worker, deliver
        self._callbacks: list[Callable[[], None]] = []

    def receive(self, update: Update | Exception) -> None:
        self._deliver(update)
        if isinstance(update, Exception) or update.completion is not None:
            self._end()

    def cancel(self) -> None:
        """Frees the slot at the next step. Does nothing after the end."""
        if not self.done:
            self._end()
            self._worker.cancelled += 1
            self._worker.call(lambda: self._worker.drop(self))

    def on_end(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def _end(self) -> None:
        if not self.done:
            self.done = True
            self._worker.on_answer_end(self)
            for callback in self._callbacks:
                callback()


class Worker:
    """All public methods but `drop` are for the event loop."""

    def __init__(self, name: str, model: Loaded, *, slots: int, context: int, queue: int) -> None:
        """slots: concurrent answers. context: tokens of a conversation. queue: answers that may wait."""
        self.name, self.model, self.slots, self.context = name, model, slots, context
        self.cancelled = 0
        self.failed = 0
        self.in_flight: set[AnswerHandle] = set()
        self._capacity = slots + queue
        self._answer_seconds = 1.0  # moving average
        self._closed = False
        self._busy_seconds, self._answer_tokens = 0.0, 0
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._jobs: dict[Job, AnswerHandle] = {}
        self._answers: FairQueue[AnswerHandle] = FairQueue(slots)
        self._sliced_waiting = 0  # with the running task; the event loop's count
        self._sliced: FairQueue[_SlicedTask] = FairQueue(1)  # the model has one session outside the batch
        self._sliced_task: _SlicedTask | None = None  # running
        self._scheduler = self._new_scheduler()
        self._thread = threading.Thread(target=self._run, name=f"tinsmith {name}", daemon=True)
        self._thread.start()

    def _new_scheduler(self) -> Scheduler:
        return Scheduler(self.model, slots=self.slots, context=self.context)

    @property
    def memory(self) -> int:
        return self._scheduler.memory

    @property
    def running(self) -> int:
        """Answers that have a slot."""
        return self._scheduler.running

    @property
    def waiting(self) -> int:
        """Answers that wait for a slot."""
        return max(0, len(self.in_flight) - self.running)

    @property
    def tokens_per_second(self) -> float | None:
        """Answer tokens per second of compute, of all slots together; None before the first answer."""
        return round(self._answer_tokens / self._busy_seconds, 1) if self._answer_tokens else None

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def check_queue(self, answers: int) -> None:
        """Raises ApiError where the queue has no room for `answers` more."""
        if answers > self._capacity:
            raise ApiError(400, f"{answers} answers requested; this server has room for {self._capacity}", "n")
        if len(self.in_flight) + answers > self._capacity:
            seconds = round(self._answer_seconds * self.waiting / self.slots)
            raise overloaded(f"{self.waiting} answers are waiting for a slot", min(60, max(1, seconds)))

    def submit(self, request: TokenRequest, deliver: Deliver) -> AnswerHandle:
        """deliver: gets each update, and at the end a completion or the scheduler's error."""
        handle = AnswerHandle(self, request, deliver)
        self.in_flight.add(handle)
        self.call(lambda: self._answers.put(request.scope, handle))
        return handle

    def on_answer_end(self, handle: AnswerHandle) -> None:
        self.in_flight.discard(handle)
        self._answer_seconds += 0.1 * (time.monotonic() - handle.started - self._answer_seconds)

    async def run_sliced(self, client: str, start: Callable[[], SlicedWork]) -> Any:
        """Runs work on the model in slices between the batch's steps; clients take turns."""
        self.check_queue(1 + self._sliced_waiting)
        result = Future[Any]()
        self.call(lambda: self._sliced.put(client, _SlicedTask(client, start(), result)))
        self._sliced_waiting += 1
        try:
            return await asyncio.wrap_future(result)
        finally:
            self._sliced_waiting -= 1

    def call(self, callback: Callable[[], None]) -> None:
        """Runs a callback in the thread before its next step."""
        self._inbox.put(callback)

    def close(self) -> None:
        self.call(self._close)
        self._thread.join()

    # The rest runs in the thread.

    def _close(self) -> None:
        self._closed = True

    def _run(self) -> None:
        while not self._closed:
            try:
                self._read_inbox()
                self._step()
            except Exception as error:
                print(traceback.format_exc(), file=sys.stderr)
                self._restart(error)

    def _read_inbox(self) -> None:
        """Runs callbacks; waits for one where there is no other work."""
        while not self._closed:
            try:
                self._inbox.get(block=not self._has_work())()
            except Empty:
                return

    def _has_work(self) -> bool:
        return bool(self._jobs or self._sliced_task or len(self._answers) or len(self._sliced))

    def _step(self) -> None:
        self._fill_slots()
        if self._jobs:
            started = time.monotonic()
            jobs = self._scheduler.step(STEP_SECONDS)
            self._busy_seconds += time.monotonic() - started
            _publish(
                [(self._jobs[job], self._update(job, self._jobs[job])) for job in jobs if job in self._jobs]
            )
        self._run_slice()

    def _run_slice(self) -> None:
        task = self._sliced_task = self._sliced_task or self._sliced.next()
        if task is None:
            return
        with suppress(InvalidStateError):  # the client has disconnected
            try:
                result = None if task.result.cancelled() else next(task.work)
            except Exception as error:
                task.result.set_exception(error)
            else:
                if result is None and not task.result.cancelled():
                    return
                task.result.set_result(result)
        self._sliced_task = None
        self._sliced.release(task.client)

    def _update(self, job: Job, handle: AnswerHandle) -> Update | Exception:
        if job.done:
            del self._jobs[job]
            self._answers.release(handle.request.scope)
            self._answer_tokens += len(job.completion.token_ids) if job.completion else 0
        if job.error is not None:
            return job.error
        choices = job.choices[handle.choices_sent :]
        handle.choices_sent += len(choices)
        tokens = job.answered[handle.tokens_sent :]
        handle.tokens_sent += len(tokens)
        return Update(
            text=job.take(), tokens=tokens, choices=choices, cached=job.cached_tokens, completion=job.completion
        )

    def _fill_slots(self) -> None:
        while (handle := self._answers.next()) is not None:
            try:
                handle.job = self._scheduler.add(handle.request)
            except Exception as error:
                self._answers.release(handle.request.scope)
                _publish([(handle, error)])
            else:
                self._jobs[handle.job] = handle

    def drop(self, handle: AnswerHandle) -> None:
        if handle.job is None:
            self._answers.remove(handle.request.scope, handle)
        elif self._jobs.pop(handle.job, None) is not None:
            self._answers.release(handle.request.scope)
            self._scheduler.cancel(handle.job)

    def _restart(self, error: Exception) -> None:
        """Fails all running answers; waiting ones get a new scheduler."""
        self.failed += 1
        handles, self._jobs = list(self._jobs.values()), {}
        for handle in handles:
            self._answers.release(handle.request.scope)
        _publish([(handle, error) for handle in handles])
        self._scheduler = self._new_scheduler()


def _publish(updates: list[tuple[AnswerHandle, Update | Exception]]) -> None:
    def receive() -> None:
        for handle, update in updates:
            handle.receive(update)

    if updates:
        with suppress(RuntimeError):  # the event loop is closed
            updates[0][0].loop.call_soon_threadsafe(receive)
