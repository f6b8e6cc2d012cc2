"""Tools that a request offers, and the constraint that they make, for the server, batches and assistants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tinsmith.chat.tool_formats import Tool, ToolFormat, by_name, read_tools
from tinsmith.constraint import Constraint
from tinsmith.errors import InputError
from tinsmith.runtime.adapters import Chosen
from tinsmith.runtime.calls import Toolbox, compiled, control_token
from tinsmith.runtime.loaded import Loaded

Choice = Literal["auto", "none", "required"]


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
