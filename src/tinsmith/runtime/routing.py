"""Which of a model's skills a prompt is for, by the base's own hidden state after it."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, Any

from tinsmith import _core
from tinsmith.errors import FormatError, InputError, RuntimeFault
from tinsmith.formats.router import ENTRY
from tinsmith.runtime.asking import Prompt, conversation, is_ids
from tinsmith.runtime.generation import Completion, Route
from tinsmith.runtime.image_prompt import checked

if TYPE_CHECKING:
    from tinsmith.runtime.loaded import Loaded


class Router:
    """That of a model's file, open."""

    def __init__(self, model: Loaded) -> None:
        """Raises InputError where the file has none, FormatError where it is damaged."""
        if ENTRY not in model.tin.names:
            raise InputError("the model's file has no router; give the adapter by its name")
        try:
            self.core = _core.Router(model.core, model.tin.entry(ENTRY))
        except RuntimeFault as fault:
            raise FormatError(f"{ENTRY}: {fault}") from fault
        self._tasks = list(self.core.info()["tasks"])

    def of(self, session: _core.Session) -> Route:
        """The route of the prompt that the session has just computed."""
        task, taken, probability, least, scores = session.route(self.core)
        best = self._tasks[task]
        values = struct.unpack_from(f"<{len(self._tasks)}f", scores)
        named = dict(zip(self._tasks, values, strict=True))
        return Route(best if taken else None, best, probability, least, named)


def tokens_of(model: Loaded, prompt: Prompt) -> list[int]:
    """The prompt as every prompt that is routed is written: by the base's own template, where it has one."""
    if is_ids(prompt):
        return checked(prompt, model.core.info()["vocab"])
    if isinstance(prompt, str) and not model.can_chat:
        return model.tokenize(prompt, special=True, bos=True)
    return model.render(conversation(prompt))


def computed(model: Loaded, prompt: Prompt) -> _core.Session:
    """A session that has computed the prompt, without any adapter; valid until the next generation."""
    if model.engine is not None:
        raise InputError("hidden states are the native runtime's; another back end gives none")
    session = model.open_session(tokens_of(model, prompt), 1)
    session.step()
    return session


def choose(
    model: Loaded, router: Router, prompt: Prompt, options: dict[str, Any]
) -> tuple[Route, Completion | None]:
    """Sets the adapter of a generation's options by the prompt's route. Where that is for no task, an answer
    without text comes with it, and nothing is left to generate."""
    if options.get("adapter") is not None:
        raise InputError("route chooses the adapter: give it, or an adapter's name, not both")
    started = time.perf_counter()
    session = computed(model, prompt)
    route = router.of(session)
    options["adapter"] = route.task
    if route.task is not None:
        return route, None
    tokens = len(session.tokens()[1])
    return route, Completion("", [], tokens, time.perf_counter() - started, "none", 1, route=route)
