"""Tools that a request offers: what its answer may be, the same for a server, a bulk run and an assistant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tinsmith.chat.tool_formats import Tool, ToolFormat, by_name, read_tools
from tinsmith.errors import InputError
from tinsmith.runtime.calls import Toolbox, compiled, control_token

if TYPE_CHECKING:
    from tinsmith.constraint import Constraint
    from tinsmith.runtime.adapters import Chosen
    from tinsmith.runtime.loaded import Loaded

Choice = Literal["auto", "none", "required"]


@dataclass(frozen=True)
class Offer:
    """tools: in OpenAI's shape, all of which the prompt lists. choice: "auto": the answer may be a text too;
    "required": it calls; "none": no tool is there. parallel: whether one answer may call several times; None:
    where the model's format can. allowed: the names of those that may be called; None: all."""

    tools: Sequence[Mapping[str, Any]]
    choice: Choice = "auto"
    parallel: bool | None = None
    allowed: Sequence[str] | None = None

    @property
    def free(self) -> bool:
        """Whether a text without calls is an answer."""
        return self.choice == "auto"


def terms(offer: Offer, tools: Sequence[Tool], format: ToolFormat) -> dict[str, Any]:
    """What `compile_tools` takes for it, but for the control tokens. tools: the offer's, as they were read.
    Raises InputError where others are allowed."""
    names = {tool.name for tool in tools}
    may = names if offer.allowed is None else set(offer.allowed)
    if may - names:
        raise InputError(f"tool_choice names {min(may - names)[:80]!r}, which is none of the tools")
    return {
        "tools": [tool.declared for tool in tools if tool.name in may],
        "format": format.name,
        "parallel": format.several if offer.parallel is None else offer.parallel,
        "none": offer.free,
        "talk": offer.free,
    }


def offered(
    model: Loaded,
    offer: Offer,
    adapter: Chosen = None,
    apart: Callable[[dict[str, Any]], Constraint] | None = None,
) -> Toolbox:
    """Made once for the same offer, or by `apart`, of a request that tinsmith.constraint.compiler knows. Raises
    InputError, ConstraintError."""
    format = by_name(model.skill_of(adapter).tool_format)
    tools = read_tools(offer.tools)
    asked = terms(offer, tools, format)
    if apart is None:
        return Toolbox(format, tools, {}, compiled(model, asked), offer.free)
    controls = {text: control_token(model, text) for text in (*format.controls, format.mark) if text}
    asked["controls"] = {text: token for text, token in controls.items() if token is not None}
    return Toolbox(format, tools, {}, apart(asked), offer.free)
