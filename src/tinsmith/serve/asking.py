"""A question's answers as they come."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from tinsmith.chat.tool_formats import Call
from tinsmith.errors import InputError
from tinsmith.runtime.calls import Toolbox
from tinsmith.runtime.choice import TokenChoice
from tinsmith.runtime.generation import Completion, Route
from tinsmith.runtime.image_prompt import ImagePrompt
from tinsmith.runtime.receipt import receipt
from tinsmith.runtime.scheduler import Asked
from tinsmith.serve import slices
from tinsmith.serve.faults import Refused
from tinsmith.serve.parts import CallPart, CallParts, Part, Parts, openings
from tinsmith.serve.pictures import sent_in
from tinsmith.serve.posing import pose
from tinsmith.serve.question import Question

if TYPE_CHECKING:
    from tinsmith.serve.house import House
    from tinsmith.serve.shelf import Target
    from tinsmith.serve.worker import Ticket


@dataclass(frozen=True)
class Piece:
    parts: list[Part]
    choices: list[TokenChoice]
    calls: list[CallPart]


@dataclass(frozen=True)
class End:
    """How an answer ended. calls: None where it made none. stop: the stop text that it came to."""

    finish: str
    calls: list[Call]
    completion: Completion
    cached: int
    stop: str | None
    receipt: str


class Answering:
    """One answer that is under way."""

    def __init__(
        self,
        question: Question,
        ticket: Ticket,
        opened: bool,
        box: Toolbox | None,
        first: Callable[[float], None],
    ) -> None:
        """first: is told the seconds to the first token."""
        self.question, self.ticket, self._first = question, ticket, first
        self.prompt_tokens = len(ticket.asked.tokens)
        self._box = box
        only = question.offer is not None and question.offer.choice not in ("auto", "none")
        raw = question.prompt is not None  # what is continued as it stands comes as it is
        self._parts = Parts(opened, openings(box.format) if box else (), only, raw)
        self._calls = CallParts(question.target.served.model, box) if box else None

    async def events(self) -> AsyncGenerator[Piece | End, None]:
        """Pieces, and at last the end."""
        try:
            begun = False
            async for news in self.ticket.news():
                if not begun:
                    self._first(time.monotonic() - self.ticket.started)
                    begun = True
                parts = self._parts.add(news.text)
                if news.completion is not None:
                    parts += self._parts.end() or self._unmarked(news.completion)
                calls = self._calls.add(news.tokens, self._parts.called) if self._calls else []
                if parts or calls or news.choices:
                    yield Piece(parts, news.choices, calls)
                if news.completion is not None:
                    yield self._end(news.completion, news.cached)
        finally:
            self.ticket.cancel()

    def _unmarked(self, completion: Completion) -> list[Part]:
        """The text of an answer that was kept for its calls, and has none."""
        if self._box is None or not self._box.format.controls or not self._parts.called:
            return []
        text = self.question.target.served.model.detokenize(completion.token_ids, special=True)
        self._parts.called = self._box.format.mark in text
        return [] if self._parts.called or not completion.text else [("text", completion.text)]

    def _end(self, completion: Completion, cached: int) -> End:
        model, finish, calls = self.question.target.served.model, completion.finish, []
        if self._parts.called and self._box is not None and finish == "stop":  # else what is there is no call
            try:
                calls = self._box.format.parse(
                    model.detokenize(completion.token_ids, special=True), self._box.tools
                )
            except InputError:  # a text that stops the answer cut it off
                finish = "length"
        stop = None
        if finish == "stop" and self.question.stop:
            rest = model.detokenize(completion.token_ids)[len(completion.text) :]
            stop = next((text for text in self.question.stop if text and rest.startswith(text)), None)
        made = receipt(model, self.ticket.asked, completion)
        return End(finish, calls, completion, cached, stop, made.digest)


@dataclass(frozen=True)
class Answers:
    """route: of a question whose adapter the router chose; where it chose none, no answer is under way."""

    target: Target
    running: list[Answering]
    seed: int
    route: Route | None = None

    def cancel(self) -> None:
        for one in self.running:
            one.ticket.cancel()


async def ask(house: House, question: Question) -> Answers:
    """Begins the answers to a question. Raises InputError and Refused for what can't be asked."""
    target, route = question.target, None
    worker, model = target.served.worker, target.served.model
    with house.taking(question.scope, worker, question.count):
        if target.routed:
            if question.prompt is not None:
                raise Refused(400, f"{target.name} chooses by a conversation; name the adapter", "model")
            if sent_in(question.messages):
                raise Refused(400, f"{target.name} chooses by texts alone; name the adapter", "model")
            chosen = partial(slices.route, target.served, question.messages)
            route = await worker.between(question.scope, chosen)
            target = replace(target, adapter=route.task)
            if route.task is None:
                return Answers(target, [], 0, route)
        posed = await pose(house, question, target)
    tokens, constraint, room = posed.tokens, posed.constraint, posed.room
    applied = model.applied(target.adapter)
    least = model.least(constraint, target.adapter)
    seed = question.seed
    if seed is None:
        seed = secrets.randbits(63) if question.sampling.temperature else 0
    asked = Asked(
        tokens,
        applied,
        target.skill.constraint_for(constraint),
        least,
        least is not None or question.record,
        min(question.max_tokens or room, house.limits.tokens or room, room),
        question.sampling,
        tuple(question.stop),
        question.tops,
        True,
        question.scope,
    )
    house.admit(question.scope, worker, question.count)
    running = []
    for k in range(question.count):
        drawn = replace(asked, sampling=replace(asked.sampling, seed=(seed + k) % (1 << 64)))
        ticket = house.submit(worker, drawn)
        if isinstance(tokens, ImagePrompt) and target.served.eyes is not None:
            target.served.eyes.hold(tokens, ticket)
        first = partial(house.metrics.began, target.served.name)
        running.append(Answering(replace(question, target=target), ticket, posed.opened, posed.box, first))
    return Answers(target, running, seed, route)
