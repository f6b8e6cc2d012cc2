"""Runs a file in its own thread of this process. Opening a file imports tinsmith."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from homeassistant.exceptions import HomeAssistantError

from .engine import Answer, Call, EngineError, Facts, Question

if TYPE_CHECKING:
    from tinsmith.runtime.answerer import Answerer

_MISSING = "tinsmith is not in Home Assistant's Python; install it there, or ask a tinsmith serve instead"


class Local:
    """One question at a time; others wait for their turn."""

    def __init__(self, answerer: Answerer, pool: ThreadPoolExecutor, facts: Facts) -> None:
        self.facts = facts
        self._answerer: Answerer | None = answerer
        self._pool = pool
        self._closing = Event()

    @classmethod
    async def open(cls, path: str, key: str | None, context: int, threads: int, most_bytes: int) -> Local:
        """Raises EngineError."""
        pool = ThreadPoolExecutor(1, "tinsmith")
        try:
            loop = asyncio.get_running_loop()
            answerer, facts = await loop.run_in_executor(
                pool, _opened, Path(path), key or None, context, threads or None, most_bytes
            )
        except BaseException:
            pool.shutdown(wait=False)
            raise
        return cls(answerer, pool, facts)

    async def ask(self, question: Question) -> Answer:
        if self._closing.is_set():
            raise HomeAssistantError("the file is closed")
        unwanted = Event()
        try:
            answer = await asyncio.get_running_loop().run_in_executor(
                self._pool, self._answer, question, unwanted
            )
        except asyncio.CancelledError:
            unwanted.set()
            raise
        if answer is None:
            raise HomeAssistantError("the file was closed before the answer was complete")
        return answer

    def _answer(self, question: Question, unwanted: Event) -> Answer | None:
        from tinsmith.errors import TinsmithError
        from tinsmith.runtime.answerer import Question as Asked
        from tinsmith.runtime.generation import LOOKUP, Sampling

        if self._answerer is None:
            return None
        asked = Asked(
            messages=question.messages,
            tools=question.tools,
            must_call=question.must_call,
            schema=question.schema,
            unconstrained=question.unconstrained,
            adapter=question.adapter,
            max_tokens=question.max_tokens,
            sampling=Sampling(
                temperature=question.temperature,
                top_p=question.top_p,
                repetition_penalty=question.repetition_penalty,
                seed=question.seed,
                lookup=LOOKUP,
            ),
        )
        try:
            answer = self._answerer.answer(asked, lambda: unwanted.is_set() or self._closing.is_set())
        except TinsmithError as error:
            raise HomeAssistantError(str(error)) from error
        if answer is None:
            return None
        calls = [Call(call.name, call.arguments) for call in answer.calls]
        return Answer(answer.text, calls, answer.finish, answer.confident, answer.receipt.digest)

    async def close(self) -> None:
        """Returns after the thread has ended and released the file's memory."""
        self._closing.set()
        await asyncio.get_running_loop().run_in_executor(self._pool, self._free)
        self._pool.shutdown()

    def _free(self) -> None:
        if self._answerer is not None:
            self._answerer.close()
        self._answerer = None


def _opened(
    path: Path, key: str | None, context: int, threads: int | None, most_bytes: int
) -> tuple[Answerer, Facts]:
    """On the thread: reading, checking and planning take a while."""
    try:
        import tinsmith
        from tinsmith.errors import TinsmithError
        from tinsmith.runtime.answerer import Answerer
    except ImportError as error:
        raise EngineError(_MISSING, lasting=True) from error
    try:
        model = tinsmith.load(path, threads=threads, key=key)
        answerer = Answerer(model, context=context, most_bytes=most_bytes)
    except (TinsmithError, OSError) as error:
        # A disk may be mounted later; what is wrong with a file that is there stays so.
        raise EngineError(str(error), lasting=path.exists()) from error
    info, own = model.info, model.constraint
    told: dict[str, Any] = {
        "parameters": info.parameters,
        "context": info.context,
        "isa": info.isa,
        "threads": info.threads,
        "weights_bytes": info.bytes,
        "conversation_bytes": answerer.memory,
        "file": model.digest,
        "version": tinsmith.__version__,
    }
    facts = Facts(info.name or path.stem, list(model.adapters), own is not None and own.kind == "tools", told)
    return answerer, facts
