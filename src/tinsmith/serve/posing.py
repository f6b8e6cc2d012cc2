"""A question made ready for a model: its prompt in tokens, and what its answer may be."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from tinsmith.chat.tool_formats import Tool, by_name, read_tools
from tinsmith.constraint.makers import anything
from tinsmith.errors import InputError
from tinsmith.runtime.adapters import prefix_of
from tinsmith.runtime.asking import check_room, direct
from tinsmith.runtime.calls import Toolbox, control_token, prompt_of
from tinsmith.runtime.image_prompt import ImagePrompt
from tinsmith.runtime.offers import Offer, terms
from tinsmith.serve import pictures
from tinsmith.serve.faults import Refused

if TYPE_CHECKING:
    from threading import Event

    from tinsmith.constraint import Constraint
    from tinsmith.runtime.skill import Own
    from tinsmith.serve.house import House
    from tinsmith.serve.limits import Limits
    from tinsmith.serve.question import Question
    from tinsmith.serve.shelf import Target

T = TypeVar("T")


@dataclass(frozen=True)
class Posed:
    """A question made ready. tokens: its prompt's, with the rows of its images; opened: they begin the answer's
    thoughts; room: what they leave of the context. constraint: what it asks for; the target's skill knows what
    "own" is."""

    tokens: list[int]
    opened: bool
    room: int
    box: Toolbox | None
    constraint: Constraint | Own | None


async def pose(house: House, question: Question, target: Target) -> Posed:
    """Raises InputError and Refused for what can't be asked of the target."""
    skill, box = target.skill, None
    offer = question.offer if question.offer and question.offer.choice != "none" else None
    constraint: Constraint | Own | None = None if question.free else "own"
    if offer is not None:
        if question.form is not None:
            named = question.form.param
            raise Refused(400, f"{named} beside tools is not supported", named)
        format = by_name(skill.tool_format)
        made_of = partial(offered, offer, target, house.limits)
        request = await house.threads.do(question.scope, made_of)
        constraint = await house.compiler.compiled(question.scope, "tools", request)
        box = Toolbox(format, read_tools(offer.tools), {}, constraint, offer.free)
    elif question.form is not None:
        constraint = await house.compiler.compiled(
            question.scope, question.form.param, {"schema": question.form.schema}
        )
    if question.search is not None:
        constraint = skill.constraint_for(constraint, question.search)

    def made(read: Question, left: Event | None) -> tuple[list[int], bool, int]:
        tokens, opened = _rendered(read, target, box, constraint)
        room = _room(read, target, tokens)
        if left is not None and isinstance(tokens, ImagePrompt) and target.served.eyes is not None:
            target.served.eyes.see(tokens, question.scope, left)
        return tokens, opened, room

    return Posed(*await _beside(house, question, target, made), box, constraint)


async def _beside(
    house: House, question: Question, target: Target, work: Callable[[Question, Event | None], T]
) -> T:
    """What the work makes of a question, in a thread beside the event loop. With pictures, which are read
    there, that is the one of the model's eyes, and the work is told when nobody waits for it any more."""
    sent, limits, eyes = pictures.sent_in(question.messages), house.limits, target.served.eyes
    if not sent:
        return await house.threads.do(question.scope, partial(work, question, None))
    if eyes is None:
        raise Refused(400, f"{sent[0].param}: {target.name} sees no pictures; ask by text", sent[0].param)
    if len(sent) > limits.images:
        param = sent[limits.images].param
        raise Refused(400, limits.too_many(len(sent), param), param)

    def looked(left: Event) -> T:
        messages = pictures.read(question.messages, limits)
        return work(replace(question, messages=messages), left)

    return await eyes.do(question.scope, looked)


def _room(question: Question, target: Target, tokens: list[int]) -> int:
    """Tokens that an answer may have. Raises Refused where that is none."""
    most = target.served.worker.context
    room = most - prefix_of(target.served.model.applied(target.adapter)) - len(tokens)
    if room < 1:
        raise Refused(
            400,
            f"the prompt has {len(tokens)} tokens, and the context holds {most}; shorten it",
            "prompt" if question.prompt is not None else "messages",
            code="context_length_exceeded",
        )
    return room


async def counted_prompt(house: House, question: Question) -> int:
    """Tokens of a question's prompt, which is not asked."""
    target, box, offer = question.target, None, question.offer
    if offer is not None and offer.choice != "none":
        tools = await house.threads.do(question.scope, partial(_tools, offer, house.limits))
        box = Toolbox(by_name(target.skill.tool_format), tools, {}, anything())
    constraint: Constraint | Own | None = anything() if question.form else None if question.free else "own"

    def count(read: Question, _: Event | None) -> int:
        return len(_rendered(read, target, box, constraint)[0])

    return await _beside(house, question, target, count)


def _tools(offer: Offer, limits: Limits) -> list[Tool]:
    """Their size is known before they are read."""
    size = len(json.dumps(offer.tools))
    if size > limits.schema:
        raise Refused(400, f"tools: {size:,} bytes; give at most {limits.schema:,}", "tools", "too_large")
    return read_tools(offer.tools)


def offered(offer: Offer, target: Target, limits: Limits) -> dict[str, Any]:
    """What the compiler is asked for."""
    tools, format, model = _tools(offer, limits), by_name(target.skill.tool_format), target.served.model
    try:
        asked = terms(offer, tools, format)
    except InputError as error:
        raise Refused(400, str(error), "tool_choice") from None
    controls = {text: control_token(model, text) for text in (*format.controls, format.mark) if text}
    return {**asked, "controls": {text: token for text, token in controls.items() if token is not None}}


def _rendered(
    question: Question, target: Target, box: Toolbox | None, constraint: Constraint | Own | None
) -> tuple[list[int], bool]:
    """The prompt in tokens, and whether it begins the answer's thoughts."""
    model, skill, prompt = target.served.model, target.skill, question.prompt
    if question.suffix is not None:
        if not isinstance(prompt, str):
            raise Refused(400, "suffix stands behind a text; this prompt is tokens", "suffix")
        return model.infill_prompt(prompt, question.suffix), False
    if isinstance(prompt, str):
        return model.tokenize(prompt, special=True, bos=True), False
    if prompt is not None:
        return list(prompt), False
    check_room(skill, question.thinking, constraint)
    thinking = question.thinking
    if box is not None:
        thinking = direct(skill)
        tokens = prompt_of(model, question.messages, box, adapter=target.adapter)
    else:
        if thinking is None and skill.constraint_for(constraint) is not None:
            thinking = direct(skill)
        tokens = model.render(question.messages, thinking=thinking, adapter=target.adapter)
    return tokens, skill.templates.table(thinking).opens_thoughts
