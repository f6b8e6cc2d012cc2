"""Makes an item's requests to the model, and the row of its answers."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tinsmith import tasks
from tinsmith.batch import openai
from tinsmith.batch.settings import OutputConstraint, Settings
from tinsmith.chat.roles import settled
from tinsmith.constraint import apart
from tinsmith.errors import ConstraintError, InputError
from tinsmith.runtime.asking import check_room, direct
from tinsmith.runtime.generation import LOOKUP, Sampling, TokenRequest
from tinsmith.runtime.image_prompt import ImagePrompt, later
from tinsmith.runtime.images import within

if TYPE_CHECKING:
    from tinsmith.batch.items import Item, Messages
    from tinsmith.chat.tool_formats import Call
    from tinsmith.constraint import Constraint
    from tinsmith.runtime import Model
    from tinsmith.runtime.calls import Toolbox
    from tinsmith.runtime.choice import TokenChoice
    from tinsmith.runtime.generation import Completion
    from tinsmith.runtime.offers import Offer

_MAX_CONSTRAINTS = 64  # of items, in memory


@dataclass(frozen=True)
class Request:
    asked: TokenRequest
    toolbox: Toolbox | None = None  # of the item's own tools
    thinks: bool = False  # the prompt begins the answer's thoughts
    with_choices: bool = False  # the row says how tokens were chosen

    @property
    def sort_key(self) -> tuple[bool, Sequence[int]]:
        """Puts prompts with a common prefix side by side, and those with images, which are lists, last."""
        return isinstance(self.asked.tokens, ImagePrompt), self.asked.tokens


@dataclass(frozen=True)
class Answer:
    request: Request
    completion: Completion
    receipt: str
    choices: Sequence[TokenChoice] = ()  # none of a cached answer


class RequestBuilder:
    """Raises InputError for settings that the model cannot satisfy."""

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
        self.constraint = self._constraint(settings.constraint)
        check_room(self.skill, settings.thinking, self.constraint)
        if not settings.raw and not self.skill.can_chat:
            raise InputError("the file has no chat template; --raw continues texts without one")
        self.task = None
        if settings.task is not None:
            self.task = tasks.by_name(task) if task else _task_of(self.constraint)

    def requests(self, item: Item) -> list[Request]:
        """One per answer."""
        if item.error is not None:
            raise InputError(item.error)
        if item.body is not None:
            return self._openai_requests(item.prompt, item.body)
        if isinstance(item.prompt, str):
            tokens = self.model.tokenize(item.prompt, special=True, bos=True)
            return [Request(self._asked(tokens, self.settings, self.constraint))]
        return [self._chat(item.prompt, self.settings, self.constraint)]

    def _chat(self, messages: Messages, settings: Settings, constraint: Constraint | None) -> Request:
        """A constraint leaves no room for thoughts."""
        thinking = self.settings.thinking
        if thinking is None and constraint is not None:
            thinking = direct(self.skill)

        def render() -> list[int]:
            return self.model.render(self._read(messages), thinking=thinking, adapter=self.adapter)

        asked = self._asked(_without_pixels(render), settings, constraint)
        return Request(asked, thinks=self.skill.templates.table(thinking).opens_thoughts)

    def _read(self, messages: Messages) -> Any:
        """The messages with decoded images."""
        return within(self.model, settled(messages), self.settings.images)

    def _openai_requests(self, messages: Any, body: Mapping[str, Any]) -> list[Request]:
        settings, offer, extras = openai.settings_of(body, self.settings)
        if extras != openai.Extras() and self.settings.shape != "openai":
            raise InputError('"n" and "logprobs" need OpenAI\'s format; leave --shape rows out')
        request = self._openai_request([_plain(one) for one in messages], settings, offer)
        asked, with_choices = replace(request.asked, tops=extras.tops or 0), extras.tops is not None
        return [
            replace(request, asked=_with_seed(asked, number), with_choices=with_choices)
            for number in range(extras.answers)
        ]

    def _openai_request(self, messages: Messages, settings: Settings, offer: Offer | None) -> Request:
        search = self.settings.constraint.search
        if offer is not None:
            from tinsmith.runtime.calls import prompt_of
            from tinsmith.runtime.offers import offered

            apart.check_size(offer.tools)
            toolbox = offered(self.model, offer, self.adapter, self._compile_request)
            tokens = _without_pixels(
                lambda: prompt_of(self.model, self._read(messages), toolbox, adapter=self.adapter)
            )
            constraint = self.skill.constraint_for(toolbox.constraint, search)
            return Request(self._asked(tokens, settings, constraint), toolbox)
        if settings.constraint is self.settings.constraint:
            return self._chat(messages, settings, self.constraint)
        made = self._compile_request({"schema": settings.constraint.value})
        return self._chat(messages, settings, self.skill.constraint_for(made, search))

    def _asked(self, tokens: list[int], settings: Settings, constraint: Constraint | None) -> TokenRequest:
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

    def _constraint(self, given: OutputConstraint) -> Constraint | None:
        """The constraint of all rows."""
        if given.kind == "own":
            return self.skill.constraint_for("own", given.search)
        return self.skill.constraint_for(
            None if given.kind == "unconstrained" else self._compile(given), given.search
        )

    def _compile_request(self, request: Mapping[str, Any]) -> Constraint:
        """Compiles an item's schema or tools within limits."""
        key = json.dumps(request)
        made = self._compiled.pop(key, None)
        if made is None:
            try:
                made = self._compiler.compiled(request)
            except ConstraintError as error:
                made = error
        self._compiled[key] = made
        if len(self._compiled) > _MAX_CONSTRAINTS:
            del self._compiled[next(iter(self._compiled))]
        if isinstance(made, ConstraintError):
            raise made
        return made

    def _compile(self, given: OutputConstraint) -> Constraint:
        from tinsmith.constraint import makers

        match given.kind:
            case "schema":
                return makers.schema(given.value)
            case "tools":
                from tinsmith.runtime.calls import toolbox

                return toolbox(self.model, given.value, None, False, False, self.adapter).constraint
            case "choices":
                return makers.choices(given.value)
            case "regex":
                return makers.regex(given.value)
        return makers.grammar(given.value, "lark" if given.kind == "lark" else "gbnf")

    def close(self) -> None:
        self._compiler.close()

    def row(self, item: Item, answers: Sequence[Answer]) -> dict[str, Any]:
        """OUT's row."""
        if self.settings.shape == "openai":
            return openai.answer_row(self.model, item.name, item.body, [self._openai(one) for one in answers])
        (answer,) = answers
        completion = answer.completion
        row = {
            "item": item.name,
            "text": completion.text,
            "finish": completion.finish,
            "receipt": answer.receipt,
        }
        if self.task is not None:
            row["value"] = self.task.parse(completion.text)
        return row

    def _openai(self, answer: Answer) -> openai.OpenAIAnswer:
        return openai.OpenAIAnswer(
            completion=answer.completion,
            receipt=answer.receipt,
            calls=_calls(self.model, answer),
            choices=answer.choices if answer.request.with_choices else None,
        )

    def error_row(self, item: Item, reason: str) -> dict[str, Any]:
        if self.settings.shape == "openai":
            return openai.error_row(item.name, reason)
        return {"item": item.name, "error": reason}


def _sampling(settings: Settings) -> Sampling:
    options: dict[str, Any] = {"lookup": LOOKUP, **settings.options}
    return Sampling(**options)


def _with_seed(asked: TokenRequest, number: int) -> TokenRequest:
    """Of several answers to a request, the one of this number."""
    seed = (asked.sampling.seed + number) % (1 << 64)
    return replace(asked, sampling=replace(asked.sampling, seed=seed)) if number else asked


def _without_pixels(render: Callable[[], list[int]]) -> list[int]:
    """The prompt without its images' pixels: a session that needs them renders again."""
    tokens = render()
    if isinstance(tokens, ImagePrompt):
        later(tokens, render)
    return tokens


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message with text parts joined, where there is no image; without a content, its refusal."""
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


def _calls(model: Model, answer: Answer) -> list[Call] | None:
    """None also of truncated calls."""
    if answer.request.toolbox is None:
        return None
    from tinsmith.runtime.calls import read_calls

    try:
        return read_calls(model, answer.completion, answer.request.toolbox)
    except InputError:
        return None


def _task_of(constraint: Constraint | None) -> tasks.Task:
    """The task of an adapter, by its constraint."""
    kind = None if constraint is None else constraint.kind
    return next((one for one in tasks.tasks() if kind and one.source == kind), tasks.by_name("chat"))
