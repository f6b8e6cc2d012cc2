"""Generates the answers to requests, streamed or collected."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from tinsmith.chat.tool_formats import Call
from tinsmith.errors import InputError
from tinsmith.runtime.choice import TokenChoice, token_shown
from tinsmith.runtime.generation import Completion, Route
from tinsmith.runtime.image_prompt import ImagePrompt
from tinsmith.runtime.images import images_in
from tinsmith.runtime.loaded import Loaded
from tinsmith.runtime.receipt import receipt
from tinsmith.serve import forward
from tinsmith.serve.endpoint import ApiRequest
from tinsmith.serve.errors import ApiError
from tinsmith.serve.metrics import Usage
from tinsmith.serve.prepare import GenerationRequest, Prepared, prepare
from tinsmith.serve.state import AppState, ModelRef
from tinsmith.serve.stream_parser import AnswerParser, CallDelta, CallParser, TextDelta, call_openings
from tinsmith.serve.worker import AnswerHandle, Update


@dataclass(frozen=True)
class Delta:
    texts: list[TextDelta]
    choices: list[TokenChoice]
    calls: list[CallDelta]


class Answer:
    """An answer that grows with the worker's updates. Its end sets `finish`, `completion`, `calls` and the
    like."""

    handle: AnswerHandle
    completion: Completion
    receipt: str

    def __init__(self, index: int, request: GenerationRequest, prepared: Prepared) -> None:
        """index: among all answers."""
        self.index, self.request, self.prompt_tokens = index, request, len(prepared.token_request.tokens)
        self.started = False
        self.thinking = self.text = self.finish = ""
        self.choices: list[TokenChoice] = []
        self.cached = 0  # tokens of the prompt that were cached
        self.calls: list[Call] = []
        self.stop: str | None = None  # the stop text that ended the answer
        self._model, self._toolbox = request.ref.model, prepared.toolbox
        self._parser = AnswerParser(
            prepared.thinks,
            call_openings(prepared.toolbox.format) if prepared.toolbox else (),
            only_calls=request.offer is not None and request.offer.choice != "auto",
            raw=request.prompt is not None,
        )
        self._call_parser = CallParser(self._model, prepared.toolbox) if prepared.toolbox else None

    @property
    def reason(self) -> str:
        """Why the answer ended, for OpenAI and Ollama."""
        return "stop" if self.finish == "stop" else "length"

    def add(self, update: Update) -> Delta | None:
        """What an update adds, if anything."""
        texts = self._parser.add(update.text)
        if update.completion is not None:
            texts += self._parser.end() or self._text_without_calls(update.completion)
            self._end(update.completion, update.cached)
        calls = self._call_parser.add(update.tokens, self._parser.called) if self._call_parser else []
        self.choices += update.choices
        for kind, text in texts:
            if kind == "thinking":
                self.thinking += text
            else:
                self.text += text
        return Delta(texts, update.choices, calls) if texts or calls or update.choices else None

    def _text_without_calls(self, completion: Completion) -> list[TextDelta]:
        """The text of an answer that was withheld as a possible call and has none."""
        if self._toolbox is None or not self._toolbox.format.controls or not self._parser.called:
            return []
        text = self._model.detokenize(completion.token_ids, special=True)
        self._parser.called = self._toolbox.format.mark in text
        return [] if self._parser.called or not completion.text else [("text", completion.text)]

    def _end(self, completion: Completion, cached: int) -> None:
        model, finish = self._model, completion.finish
        if self._parser.called and self._toolbox is not None and finish == "stop":
            try:
                text = model.detokenize(completion.token_ids, special=True)
                self.calls = self._toolbox.format.parse(text, self._toolbox.tools)
            except InputError:  # a stop text cut the call
                finish = "length"
        if finish == "stop" and self.request.stop:
            rest = model.detokenize(completion.token_ids)[len(completion.text) :]
            self.stop = next((text for text in self.request.stop if text and rest.startswith(text)), None)
        self.finish, self.completion, self.cached = finish, completion, cached
        self.receipt = receipt(model, self.handle.request, completion).digest


@dataclass
class Answers:
    """The answers to requests for one model; none where its router chose no adapter."""

    state: AppState
    ref: ModelRef
    seed: int
    route: Route | None = None
    by_request: list[list[Answer]] = field(default_factory=list)
    _updates: asyncio.Queue[tuple[Answer, Update | Exception]] = field(default_factory=asyncio.Queue)

    @property
    def all(self) -> list[Answer]:
        return [one for answers in self.by_request for one in answers]

    @property
    def first(self) -> Answer | None:
        return next(iter(self.all), None)

    @property
    def receipts(self) -> list[str]:
        return [one.receipt for one in self.all]

    @property
    def refusal(self) -> str:
        """Why the router chose no adapter."""
        return self.route.why if self.route else ""

    def cancel(self) -> None:
        for answer in self.all:
            answer.handle.cancel()

    async def start(self, request: GenerationRequest) -> None:
        ref, state, answers = request.ref, self.state, list[Answer]()
        self.by_request.append(answers)
        with state.in_flight(request.client, ref.worker, request.answers):
            if ref.routed:
                self.route = await _route(request)
                self.ref = ref = replace(ref, adapter=self.route.task)
                if ref.adapter is None:
                    return
            request = replace(request, ref=ref)
            prepared = await prepare(state, request)
        state.check_in_flight(request.client, ref.worker, request.answers)
        for k in range(request.answers):
            sampling = replace(prepared.token_request.sampling, seed=(self.seed + k) % (1 << 64))
            answer = Answer(len(self.all), request, prepared)
            token_request = replace(prepared.token_request, sampling=sampling)
            answer.handle = state.submit(ref.worker, token_request, partial(self._deliver, answer))
            answers.append(answer)
            if isinstance(token_request.tokens, ImagePrompt) and ref.served.images is not None:
                ref.served.images.hold(token_request.tokens, answer.handle)

    def _deliver(self, answer: Answer, update: Update | Exception) -> None:
        self._updates.put_nowait((answer, update))

    async def events(self) -> AsyncGenerator[tuple[Answer, Delta | None], None]:
        """The answers' deltas, with None at the end of each. Raises the first error."""
        left = len(self.all)
        try:
            while left:
                answer, update = await self._updates.get()
                if isinstance(update, Exception):
                    raise update
                if not answer.started:
                    answer.started = True
                    seconds = time.monotonic() - answer.handle.started
                    self.state.metrics.first_token(self.ref.served.name, seconds)
                if (delta := answer.add(update)) is not None:
                    yield answer, delta
                if answer.finish:
                    left -= 1
                    yield answer, None
        finally:
            self.cancel()

    async def collect(self) -> list[Answer]:
        async with aclosing(self.events()) as events:
            async for _ in events:
                pass
        return self.all


async def generate(state: AppState, *requests: GenerationRequest) -> Answers:
    """Starts the answers to requests for one model, with one seed."""
    first = requests[0]
    seed = first.seed
    if seed is None:
        seed = secrets.randbits(63) if first.sampling.temperature else 0
    answers = Answers(state, first.ref, seed % (1 << 64))
    try:
        for request in requests:
            await answers.start(request)
    except BaseException:
        answers.cancel()
        raise
    return answers


async def _route(request: GenerationRequest) -> Route:
    """Chooses the adapter of a conversation."""
    ref = request.ref
    if request.prompt is not None:
        raise ApiError(400, f"{ref.name} routes conversations, not prompts; name an adapter", "model")
    if images_in(request.messages):
        raise ApiError(400, f"{ref.name} routes by text, not by images; name an adapter", "model")
    start = partial(forward.route, ref.served, request.messages)
    route: Route = await ref.worker.run_sliced(request.client, start)
    return route


def record_usage(request: ApiRequest, answers: Answers) -> Usage:
    """The usage of all answers, which it counts in the metrics too."""
    usages = [_usage(answers.ref.model, some) for some in answers.by_request]
    seconds = time.monotonic() - request.started
    for usage in usages:
        request.state.metrics.count_answer(answers.ref.served.name, usage, seconds)
    return Usage(*map(sum, zip(*usages, strict=True)))


def _usage(model: Loaded, answers: Sequence[Answer]) -> Usage:
    """The usage of answers to one prompt."""
    return Usage(
        prompt=max((one.prompt_tokens for one in answers), default=0),
        cached=min((one.cached for one in answers), default=0),
        answer=sum(len(one.completion.token_ids) for one in answers),
        thinking=sum(len(model.tokenize(one.thinking)) for one in answers if one.thinking),
    )


def choice_json(model: Loaded, choice: TokenChoice) -> dict[str, Any]:
    """A token with its probability and alternatives."""
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
