"""The computing thread: works in slices, and takes questions and cancels between them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from tinsmith.errors import TinsmithError

from .mind import Answer, Question

if TYPE_CHECKING:
    from tinsmith.runtime.scheduler import Job

    from .mind import Mind

SLICE = 0.02  # seconds, where there is no budget


def _nothing(_: str) -> None:
    pass


class Ticket:
    """A question under way. on_piece, on_end: called by the worker's thread; on_end once, whatever happens.
    text: of the answer, so far."""

    def __init__(
        self, question: Question, on_end: Callable[[Answer], None], on_piece: Callable[[str], None]
    ) -> None:
        self.question = question
        self.text = ""
        self.on_end, self.on_piece = on_end, on_piece
        self.cancelled: Callable[[], bool] | None = None


class Worker:
    """budget, period: seconds of every so many that it may compute; budget 0: all of them."""

    def __init__(self, mind: Mind, budget: float, period: float, log: Callable[[str], None]) -> None:
        self._mind, self._budget, self._period, self._log = mind, budget, period, log
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._open: dict[Job, Ticket] = {}
        self._cancelling: list[Ticket] = []
        self._asked = 0  # tickets without an end; its thread and those that ask change it, under the lock
        self._over = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="tinsmith")
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Questions that are not answered, those that are computed among them."""
        return self._asked

    def ask(
        self,
        question: Question,
        on_end: Callable[[Answer], None],
        on_piece: Callable[[str], None] = _nothing,
    ) -> Ticket:
        ticket = Ticket(question, on_end, on_piece)
        with self._lock:
            over, self._asked = self._over, self._asked + 1
            if not over:
                self._inbox.put(lambda: self._add(ticket))
        if over:
            self._end(ticket, Answer(error="the node is not active"))
        return ticket

    def cancel(self, ticket: Ticket, when: Callable[[], bool] = lambda: True) -> None:
        """Ends it at the first slice where `when` holds, unless its answer came first."""
        ticket.cancelled = when
        self._inbox.put(lambda: self._cancelling.append(ticket))

    def stop(self, why: str) -> None:
        """Ends all that is under way, with this for an error, and the thread."""
        with self._lock:
            self._over = True
        self._inbox.put(lambda: self._fail(why))
        self._thread.join()

    def _run(self) -> None:
        while not self._over or not self._inbox.empty():
            self._take()
            try:
                self._slice()
            except TinsmithError as error:
                self._fail(str(error))

    def _take(self) -> None:
        """Takes new questions; waits for one where there is nothing to compute."""
        while not self._open or not self._inbox.empty():
            self._inbox.get()()
            if self._over and self._inbox.empty():
                return

    def _slice(self) -> None:
        began = time.perf_counter()
        self._drop()
        end = began + (self._budget or SLICE)
        while self._open and (left := end - time.perf_counter()) > 0:
            for job in self._mind.scheduler.step(left):
                self._tell(job, self._open[job])
        if self._budget and self._open:
            time.sleep(max(0.0, began + self._period - time.perf_counter()))

    def _add(self, ticket: Ticket) -> None:
        try:
            job = self._mind.scheduler.add(self._mind.asked(ticket.question))
        except TinsmithError as error:
            self._end(ticket, Answer(error=str(error)))
        else:
            self._open[job] = ticket

    def _tell(self, job: Job, ticket: Ticket) -> None:
        piece = job.take()
        ticket.text += piece
        if piece:
            self._call(lambda: ticket.on_piece(piece))
        if job.done:
            del self._open[job]
            try:
                answer = self._mind.answer(ticket.question, job)
            except TinsmithError as error:
                answer = Answer(text=ticket.text, error=str(error))
            self._end(ticket, answer)

    def _drop(self) -> None:
        if not self._cancelling:
            return
        due = [ticket for ticket in self._cancelling if ticket.cancelled and ticket.cancelled()]
        jobs = {ticket: job for job, ticket in self._open.items()}
        for ticket in due:
            if (job := jobs.get(ticket)) is not None:
                self._mind.scheduler.cancel(job)
                del self._open[job]
                self._end(ticket, Answer(text=ticket.text, error="cancelled"))
        self._cancelling = [one for one in self._cancelling if one in jobs and one not in due]

    def _fail(self, why: str) -> None:
        for job in list(self._open):
            self._mind.scheduler.cancel(job)
            ticket = self._open.pop(job)
            self._end(ticket, replace(Answer(error=why), text=ticket.text))

    def _end(self, ticket: Ticket, answer: Answer) -> None:
        with self._lock:
            self._asked -= 1
        self._call(lambda: ticket.on_end(answer))

    def _call(self, told: Callable[[], None]) -> None:
        """An error of a callback must not end the thread."""
        try:
            told()
        except Exception as error:
            self._log(f"{type(error).__name__}: {error}")
