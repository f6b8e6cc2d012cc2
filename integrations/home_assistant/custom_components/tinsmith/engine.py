"""What answers: a file in this process, or a server. Both take the same questions, and give the same tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from homeassistant.exceptions import HomeAssistantError


class EngineError(HomeAssistantError):
    """It can't be opened now; `lasting` where asking again would not help."""

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


@dataclass(frozen=True)
class Question:
    """messages, tools: in OpenAI's shape. must_call: the answer is a call of a tool, and no text. schema: of
    the answer. With neither, the file's own constraint applies, if it has one."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] = field(default_factory=list)
    must_call: bool = False
    schema: dict[str, Any] | None = None
    unconstrained: bool = False
    adapter: str | None = None
    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Call:
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """finish: "stop" or "length". confident: whether the confidence reaches the file's abstention threshold
    (None without one). receipt: the digest that binds the answer to file, question and seed."""

    text: str
    calls: list[Call]
    finish: str
    confident: bool | None
    receipt: str


@dataclass(frozen=True)
class Facts:
    """name: the model's. adapters: their names. own_calls: the file's answers are calls of tools of its own.
    told: more for the diagnostics."""

    name: str
    adapters: list[str]
    own_calls: bool
    told: dict[str, Any]


class Engine(Protocol):
    facts: Facts

    async def ask(self, question: Question) -> Answer:
        """Raises HomeAssistantError with the reason. A task that is cancelled takes the answer along."""

    async def close(self) -> None:
        """Frees all that it holds."""
