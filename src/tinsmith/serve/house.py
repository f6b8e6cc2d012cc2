"""What all requests share: models, limits, the compiler, counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tinsmith.serve.compiling import Compiler
from tinsmith.serve.fair import Threads
from tinsmith.serve.faults import Refused
from tinsmith.serve.metrics import Metrics

if TYPE_CHECKING:
    from tinsmith.runtime.scheduler import Asked
    from tinsmith.serve.limits import Limits
    from tinsmith.serve.shelf import Shelf, Target
    from tinsmith.serve.worker import Ticket, Worker

_THREADS = 4  # beside the event loop: the interpreter runs one at a time, the core's work several


class House:
    def __init__(self, shelf: Shelf, limits: Limits) -> None:
        self.shelf, self.limits = shelf, limits
        self.compiler = Compiler(limits)
        self.metrics = Metrics()
        self.threads = Threads(_THREADS, each=_THREADS - 1, most=limits.streams, what="requests")
        self._streams: Counter[str] = Counter()  # answers under way by scope

    def named(self, name: str | None) -> Target:
        """The model of this name; without one, the only one."""
        if name is None and len(self.shelf.served) > 1:
            raise Refused(400, f"name the model: {', '.join(self.shelf.names[:20])}", "model")
        return self.shelf.find(self.shelf.names[0] if name is None else name)

    def admit(self, scope: str, worker: Worker, answers: int) -> None:
        """Raises Refused where there is no room for so many more answers."""
        most = self.limits.streams
        if answers > most:
            raise Refused(400, f"asks for {answers} answers; a client may have {most} under way", "n")
        if self._streams[scope] + answers > most:
            raise Refused(
                429,
                f"{self._streams[scope]} answers are under way for this client, of {most}; ask again later",
                code="rate_limit_exceeded",
                after=1,
            )
        worker.check_room(answers)

    @contextmanager
    def taking(self, scope: str, worker: Worker, answers: int = 1) -> Iterator[None]:
        """Counts what is no answer of a batch, or not yet, as so many. Raises Refused as admit does."""
        self.admit(scope, worker, answers)
        self._streams[scope] += answers
        try:
            yield
        finally:
            self._give_back(scope, answers)

    def _give_back(self, scope: str, answers: int = 1) -> None:
        self._streams[scope] -= answers
        if not self._streams[scope]:
            del self._streams[scope]

    def submit(self, worker: Worker, asked: Asked) -> Ticket:
        ticket = worker.submit(asked)
        self._streams[asked.scope] += 1
        ticket.at_end(lambda: self._give_back(asked.scope))
        return ticket

    def count(self, answers: int | None) -> int:
        """Of answers to one question."""
        if answers is not None and answers > self.limits.answers:
            raise Refused(400, f"n is {answers}; give 1 to {self.limits.answers}", "n")
        return answers or 1

    def tokens(self, most: int | None, param: str = "max_tokens") -> int | None:
        """Of an answer, as a request asks for."""
        limit = self.limits.tokens
        if most is not None and limit is not None and most > limit:
            raise Refused(400, f"{param} is {most}; this server gives {limit} at most", param)
        return most

    async def close(self) -> None:
        """Ends what runs beside the event loop."""
        await self.compiler.close()
        self.threads.close()
        self.shelf.close()
