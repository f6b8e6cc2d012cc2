"""The model in its own thread, and its conversations."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from tinsmith.runtime.answerer import Answer, Answerer, Question
from tinsmith.runtime.generation import LOOKUP, Sampling

_CONVERSATIONS = 32  # that are remembered, by their names
_TURNS = 8  # of each


@dataclass(frozen=True)
class Asking:
    """Settings of all questions. tools: the answer calls them. unconstrained: without the file's constraint."""

    system: str | None = None
    adapter: str | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    unconstrained: bool = False
    max_tokens: int = 256
    sampling: Sampling = field(default_factory=lambda: Sampling(lookup=LOOKUP))


class Mind:
    """Answers one question at a time; others wait for their turn."""

    def __init__(self, answerer: Answerer, asking: Asking) -> None:
        """Raises InputError for an adapter that is not there."""
        self.model = answerer.model
        own = None if asking.unconstrained else self.model.skill_of(asking.adapter).constraint
        # Whether answers are calls: then each is of what is said alone, as such models are trained.
        self.calls = bool(asking.tools) or (own is not None and own.kind == "tools")
        self._answerer, self._asking = answerer, asking
        self._pool = ThreadPoolExecutor(1, "tinsmith")
        self._closing = Event()
        self._said: dict[str, list[dict[str, str]]] = {}

    async def answer(self, text: str, conversation: str | None) -> Answer | None:
        """None where the service ends. Raises TinsmithError. Cancelling the task cancels the answer."""
        before = [] if self.calls or conversation is None else self._said.pop(conversation, [])
        said = [*before, {"role": "user", "content": text}]
        asking = self._asking
        system = [] if asking.system is None else [{"role": "system", "content": asking.system}]
        question = Question(
            messages=[*system, *said],
            tools=asking.tools,
            unconstrained=asking.unconstrained,
            adapter=asking.adapter,
            max_tokens=asking.max_tokens,
            sampling=asking.sampling,
        )
        unwanted = Event()
        try:
            answer = await asyncio.get_running_loop().run_in_executor(
                self._pool,
                self._answerer.answer,
                question,
                lambda: unwanted.is_set() or self._closing.is_set(),
            )
        except asyncio.CancelledError:
            unwanted.set()
            raise
        if answer is not None and conversation is not None and not self.calls:
            self._remember(conversation, [*said, {"role": "assistant", "content": answer.text}])
        return answer

    def _remember(self, conversation: str, said: list[dict[str, str]]) -> None:
        if len(self._said) >= _CONVERSATIONS:
            self._said.pop(next(iter(self._said)))
        self._said[conversation] = said[-2 * _TURNS :]

    async def close(self) -> None:
        self._closing.set()
        await asyncio.get_running_loop().run_in_executor(self._pool, self._answerer.close)
        self._pool.shutdown()
