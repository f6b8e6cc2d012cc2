"""A request to the model, and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinsmith.runtime.calls import Toolbox
from tinsmith.runtime.choice import TokenChoice
from tinsmith.runtime.generation import Completion, TokenRequest
from tinsmith.runtime.image_prompt import ImagePrompt


@dataclass(frozen=True)
class Request:
    token_request: TokenRequest
    toolbox: Toolbox | None = None  # of the item's own tools
    thinks: bool = False  # the prompt begins the answer's thoughts
    with_choices: bool = False  # the row has log probabilities

    @property
    def sort_key(self) -> tuple[bool, Sequence[int]]:
        """Sorts prompts with a common prefix together, and prompts with images, which are lists, last."""
        return isinstance(self.token_request.tokens, ImagePrompt), self.token_request.tokens


@dataclass(frozen=True)
class Answer:
    request: Request
    completion: Completion
    receipt: str
    choices: Sequence[TokenChoice]  # none of a cached answer
