"""Tool calls: lists tools in the prompt, constrains the answer, reads and executes its calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tinsmith.chat.tool_formats import Call, Tool, ToolFormat, by_name, read_tools
from tinsmith.constraint import Constraint
from tinsmith.constraint.calls.tools import compile_tools
from tinsmith.constraint.functions import arguments_of
from tinsmith.constraint.makers import declared
from tinsmith.errors import InputError
from tinsmith.runtime.adapters import Chosen
from tinsmith.runtime.asking import Prompt, check_room, conversation, direct, finished, is_ids, tokens_of
from tinsmith.runtime.generation import Completion
from tinsmith.runtime.loaded import Loaded
from tinsmith.runtime.skill import Own

AnyTool = Mapping[str, Any] | Callable[..., Any]
Choice = Literal["auto", "none", "required"]


@dataclass(frozen=True, kw_only=True)
class Toolbox:
    """Tools prepared for one model."""

    format: ToolFormat
    tools: list[Tool]
    functions: dict[str, Callable[..., Any]] = field(default_factory=dict)  # by name, to execute calls
    constraint: Constraint
    talk: bool = False  # whether a text without calls is an answer too


def toolbox(
    model: Loaded,
    tools: Sequence[AnyTool],
    format: str | None,
    parallel: bool,
    none: bool,
    adapter: Chosen = None,
) -> Toolbox:
    dicts = declared(tools)
    tool_format = by_name(format or model.skill_of(adapter).tool_format)
    listed = read_tools(dicts)
    constraint = compiled(
        model, {"tools": dicts, "format": tool_format.name, "parallel": parallel, "none": none}
    )
    functions = {
        tool.name: given for given, tool in zip(tools, listed, strict=True) if not isinstance(given, Mapping)
    }
    return Toolbox(format=tool_format, tools=listed, functions=functions, constraint=constraint, talk=none)


def compiled(model: Loaded, terms: Mapping[str, Any]) -> Constraint:
    """`compile_tools` with the model's control tokens, cached. terms: its other arguments."""
    key = f"tools {json.dumps(terms, default=repr)}"
    return model.cached_constraint(
        key, lambda: compile_tools(**terms, control=lambda text: control_token(model, text))
    )


def control_token(model: Loaded, text: str) -> int | None:
    """The id of the control token with this text, if any."""
    tokens = model.tokenize(text, special=True)
    return tokens[0] if len(tokens) == 1 and model.core.token(tokens[0])[1] else None


def prompt_of(
    model: Loaded, prompt: Prompt, box: Toolbox, show: bool | None = None, adapter: Chosen = None
) -> list[int]:
    """The prompt in tokens, with the tools listed in it. show: as Model.call."""
    skill = model.skill_of(adapter)
    if show is None:
        # A model with its own tools was trained on them.
        show = skill.constraint is None or skill.constraint.kind != "tools"
    if not show or is_ids(prompt):
        return tokens_of(model, prompt, adapter)
    messages = conversation(prompt)
    with_tools = box.format.messages(box.tools, messages, skill.templates.default.default_system)
    if not box.format.controls:
        return model.render(with_tools, thinking=direct(skill), adapter=adapter)
    for message in messages:
        if not isinstance(message["content"], str):
            raise InputError(f"the format {box.format.name} allows no images; leave them or the tools out")
        if any(model.core.token(token)[1] for token in model.tokenize(message["content"], special=True)):
            raise InputError(
                f"a message has the text of a control token, which the format {box.format.name} also writes; "
                "leave it out"
            )
    return model.tokenize(skill.templates.table(direct(skill)).render(with_tools), special=True)


def answer_prompt(
    model: Loaded,
    messages: Sequence[Mapping[str, Any]],
    box: Toolbox | None,
    constraint: Constraint | Own | None,
    thinking: bool | None = None,
    adapter: Chosen = None,
) -> tuple[list[int], bool]:
    """A conversation in tokens, and whether it opens the answer's thoughts. Without `thinking`, a constrained
    answer has none. Raises InputError for thinking under a constraint."""
    skill = model.skill_of(adapter)
    check_room(skill, thinking, constraint)
    if box is not None or (thinking is None and skill.constraint_for(constraint) is not None):
        thinking = direct(skill)
    if box is not None:
        tokens = prompt_of(model, messages, box, adapter=adapter)
    else:
        tokens = model.render(messages, thinking=thinking, adapter=adapter)
    return tokens, skill.templates.table(thinking).opens_thoughts


def read_calls(model: Loaded, answer: Completion, box: Toolbox) -> list[Call]:
    """The calls of an answer under the box's constraint; none for a text. Raises InputError for calls that
    max_tokens or the context cut."""
    written = model.detokenize(answer.token_ids, special=True)
    if box.talk and (box.format.mark or "{") not in written:
        return []
    try:
        calls = box.format.parse(written, box.tools)
    except InputError:
        finished(answer)  # a cut-off answer raises the better error
        raise
    if calls or not box.talk:
        finished(answer)
    return calls


def run(one: Call, function: Callable[..., Any]) -> None:
    """Executes a call, and keeps its result or exception."""
    try:
        one.result = function(**arguments_of(function, one.arguments))
    except Exception as error:
        one.error = error


@dataclass(frozen=True)
class Offer:
    tools: Sequence[Mapping[str, Any]]  # in OpenAI's shape; the prompt lists all of them
    choice: Choice = "auto"  # "auto": the answer is a text or calls; "required": calls; "none": no tools
    parallel: bool | None = None  # several calls in one answer; None: if the model's format allows them
    allowed: Sequence[str] | None = None  # names of the tools that may be called; None: all

    @property
    def allows_text(self) -> bool:
        """Whether a text without calls is an answer."""
        return self.choice == "auto"


def terms(offer: Offer, tools: Sequence[Tool], format: ToolFormat) -> dict[str, Any]:
    """The arguments of `compile_tools` without control tokens. tools: the offer's, parsed. Raises InputError
    for unknown allowed tools."""
    names = {tool.name for tool in tools}
    may = names if offer.allowed is None else set(offer.allowed)
    if may - names:
        raise InputError(f"tool_choice names {min(may - names)[:80]!r}, which is not one of the tools")
    return {
        "tools": [tool.declared for tool in tools if tool.name in may],
        "format": format.name,
        "parallel": format.several if offer.parallel is None else offer.parallel,
        "none": offer.allows_text,
        "talk": offer.allows_text,
    }


def with_controls(model: Loaded, request: dict[str, Any], format: ToolFormat) -> dict[str, Any]:
    """The terms with the format's control tokens, for tinsmith.constraint.compiler."""
    controls = {text: control_token(model, text) for text in (*format.controls, format.mark) if text}
    return {**request, "controls": {text: token for text, token in controls.items() if token is not None}}


def offered(
    model: Loaded,
    offer: Offer,
    adapter: Chosen = None,
    apart: Callable[[dict[str, Any]], Constraint] | None = None,
) -> Toolbox:
    """The offer's toolbox, with a cached constraint. apart: compiles a request of tinsmith.constraint.compiler
    instead. Raises InputError, ConstraintError."""
    format = by_name(model.skill_of(adapter).tool_format)
    tools = read_tools(offer.tools)
    request = terms(offer, tools, format)
    constraint = compiled(model, request) if apart is None else apart(with_controls(model, request, format))
    return Toolbox(format=format, tools=tools, constraint=constraint, talk=offer.allows_text)
