"""A question in no interface's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tinsmith.runtime.generation import LOOKUP, Sampling

if TYPE_CHECKING:
    from tinsmith.runtime.offers import Offer
    from tinsmith.serve.shelf import Target

Message = Mapping[str, Any]


@dataclass(frozen=True)
class Form:
    """A schema that an answer must satisfy. param: the field that it came in."""

    schema: Any
    param: str = "response_format"


@dataclass(frozen=True)
class Question:
    """messages: a conversation, whose pictures are not read yet, or prompt: a text or tokens that are
    continued, up to `suffix` where there is one. thinking: None: as the template has it. free: without the
    constraint that the file brings. search: in place of the constraint's own. sampling: but for the seed; seed:
    None: drawn. count: answers. max_tokens: None: what is left of the context. tops: alternatives of each
    token. record: choices are wanted."""

    target: Target
    messages: Sequence[Message] = ()
    prompt: str | Sequence[int] | None = None
    suffix: str | None = None
    thinking: bool | None = None
    offer: Offer | None = None
    form: Form | None = None
    free: bool = False
    search: int | None = None
    sampling: Sampling = field(default_factory=lambda: Sampling(lookup=LOOKUP))
    seed: int | None = None
    count: int = 1
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    tops: int = 0
    record: bool = False
    scope: str = ""
