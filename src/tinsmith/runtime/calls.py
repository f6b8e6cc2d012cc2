"""Model.call: lists the tools in the prompt, and asks for, reads and executes calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinsmith.chat.tool_formats import Call, Tool, ToolFormat, by_name, read_tools
from tinsmith.constraint import Constraint
from tinsmith.constraint.calls.tools import compile_tools
from tinsmith.constraint.functions import arguments_of
from tinsmith.constraint.makers import declared
from tinsmith.errors import InputError
from tinsmith.runtime.asking import Prompt, conversation, direct, finished, is_ids, tokens_of

if TYPE_CHECKING:
    from tinsmith.runtime.adapters import Chosen
    from tinsmith.runtime.generation import Completion
    from tinsmith.runtime.loaded import Loaded

AnyTool = Mapping[str, Any] | Callable[..., Any]
_MADE = 64  # constraints that are kept


@dataclass(frozen=True)
class Toolbox:
    """Tools made ready for one model. functions: those that can be executed, by name. talk: a text without
    calls is an answer too."""

    format: ToolFormat
    tools: list[Tool]
    functions: dict[str, Callable[..., Any]]
    constraint: Constraint
    talk: bool = False


def toolbox(
    model: Loaded,
    tools: Sequence[AnyTool],
    format: str | None,
    parallel: bool,
    none: bool,
    adapter: Chosen = None,
) -> Toolbox:
    dicts = declared(tools)
    known = by_name(format or model.skill_of(adapter).tool_format)
    listed = read_tools(dicts)
    constraint = compiled(model, {"tools": dicts, "format": known.name, "parallel": parallel, "none": none})
    functions = {
        tool.name: given for given, tool in zip(tools, listed, strict=True) if not isinstance(given, Mapping)
    }
    return Toolbox(known, listed, functions, constraint, talk=none)


def compiled(model: Loaded, terms: Mapping[str, Any]) -> Constraint:
    """What `compile_tools` makes of these, with the model's control tokens; made once for the same."""
    key = json.dumps(terms, default=repr)
    made = model.toolboxes.pop(key, None)
    if made is None:
        made = compile_tools(**terms, control=lambda text: control_token(model, text))
    model.toolboxes[key] = made
    if len(model.toolboxes) > _MADE:
        model.toolboxes.pop(next(iter(model.toolboxes)))
    return made


def control_token(model: Loaded, text: str) -> int | None:
    """The id of the control token of this text."""
    tokens = model.tokenize(text, special=True)
    return tokens[0] if len(tokens) == 1 and model.core.token(tokens[0])[1] else None


def prompt_of(
    model: Loaded, prompt: Prompt, box: Toolbox, show: bool | None = None, adapter: Chosen = None
) -> list[int]:
    """The prompt in tokens, with the tools listed in it. show: as Model.call."""
    skill = model.skill_of(adapter)
    if show is None:
        # A model with tools of its own was trained to know them.
        show = skill.constraint is None or skill.constraint.kind != "tools"
    if not show or is_ids(prompt):
        return tokens_of(model, prompt, adapter)
    messages = conversation(prompt)
    with_tools = box.format.messages(box.tools, messages, skill.templates.default.default_system)
    if not box.format.controls:
        return model.render(with_tools, thinking=direct(skill), adapter=adapter)
    for message in messages:
        if not isinstance(message["content"], str):
            named = box.format.name
            raise InputError(f"the format {named} has no room for images; leave them or the tools out")
        if any(model.core.token(token)[1] for token in model.tokenize(message["content"], special=True)):
            raise InputError(
                f"a message holds the text of a control token, which the format {box.format.name} can't tell "
                f"from its own"
            )
    return model.tokenize(skill.templates.table(direct(skill)).render(with_tools), special=True)


def call(
    model: Loaded,
    prompt: Prompt,
    tools: Sequence[AnyTool],
    *,
    execute: bool,
    parallel: bool,
    none: bool,
    format: str | None,
    show: bool | None,
    search: int,
    options: dict[str, Any],
) -> list[Call]:
    """Model.call."""
    adapter = options.get("adapter")
    box = toolbox(model, tools, format, parallel, none, adapter)
    missing = [tool.name for tool in box.tools if tool.name not in box.functions]
    if execute and missing:
        raise InputError(f"{', '.join(missing)} can't be executed: give Python functions, or leave execute off")
    tokens = prompt_of(model, prompt, box, show, adapter)
    constraint = model.skill_of(adapter).constraint_for(box.constraint, search)
    answer = model.generate(tokens, constraint=constraint, **options)
    calls = read_calls(model, answer, box)
    if execute:
        for one in calls:
            run(one, box.functions[one.name])
    return calls


def read_calls(model: Loaded, answer: Completion, box: Toolbox) -> list[Call]:
    """The calls of an answer under the box's constraint; none of a text. InputError where an answer with calls
    did not end by itself."""
    written = model.detokenize(answer.token_ids, special=True)
    if box.talk and (box.format.mark or "{") not in written:
        return []
    try:
        calls = box.format.parse(written, box.tools)
    except InputError:
        finished(answer)  # where it was cut off, that says why
        raise
    if calls or not box.talk:
        finished(answer)
    return calls


def run(one: Call, function: Callable[..., Any]) -> None:
    """Executes a call; what it raises is kept in it."""
    try:
        one.result = function(**arguments_of(function, one.arguments))
    except Exception as error:
        one.error = error
