"""A question made ready for a model: its prompt in tokens, and what its answer may be."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinsmith.chat.tool_formats import Tool, by_name, read_tools
from tinsmith.constraint.makers import anything
from tinsmith.runtime.asking import check_room, direct
from tinsmith.runtime.calls import Toolbox, control_token, prompt_of
from tinsmith.serve.faults import Refused

if TYPE_CHECKING:
    from tinsmith.constraint import Constraint
    from tinsmith.runtime.skill import Own
    from tinsmith.serve.house import House
    from tinsmith.serve.question import Offer, Question
    from tinsmith.serve.shelf import Target


@dataclass(frozen=True)
class Posed:
    """A question made ready. tokens: its prompt's; opened: they begin the answer's thoughts. constraint: what
    it asks for; the target's skill knows what "own" is."""

    tokens: list[int]
    opened: bool
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
            raise Refused(400, f"{named} beside {offer.param} is not supported", named)
        format = by_name(skill.tool_format)
        constraint = await house.compiler.compiled(question.scope, offer.param, offered(offer, target))
        box = Toolbox(format, read_tools(offer.tools), {}, constraint)
    elif question.form is not None:
        constraint = await house.compiler.compiled(
            question.scope, question.form.param, {"schema": question.form.schema}
        )
    tokens, opened = await asyncio.to_thread(_rendered, question, target, box, constraint)
    return Posed(tokens, opened, box, constraint)


def counted_prompt(question: Question) -> int:
    """Tokens of a question's prompt, which is not asked."""
    target, box, offer = question.target, None, question.offer
    if offer is not None and offer.choice != "none":
        box = Toolbox(by_name(target.skill.tool_format), read_tools(offer.tools), {}, anything())
    constraint: Constraint | Own | None = anything() if question.form else None if question.free else "own"
    return len(_rendered(question, target, box, constraint)[0])


def offered(offer: Offer, target: Target) -> dict[str, Any]:
    """What the compiler is asked for."""
    known: list[Tool] = read_tools(offer.tools)
    model, format = target.served.model, by_name(target.skill.tool_format)
    named = offer.choice not in ("auto", "required")
    if named and all(tool.name != offer.choice for tool in known):
        raise Refused(
            400, f"tool_choice names {offer.choice[:80]!r}, which is none of the tools", "tool_choice"
        )
    controls = {text: control_token(model, text) for text in (*format.controls, format.mark) if text}
    return {
        "tools": [tool.declared for tool in known if not named or tool.name == offer.choice],
        "format": format.name,
        "parallel": format.several if offer.parallel is None else offer.parallel,
        "none": offer.choice == "auto",
        "talk": offer.choice == "auto",
        "controls": {text: token for text, token in controls.items() if token is not None},
    }


def _rendered(
    question: Question, target: Target, box: Toolbox | None, constraint: Constraint | Own | None
) -> tuple[list[int], bool]:
    """The prompt in tokens, and whether it begins the answer's thoughts."""
    model, skill, prompt = target.served.model, target.skill, question.prompt
    if prompt is not None:
        return (model.tokenize(prompt, bos=True) if isinstance(prompt, str) else list(prompt)), False
    check_room(skill, question.thinking, constraint)
    thinking = question.thinking
    if box is not None:
        thinking = direct(skill)
        tokens = prompt_of(model, question.messages, box, adapter=target.adapter)
    else:
        if thinking is None and skill.held_to(constraint) is not None:
            thinking = direct(skill)
        tokens = model.render(question.messages, thinking=thinking, adapter=target.adapter)
    return tokens, skill.templates.table(thinking).opens_thoughts
