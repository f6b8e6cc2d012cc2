"""Items as a model is asked them: in tokens, under adapters, held to a constraint."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tinsmith import tasks
from tinsmith.batch import openai
from tinsmith.batch.settings import Held, Settings
from tinsmith.chat.roles import settled
from tinsmith.constraint import apart
from tinsmith.errors import ConstraintError, InputError
from tinsmith.runtime.asking import check_room, direct
from tinsmith.runtime.generation import LOOKUP, Sampling
from tinsmith.runtime.image_prompt import ImagePrompt, later
from tinsmith.runtime.images import within
from tinsmith.runtime.scheduler import Asked

if TYPE_CHECKING:
    from tinsmith.batch.items import Item, Messages
    from tinsmith.chat.tool_formats import Call
    from tinsmith.constraint import Constraint
    from tinsmith.runtime import Model
    from tinsmith.runtime.calls import Toolbox
    from tinsmith.runtime.choice import TokenChoice
    from tinsmith.runtime.generation import Completion
    from tinsmith.runtime.messages import Message
    from tinsmith.runtime.offers import Offer

_CONSTRAINTS = 64  # of requests, that are kept


@dataclass(frozen=True)
class Question:
    """asked: as the scheduler takes it. box: the tools of its own request. opened: whether the prompt begins
    the answer's thoughts. shown: whether its row says what its tokens were chosen by."""

    asked: Asked
    box: Toolbox | None = None
    opened: bool = False
    shown: bool = False

    @property
    def order(self) -> tuple[bool, Sequence[int]]:
        """By which prompts that begin alike stand together; those with pictures, which are lists, are last."""
        return isinstance(self.asked.tokens, ImagePrompt), self.asked.tokens


@dataclass(frozen=True)
class Answer:
    """choices: what its tokens were chosen by; none where it was not computed."""

    question: Question
    completion: Completion
    receipt: str
    choices: Sequence[TokenChoice] = ()


class Asker:
    """A model made ready to be asked as settings say. Raises InputError for settings that it can't keep to."""

    def __init__(self, model: Model, settings: Settings) -> None:
        if model.engine is not None:
            raise InputError(
                f"{model.info.backend} computes one answer at a time; a batch is the native runtime's"
            )
        if settings.raw and (settings.system is not None or settings.thinking is not None):
            raise InputError("a system message and thinking are the chat template's, which --raw leaves out")
        self.model, self.settings = model, settings
        self._made: dict[str, Constraint | ConstraintError] = {}
        self._apart = apart.Apart()
        self._sampling = _sampling(settings)
        task, adapters = settings.task, settings.adapters
        if task is not None and task in model.adapters:
            if adapters:
                raise InputError(f"the task {task} is an adapter of the file; leave --adapter out")
            adapters, task = {task: 1.0}, None
        self.adapter = dict(adapters) if adapters else None
        self.applied = model.applied(self.adapter)
        self.skill = model.skill_of(self.adapter)
        self.constraint = self._held(settings.held)
        check_room(self.skill, settings.thinking, self.constraint)
        if not settings.raw and not self.skill.can_chat:
            raise InputError("the file has no chat template; continue texts as they are: --raw")
        self.task = None
        if settings.task is not None:
            self.task = tasks.by_name(task) if task else _task_of(self.constraint)

    def questions(self, item: Item) -> list[Question]:
        """One for each of its answers. Raises a TinsmithError that says why the item can't be asked."""
        if item.fault is not None:
            raise InputError(item.fault)
        return [self._question(item)] if item.body is None else self._questions(item.asked, item.body)

    def _question(self, item: Item) -> Question:
        if isinstance(item.asked, str):
            tokens = self.model.tokenize(item.asked, special=True, bos=True)
            return Question(self._asked(tokens, self.settings, self.constraint))
        thinking = self._thinking(self.constraint)
        tokens = _made(partial(self._rendered, item.asked, thinking))
        opened = self.skill.templates.table(thinking).opens_thoughts
        return Question(self._asked(tokens, self.settings, self.constraint), opened=opened)

    def _rendered(self, messages: Messages, thinking: bool | None) -> list[int]:
        return self.model.render(self._shown(messages), thinking=thinking, adapter=self.adapter)

    def _shown(self, messages: Messages) -> list[Message]:
        return within(self.model, settled(messages), self.settings.pictures)

    def _thinking(self, constraint: Constraint | None) -> bool | None:
        """Under a constraint there is no room for thoughts."""
        given = self.settings.thinking
        return direct(self.skill) if given is None and constraint is not None else given

    def _questions(self, messages: Any, body: Mapping[str, Any]) -> list[Question]:
        settings, offer, shown = openai.settings_of(body, self.settings)
        if shown != openai.Shown() and self.settings.shape != "openai":
            raise InputError('"n" and "logprobs" have no place in a row of ours; leave --shape rows out')
        first = self._posed(messages, settings, offer)
        first = replace(first, asked=replace(first.asked, tops=shown.tops or 0), shown=shown.tops is not None)
        return [_drawn(first, number) for number in range(shown.count)]

    def _posed(self, messages: Any, settings: Settings, offer: Offer | None) -> Question:
        told = [_plain(one) for one in messages]
        if offer is not None:
            from tinsmith.runtime.calls import prompt_of
            from tinsmith.runtime.offers import offered

            apart.check_size(offer.tools)
            box = offered(self.model, offer, self.adapter, self._requested)
            tokens = _made(lambda: prompt_of(self.model, self._shown(told), box, adapter=self.adapter))
            held = self.skill.constraint_for(box.constraint, self.settings.held.search)
            return Question(self._asked(tokens, settings, held), box)
        constraint = self.constraint
        if settings.held is not self.settings.held:
            constraint = self.skill.constraint_for(
                self._requested({"schema": settings.held.of}), settings.held.search
            )
        thinking = self._thinking(constraint)
        tokens = _made(partial(self._rendered, told, thinking))
        opened = self.skill.templates.table(thinking).opens_thoughts
        return Question(self._asked(tokens, settings, constraint), opened=opened)

    def _asked(self, tokens: list[int], settings: Settings, constraint: Constraint | None) -> Asked:
        if not tokens:
            raise InputError("the prompt is empty; there is nothing to continue")
        return Asked(
            tokens if isinstance(tokens, ImagePrompt) else array("i", tokens),  # four bytes each
            self.applied,
            constraint,
            max_tokens=settings.max_tokens,
            sampling=self._sampling if settings is self.settings else _sampling(settings),
            stop=settings.stop,
            record=True,
        )

    def _held(self, held: Held) -> Constraint | None:
        """What all rows are held to."""
        if held.kind in ("own", "free"):
            return self.skill.constraint_for("own" if held.kind == "own" else None, held.search)
        return self.skill.constraint_for(self._compiled(held), held.search)

    def _requested(self, request: Mapping[str, Any]) -> Constraint:
        """Of a row's own schema or tools, which are compiled within limits; made once for the same."""
        key = json.dumps(request)
        made = self._made.pop(key, None)
        if made is None:
            try:
                made = self._apart.compiled(request)
            except ConstraintError as error:
                made = error
        self._made[key] = made
        if len(self._made) > _CONSTRAINTS:
            del self._made[next(iter(self._made))]
        if isinstance(made, ConstraintError):
            raise made
        return made

    def close(self) -> None:
        self._apart.close()

    def _compiled(self, held: Held) -> Constraint:
        from tinsmith.constraint import makers

        match held.kind:
            case "schema":
                return makers.schema(held.of)
            case "tools":
                from tinsmith.runtime.calls import toolbox

                return toolbox(self.model, held.of, None, False, False, self.adapter).constraint
            case "choices":
                return makers.choices(held.of)
            case "regex":
                return makers.regex(held.of)
        return makers.grammar(held.of, "lark" if held.kind == "lark" else "gbnf")

    def row(self, item: Item, answers: Sequence[Answer]) -> dict[str, Any]:
        """The row of OUT, of the answers to the item's questions."""
        if self.settings.shape == "openai":
            return openai.answer(self.model, item.name, item.body, [self._read(one) for one in answers])
        (answer,) = answers
        completion, made = answer.completion, answer.receipt
        table = {"item": item.name, "text": completion.text, "finish": completion.finish, "receipt": made}
        if self.task is not None:
            table["value"] = self.task.parse(completion.text)
        return table

    def _read(self, answer: Answer) -> openai.Answered:
        question, completion = answer.question, answer.completion
        calls = _calls(self.model, question, completion)
        return openai.Answered(completion, answer.receipt, calls, answer.choices if question.shown else None)

    def fault(self, item: Item, reason: str) -> dict[str, Any]:
        if self.settings.shape == "openai":
            return openai.fault(item.name, reason)
        return {"item": item.name, "error": reason}


def _sampling(settings: Settings) -> Sampling:
    options: dict[str, Any] = {"lookup": LOOKUP, **settings.options}
    return Sampling(**options)


def _drawn(question: Question, number: int) -> Question:
    """The same by another seed: of several answers to a request, the one of that number."""
    sampling = question.asked.sampling
    drawn = replace(sampling, seed=(sampling.seed + number) % (1 << 64))
    return replace(question, asked=replace(question.asked, sampling=drawn)) if number else question


def _made(render: Callable[[], list[int]]) -> list[int]:
    """The prompt. Pixels of its pictures are not kept: `render` makes it anew where they are wanted."""
    tokens = render()
    if isinstance(tokens, ImagePrompt):
        later(tokens, render)
    return tokens


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    return {**message, "content": _content(message)}


def _content(message: Mapping[str, Any]) -> str | list[dict[str, Any]]:
    """A message's; of parts without a picture, their texts joined; of none, what it refused by."""
    content = message.get("content")
    if isinstance(content, list):
        parts = [_part(one) for one in content]
        if any(part["type"] != "text" for part in parts):
            return parts
        return "".join(part["text"] for part in parts)
    if content is not None and not isinstance(content, str):
        raise InputError("a message's content must be a text or a list of parts")
    return content or str(message.get("refusal") or "")


def _part(part: Any) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text":
        return {"type": kind, "text": str(part.get("text", ""))}
    if kind != "image_url":
        raise InputError(f"a part of a message is of the type {kind!r}; text and image_url are answered")
    url = part.get("image_url")
    detail = url.get("detail") if isinstance(url, dict) else None
    if detail not in (None, "auto", "high"):
        raise InputError(f'"detail" is {detail!r:.40}; a picture is seen in full: give auto or high')
    return {"type": kind, "image_url": url}


def _calls(model: Model, question: Question, completion: Completion) -> list[Call] | None:
    """None too of an answer with calls that did not end by itself."""
    if question.box is None:
        return None
    from tinsmith.runtime.calls import read_calls

    try:
        return read_calls(model, completion, question.box)
    except InputError:
        return None


def _task_of(constraint: Constraint | None) -> tasks.Task:
    """What answers under it are, where --task names an adapter."""
    kind = None if constraint is None else constraint.kind
    return next((one for one in tasks.tasks() if kind and one.source == kind), tasks.by_name("chat"))
