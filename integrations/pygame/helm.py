"""The helmsman: maps an order to one of the deeds on a boat, does it, and replies.

Nothing here draws, starts a thread or waits: `think` gets a part of each frame.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field

import tinsmith

RULES = "You are the helmsman of a small boat. Answer the captain in one short sentence."
DEEDS = (
    "turn to port",
    "turn to starboard",
    "steady as she goes",
    "make more sail",
    "take in sail",
    "drop the anchor",
)
SHOWN = (
    "Left, please.",
    "Bear right.",
    "Hold this course.",
    "Speed up.",
    "Slower.",
    "Stop.",
)  # orders for DEEDS
WORDS, MOST_MESSAGES = 24, 24


def told(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def shown() -> list[dict[str, str]]:
    """The beginning of conversations: computed once, and shared by all."""
    examples = [
        (told("user", order), told("assistant", deed)) for order, deed in zip(SHOWN, DEEDS, strict=True)
    ]
    return [told("system", RULES), *(turn for example in examples for turn in example)]


@dataclass
class Helmsman:
    """deed: of the last order. said: about it. thinks: what is under way, "deed" or "words"."""

    model: tinsmith.Model
    seed: int = 1
    messages: list[dict[str, str]] = field(default_factory=shown)
    deed: str = ""
    said: str = ""
    thinks: str = ""
    orders: int = 0

    def __post_init__(self) -> None:
        self._deeds = tinsmith.choices(DEEDS)
        self._answer = None

    def hear(self, order: str) -> None:
        """An order; the one before, where it is under way, is dropped."""
        self.hush()
        if len(self.messages) > MOST_MESSAGES:
            del self.messages[len(shown()) : len(shown()) + 4]
        self._before = len(self.messages), self.orders
        asked = [*self.messages, told("user", order)]
        self._answer = self.model.begin(asked, constraint=self._deeds)
        self.messages = asked
        self.thinks, self.said = "deed", ""

    def hush(self) -> None:
        """Cancels the current order without effects."""
        if self.thinks:
            self._answer.cancel()
            kept, self.orders = self._before
            del self.messages[kept:]
            self.thinks = ""

    def think(self, seconds: float) -> None:
        """Goes on for about so long."""
        piece = self._answer.step_for(seconds) if self.thinks else ""
        if self.thinks == "words":
            self.said += piece

    def settle(self) -> int:
        """Handles a complete answer and begins the next. Returns its tokens; 0 without one."""
        if not self.thinks or not self._answer.done:
            return 0
        answer = self._answer.completion
        self.messages.append(told("assistant", answer.text))
        if self.thinks == "words":
            self.thinks = ""
        else:
            self.deed, self.thinks, self.orders = answer.text, "words", self.orders + 1
            self.messages.append(told("user", "Say something to the captain."))
            drawn = {
                "temperature": 0.7,
                "top_p": 0.9,
                "repetition_penalty": 1.1,
                "seed": self.seed + self.orders,
            }
            self._answer = self.model.begin(self.messages, max_tokens=WORDS, constraint=None, **drawn)
        return len(answer.token_ids)

    def answer(self, order: str) -> tuple[str, str]:
        """Runs an order to its end, without slices."""
        self.hear(order)
        while self.thinks:
            self.think(1)
            self.settle()
        return self.deed, self.said

    def save(self) -> str:
        """The state of a saved game: the words suffice, since computing them again gives the same."""
        return json.dumps({"messages": self.messages, "orders": self.orders, "seed": self.seed})

    @classmethod
    def restore(cls, model: tinsmith.Model, saved: str) -> Helmsman:
        return cls(model, **json.loads(saved))


def spin(seconds: float) -> float:
    """Runs an idle loop of a length. Returns its delay."""
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        pass
    return time.perf_counter() - begun - seconds
