"""Generates the answers to a request, streamed or collected."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tinsmith.chat.tool_formats import Call
from tinsmith.errors import InputError
from tinsmith.runtime.choice import TokenChoice, token_shown
from tinsmith.runtime.generation import Completion, Route, TokenRequest
from tinsmith.runtime.image_prompt import ImagePrompt
from tinsmith.runtime.receipt import receipt
from tinsmith.serve import forward
from tinsmith.serve.errors import ApiError
from tinsmith.serve.images import images_in
from tinsmith.serve.prepare import GenerationRequest, Prepared, prepare
from tinsmith.serve.stream_parser import AnswerParser, CallDelta, CallParser, TextDelta, call_openings

if TYPE_CHECKING:
    from tinsmith.runtime.loaded import Loaded
    from tinsmith.serve.endpoint import ApiRequest
    from tinsmith.serve.state import AppState, ModelRef
    from tinsmith.serve.worker import AnswerHandle


@dataclass(frozen=True)
class Delta:
    texts: list[TextDelta]
    choices: list[TokenChoice]
    calls: list[CallDelta]


@dataclass(frozen=True, kw_only=True)
class AnswerEnd:
    finish: str
    calls: list[Call]
    completion: Completion
    cached: int  # tokens of the prompt that were cached
    stop: str | None  # the stop text that ended the answer
    receipt: str


class RunningAnswer:
    def __init__(
        self, state: AppState, request: GenerationRequest, handle: AnswerHandle, prepared: Prepared
    ) -> None:
        self.request, self.handle = request, handle
        self.prompt_tokens = len(prepared.tokens)
        self._metrics, self._toolbox = state.metrics, prepared.toolbox
        self._model = request.ref.served.model
        toolbox = prepared.toolbox
        self._parser = AnswerParser(
            prepared.thinks,
            call_openings(toolbox.format) if toolbox else (),
            only_calls=request.offer is not None and request.offer.choice not in ("auto", "none"),
            raw=request.prompt is not None,
        )
        self._calls = CallParser(self._model, toolbox) if toolbox else None

    async def events(self) -> AsyncGenerator[Delta | AnswerEnd, None]:
        """Deltas, then the end."""
        try:
            started = False
            async for update in self.handle.updates():
                if not started:
                    seconds = time.monotonic() - self.handle.started
                    self._metrics.first_token(self.request.ref.served.name, seconds)
                    started = True
                texts = self._parser.add(update.text)
                if update.completion is not None:
                    texts += self._parser.end() or self._text_without_calls(update.completion)
                calls = self._calls.add(update.tokens, self._parser.called) if self._calls else []
                if texts or calls or update.choices:
                    yield Delta(texts, update.choices, calls)
                if update.completion is not None:
                    yield self._end(update.completion, update.cached)
        finally:
            self.handle.cancel()

    def _text_without_calls(self, completion: Completion) -> list[TextDelta]:
        """The text of an answer that was held back as a possible call and has none."""
        if self._toolbox is None or not self._toolbox.format.controls or not self._parser.called:
            return []
        text = self._model.detokenize(completion.token_ids, special=True)
        self._parser.called = self._toolbox.format.mark in text
        return [] if self._parser.called or not completion.text else [("text", completion.text)]

    def _end(self, completion: Completion, cached: int) -> AnswerEnd:
        model, finish, calls, stop = self._model, completion.finish, [], None
        if self._parser.called and self._toolbox is not None and finish == "stop":
            try:
                text = model.detokenize(completion.token_ids, special=True)
                calls = self._toolbox.format.parse(text, self._toolbox.tools)
            except InputError:  # a stop text cut the call
                finish = "length"
        if finish == "stop" and self.request.stop:
            rest = model.detokenize(completion.token_ids)[len(completion.text) :]
            stop = next((text for text in self.request.stop if text and rest.startswith(text)), None)
        digest = receipt(model, self.handle.asked, completion).digest
        return AnswerEnd(
            finish=finish, calls=calls, completion=completion, cached=cached, stop=stop, receipt=digest
        )


@dataclass(frozen=True)
class Answers:
    """running: empty where the router chose no adapter."""

    ref: ModelRef
    running: list[RunningAnswer]
    seed: int
    route: Route | None = None

    @property
    def refusal(self) -> str:
        """Why the router chose no adapter."""
        return self.route.why if self.route else ""

    def cancel(self) -> None:
        for answer in self.running:
            answer.handle.cancel()


async def generate(state: AppState, request: GenerationRequest) -> Answers:
    ref, route = request.ref, None
    worker = ref.served.worker
    with state.in_flight(request.client, worker, request.answers):
        if ref.routed:
            route = await _route(request)
            ref = replace(ref, adapter=route.task)
            if route.task is None:
                return Answers(ref, [], 0, route)
        prepared = await prepare(state, request, ref)
    seed = request.seed
    if seed is None:
        seed = secrets.randbits(63) if request.sampling.temperature else 0
    asked = _asked(state, request, ref, prepared)
    request = replace(request, ref=ref)
    state.check_in_flight(request.client, worker, request.answers)
    running = []
    for k in range(request.answers):
        sampling = replace(asked.sampling, seed=(seed + k) % (1 << 64))
        handle = state.submit(worker, replace(asked, sampling=sampling))
        if isinstance(prepared.tokens, ImagePrompt) and ref.served.images is not None:
            ref.served.images.hold(prepared.tokens, handle)
        running.append(RunningAnswer(state, request, handle, prepared))
    return Answers(ref, running, seed, route)


async def _route(request: GenerationRequest) -> Route:
    """Chooses the adapter of a conversation."""
    ref = request.ref
    if request.prompt is not None:
        raise ApiError(400, f"{ref.name} routes conversations, not prompts; name an adapter", "model")
    if images_in(request.messages):
        raise ApiError(400, f"{ref.name} routes by text, not by images; name an adapter", "model")
    start = partial(forward.route, ref.served, request.messages)
    route: Route = await ref.served.worker.run_sliced(request.client, start)
    return route


def _asked(state: AppState, request: GenerationRequest, ref: ModelRef, prepared: Prepared) -> TokenRequest:
    model, room = ref.served.model, prepared.room
    least = model.least(prepared.constraint, ref.adapter)
    return TokenRequest(
        tokens=prepared.tokens,
        applied=model.applied(ref.adapter),
        constraint=ref.skill.constraint_for(prepared.constraint),
        least=least,
        max_tokens=min(request.max_tokens or room, state.limits.tokens or room, room),
        sampling=replace(request.sampling, confidence=least is not None or request.record),
        stop=tuple(request.stop),
        tops=request.tops,
        record=True,
        scope=request.client,
    )


@dataclass
class Answer:
    """A collected answer."""

    thinking: str = ""
    text: str = ""
    choices: list[TokenChoice] = field(default_factory=list)
    ended: AnswerEnd | None = None

    @property
    def end(self) -> AnswerEnd:
        assert self.ended is not None  # the last event
        return self.ended

    def add(self, event: Delta | AnswerEnd) -> None:
        if isinstance(event, AnswerEnd):
            self.ended = event
            return
        self.choices += event.choices
        for kind, text in event.texts:
            if kind == "thinking":
                self.thinking += text
            else:
                self.text += text


async def collect(running: Sequence[RunningAnswer]) -> list[Answer]:
    answers = [Answer() for _ in running]
    async with aclosing(merge(running)) as events:
        async for number, event in events:
            answers[number].add(event)
    return answers


async def merge(running: Sequence[RunningAnswer]) -> AsyncGenerator[tuple[int, Delta | AnswerEnd], None]:
    """The events of several answers, with the answers' numbers. Raises the first error."""
    events: asyncio.Queue[tuple[int, Delta | AnswerEnd | Exception]] = asyncio.Queue()

    async def pump(number: int, answer: RunningAnswer) -> None:
        try:
            async with aclosing(answer.events()) as own:
                async for event in own:
                    events.put_nowait((number, event))
        except Exception as error:
            events.put_nowait((number, error))

    tasks = [asyncio.create_task(pump(number, answer)) for number, answer in enumerate(running)]
    try:
        left = len(tasks)
        while left:
            number, event = await events.get()
            if isinstance(event, Exception):
                raise event
            left -= isinstance(event, AnswerEnd)
            yield number, event
    finally:
        for task, answer in zip(tasks, running, strict=True):
            task.cancel()
            answer.handle.cancel()  # a task that has not started runs no `finally`
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Numbers of tokens."""

    prompt: int
    cached: int  # of the prompt
    answer: int
    thinking: int  # of the answer

    @property
    def openai(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.answer,
            "total_tokens": self.prompt + self.answer,
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {"reasoning_tokens": self.thinking},
        }


def record_usage(request: ApiRequest, answers: Answers, collected: Sequence[Answer]) -> Usage:
    """Counts the answers in the metrics too."""
    served = answers.ref.served
    usage = Usage(
        prompt=max((one.prompt_tokens for one in answers.running), default=0),
        cached=min((one.end.cached for one in collected), default=0),
        answer=sum(len(one.end.completion.token_ids) for one in collected),
        thinking=sum(len(served.model.tokenize(one.thinking)) for one in collected if one.thinking),
    )
    seconds = time.monotonic() - request.started
    request.state.metrics.count_answer(served.name, usage.prompt, usage.cached, usage.answer, seconds)
    return usage


def choice_json(model: Loaded, choice: TokenChoice) -> dict[str, Any]:
    """How a token was chosen."""
    token = token_shown(model.core, choice.token, choice.log_probability)
    tops = [token_shown(model.core, *top) for top in choice.tops]
    return {
        "token": choice.token,
        "text": token["token"],
        "bytes": token["bytes"],
        "forced": choice.forced,
        "allowed": choice.allowed,
        "logprob": token["logprob"],
        "top": [[top["token"], top["logprob"]] for top in tops],
    }
