"""Makes an item's requests to the model, and the row of its answers."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tinsmith import tasks
from tinsmith.batch import openai
from tinsmith.batch.answers import Answer, Request
from tinsmith.batch.items import Item, Messages
from tinsmith.batch.settings import OutputConstraint, Settings
from tinsmith.chat.roles import normalized
from tinsmith.constraint import Constraint, apart, makers
from tinsmith.errors import ConstraintError, InputError
from tinsmith.runtime import Model
from tinsmith.runtime.asking import check_room
from tinsmith.runtime.calls import Offer, Toolbox, answer_prompt, offered, toolbox
from tinsmith.runtime.generation import LOOKUP, Sampling, TokenRequest
from tinsmith.runtime.image_prompt import ImagePrompt, later
from tinsmith.runtime.images import decode_images, images_in
from tinsmith.runtime.skill import Own

_MAX_CONSTRAINTS = 64  # of items, in memory


class RequestBuilder:
    """Raises InputError for settings that the model does not support."""

    def __init__(self, model: Model, settings: Settings) -> None:
        if model.engine is not None:
            raise InputError(
                f"{model.info.backend} computes one answer at a time; a batch needs the native runtime"
            )
        if settings.raw and (settings.system is not None or settings.thinking is not None):
            raise InputError("system messages and thinking need the chat template, which --raw leaves out")
        self.model, self.settings = model, settings
        self._compiled: dict[str, Constraint | ConstraintError] = {}
        self._compiler = apart.Apart()
        self._sampling = _sampling(settings)
        task, adapters = settings.task, settings.adapters
        if task is not None and task in model.adapters:
            if adapters:
                raise InputError(f"the task {task} is an adapter of the file; leave --adapter out")
            adapters, task = {task: 1.0}, None
        self.adapter = dict(adapters) if adapters else None
        self.applied = model.applied(self.adapter)
        self.skill = model.skill_of(self.adapter)
        self.constraint = self.skill.constraint_for(
            self._compile(settings.constraint), settings.constraint.search
        )
        check_room(self.skill, settings.thinking, self.constraint)
        if not settings.raw and not self.skill.can_chat:
            raise InputError("the file has no chat template; --raw continues texts without one")
        self.task = None
        if settings.task is not None:
            self.task = tasks.by_name(task) if task else _task_of(self.constraint)

    def requests(self, item: Item) -> list[Request]:
        """A request per answer."""
        if item.error is not None:
            raise InputError(item.error)
        if item.body is not None:
            return self._openai_requests(item.prompt, item.body)
        if isinstance(item.prompt, str):
            tokens = self.model.tokenize(item.prompt, special=True, bos=True)
            return [Request(self._token_request(tokens, self.settings, self.constraint))]
        return [self._chat(item.prompt, self.settings, self.constraint)]

    def _chat(
        self, messages: Messages, settings: Settings, constraint: Constraint | None, box: Toolbox | None = None
    ) -> Request:
        thinking = self.settings.thinking if box is None else None
        messages = normalized(messages)
        if images_in(messages):
            self.model.check_vision()

        def render() -> tuple[list[int], bool]:
            told = decode_images(messages, self.settings.images)
            return answer_prompt(self.model, told, box, constraint, thinking, self.adapter)

        tokens, thinks = render()
        if isinstance(tokens, ImagePrompt):  # a session that needs the pixels renders the prompt again
            later(tokens, lambda: render()[0])
        return Request(self._token_request(tokens, settings, constraint), box, thinks)

    def _openai_requests(self, messages: Any, body: Mapping[str, Any]) -> list[Request]:
        settings, offer, count, tops = openai.settings_of(body, self.settings)
        if (count, tops) != (1, None) and self.settings.shape != "openai":
            raise InputError('"n" and "logprobs" need OpenAI\'s format; leave --shape rows out')
        request = self._openai_request([_plain(one) for one in messages], settings, offer)
        tokens, sampling = request.token_request, request.token_request.sampling
        seeds = ((sampling.seed + number) % (1 << 64) for number in range(count))
        return [
            replace(
                request,
                token_request=replace(tokens, tops=tops or 0, sampling=replace(sampling, seed=seed)),
                with_choices=tops is not None,
            )
            for seed in seeds
        ]

    def _openai_request(self, messages: Messages, settings: Settings, offer: Offer | None) -> Request:
        compiled, box = None, None
        if offer is not None:
            apart.check_size(offer.tools)
            box = offered(self.model, offer, self.adapter, self._compile_request)
            compiled = box.constraint
        elif settings.constraint is not self.settings.constraint:
            compiled = self._compile_request({"schema": settings.constraint.value})
        if compiled is None:
            return self._chat(messages, settings, self.constraint)
        constraint = self.skill.constraint_for(compiled, self.settings.constraint.search)
        return self._chat(messages, settings, constraint, box)

    def _token_request(
        self, tokens: list[int], settings: Settings, constraint: Constraint | None
    ) -> TokenRequest:
        if not tokens:
            raise InputError("the prompt is empty")
        return TokenRequest(
            tokens=tokens if isinstance(tokens, ImagePrompt) else array("i", tokens),  # four bytes each
            applied=self.applied,
            constraint=constraint,
            max_tokens=settings.max_tokens,
            sampling=self._sampling if settings is self.settings else _sampling(settings),
            stop=settings.stop,
            record=True,
        )

    def _compile_request(self, request: Mapping[str, Any]) -> Constraint:
        """Compiles an item's schema or tools within limits."""
        key = json.dumps(request)
        result = self._compiled.pop(key, None)
        if result is None:
            try:
                result = self._compiler.compiled(request)
            except ConstraintError as error:
                result = error
        self._compiled[key] = result
        if len(self._compiled) > _MAX_CONSTRAINTS:
            del self._compiled[next(iter(self._compiled))]
        if isinstance(result, ConstraintError):
            raise result
        return result

    def _compile(self, given: OutputConstraint) -> Constraint | Own | None:
        match given.kind:
            case "own":
                return "own"
            case "unconstrained":
                return None
            case "tools":
                return toolbox(self.model, given.value, None, False, False, self.adapter).constraint
        return makers.of_kind(given.kind, given.value)

    def close(self) -> None:
        self._compiler.close()

    def row(self, item: Item, answers: Sequence[Answer]) -> dict[str, Any]:
        """OUT's row."""
        if self.settings.shape == "openai":
            return openai.answer_row(self.model, item.name, item.body, answers)
        (answer,) = answers
        text, finish = answer.completion.text, answer.completion.finish
        row = {"item": item.name, "text": text, "finish": finish, "receipt": answer.receipt}
        if self.task is not None:
            row["value"] = self.task.parse(text)
        return row

    def error_row(self, item: Item, reason: str) -> dict[str, Any]:
        if self.settings.shape == "openai":
            return openai.error_row(item.name, reason)
        return {"item": item.name, "error": reason}


def _sampling(settings: Settings) -> Sampling:
    options: dict[str, Any] = {"lookup": LOOKUP, **settings.options}
    return Sampling(**options)


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message with its text parts joined, if it has no image. Its refusal replaces a missing content."""
    content = message.get("content")
    if isinstance(content, list):
        parts = [_part(one) for one in content]
        texts = all(part["type"] == "text" for part in parts)
        return {**message, "content": "".join(part["text"] for part in parts) if texts else parts}
    if content is not None and not isinstance(content, str):
        raise InputError("a message's content must be a text or a list of parts")
    return {**message, "content": content or str(message.get("refusal") or "")}


def _part(part: Any) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text":
        return {"type": kind, "text": str(part.get("text", ""))}
    if kind != "image_url":
        raise InputError(f"unknown type {kind!r} of a message part; give text or image_url")
    url = part.get("image_url")
    detail = url.get("detail") if isinstance(url, dict) else None
    if detail not in (None, "auto", "high"):
        raise InputError(f'"detail" is {detail!r:.40}; give auto or high')
    return {"type": kind, "image_url": url}


def _task_of(constraint: Constraint | None) -> tasks.Task:
    """The task of an adapter, by its constraint."""
    kind = None if constraint is None else constraint.kind
    return next((one for one in tasks.tasks() if kind and one.source == kind), tasks.by_name("chat"))
