"""Answers taken as a whole, or several at once as they come; and how a token was chosen, as JSON."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tinsmith.runtime.choice import token_shown
from tinsmith.serve.asking import Answering, Answers, End, Piece

if TYPE_CHECKING:
    from tinsmith.runtime.choice import TokenChoice
    from tinsmith.runtime.loaded import Loaded
    from tinsmith.serve.endpoint import Call


@dataclass
class Gathered:
    thinking: str = ""
    text: str = ""
    choices: list[TokenChoice] = field(default_factory=list)
    end: End | None = None

    @property
    def ended(self) -> End:
        assert self.end is not None  # an answer's last event
        return self.end

    def add(self, event: Piece | End) -> None:
        if isinstance(event, End):
            self.end = event
            return
        self.choices += event.choices
        for kind, text in event.parts:
            if kind == "thinking":
                self.thinking += text
            else:
                self.text += text


async def gather(running: Sequence[Answering]) -> list[Gathered]:
    """Each answer as a whole."""
    whole = [Gathered() for _ in running]
    async with aclosing(merged(running)) as events:
        async for number, event in events:
            whole[number].add(event)
    return whole


@dataclass(frozen=True)
class Counted:
    """Tokens of the prompt, those of them that were computed before, those of the answers; seconds."""

    prompt: int
    cached: int
    answer: int
    thoughts: int
    seconds: float


def counted(call: Call, answers: Answers, whole: Sequence[Gathered]) -> Counted:
    """What the answers took; it goes into the server's counts too."""
    served = answers.target.served
    made = Counted(
        max((one.prompt_tokens for one in answers.running), default=0),
        min((one.ended.cached for one in whole), default=0),
        sum(len(one.ended.completion.token_ids) for one in whole),
        sum(len(served.model.tokenize(one.thinking)) for one in whole if one.thinking),
        time.monotonic() - call.started,
    )
    call.house.metrics.answered(served.name, made.prompt, made.cached, made.answer, made.seconds)
    return made


async def merged(running: Sequence[Answering]) -> AsyncGenerator[tuple[int, Piece | End], None]:
    """The events of several answers, each with its number. Raises what one of them failed at."""
    events: asyncio.Queue[tuple[int, Piece | End | Exception]] = asyncio.Queue()
    tasks = [asyncio.create_task(_pump(number, one, events)) for number, one in enumerate(running)]
    try:
        left = len(tasks)
        while left:
            number, event = await events.get()
            if isinstance(event, Exception):
                raise event
            left -= isinstance(event, End)
            yield number, event
    finally:
        for task, one in zip(tasks, running, strict=True):
            task.cancel()
            one.ticket.cancel()  # a task that was not begun does nothing at its end
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(
    number: int, one: Answering, events: asyncio.Queue[tuple[int, Piece | End | Exception]]
) -> None:
    try:
        async with aclosing(one.events()) as own:
            async for event in own:
                events.put_nowait((number, event))
    except Exception as error:
        events.put_nowait((number, error))


def shown(model: Loaded, choice: TokenChoice) -> dict[str, Any]:
    """How a token was chosen, for people to look at."""
    one = token_shown(model.core, choice.token, choice.log_probability)
    return {
        "token": choice.token,
        "text": one["token"],
        "bytes": one["bytes"],
        "forced": choice.forced,
        "allowed": choice.allowed,
        "logprob": one["logprob"],
        "top": [
            [other["token"], other["logprob"]]
            for other in (token_shown(model.core, *top) for top in choice.tops)
        ],
    }
