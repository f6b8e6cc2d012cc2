"""Chooses an adapter for a prompt, by the base's hidden state after it."""

from __future__ import annotations

import struct
import time
from typing import Any

from tinsmith import _core
from tinsmith.errors import FormatError, InputError, RuntimeFault
from tinsmith.formats.router import ENTRY
from tinsmith.runtime.asking import Prompt, conversation, unrendered
from tinsmith.runtime.generation import Completion, Route
from tinsmith.runtime.loaded import Loaded


class Router:
    """The router of a model's file."""

    def __init__(self, model: Loaded) -> None:
        """Raises InputError for a file without a router, FormatError for a damaged one."""
        if ENTRY not in model.tin.names:
            raise InputError("the model's file has no router; give the adapter by its name")
        try:
            self.core = _core.Router(model.core, model.tin.entry(ENTRY))
        except RuntimeFault as fault:
            raise FormatError(f"{ENTRY}: {fault}") from fault
        self._tasks = list(self.core.info()["tasks"])

    def of(self, session: _core.Session) -> Route:
        """The route of the prompt that the session computed last."""
        task, taken, probability, least, scores = session.route(self.core)
        best = self._tasks[task]
        by_task = dict(zip(self._tasks, struct.unpack_from(f"<{len(self._tasks)}f", scores), strict=True))
        chosen = best if taken else None
        return Route(task=chosen, best=best, probability=probability, least=least, scores=by_task)


def tokens_of(model: Loaded, prompt: Prompt) -> list[int]:
    """The prompt in tokens, by the base's template, if it has one."""
    plain = unrendered(model, prompt, model.skill)
    return model.render(conversation(prompt)) if plain is None else plain


def computed(model: Loaded, prompt: Prompt) -> _core.Session:
    """A session that has computed the prompt without an adapter; valid until the next generation."""
    if model.engine is not None:
        raise InputError("only the native runtime gives hidden states; open the model with the back end native")
    session = model.open_session(tokens_of(model, prompt), 1)
    session.step()
    return session


def choose(
    model: Loaded, router: Router, prompt: Prompt, options: dict[str, Any]
) -> tuple[Route, Completion | None]:
    """Sets the adapter of a generation's options by the prompt's route. A route without a task comes with an
    empty answer."""
    if options.get("adapter") is not None:
        raise InputError("route chooses the adapter: give either route or an adapter")
    started = time.perf_counter()
    session = computed(model, prompt)
    route = router.of(session)
    options["adapter"] = route.task
    if route.task is not None:
        return route, None
    return route, Completion(
        text="",
        token_ids=[],
        prompt_tokens=len(session.tokens()[1]),
        seconds=time.perf_counter() - started,
        finish="none",
        evaluations=1,
        route=route,
    )
