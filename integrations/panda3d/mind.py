"""A panda's mind: what it is told becomes one of the things that it can do, in a part of each frame."""

from __future__ import annotations

import tinsmith

RULES = "You are a panda who does what it is told."
# What can be said for each deed: what the conversation begins with, computed once.
DEEDS = {
    "walk to the teapot": "Would you like some tea?",
    "walk to the box": "Look what is in the box.",
    "walk to the ball": "Let us play ball!",
    "come here": "Come to me.",
    "turn around": "Show me your tail.",
    "stop": "Wait there.",
}


class Mind:
    """deed: what came of the last thing that it was told; None while it thinks, and before."""

    def __init__(self, model: tinsmith.Model) -> None:
        self._model = model
        self._deeds = tinsmith.choices(list(DEEDS))
        self._told: list[dict[str, str]] = [{"role": "system", "content": RULES}]
        for deed, words in DEEDS.items():
            self._told += [{"role": "user", "content": words}, {"role": "assistant", "content": deed}]
        self._answer: tinsmith.runtime.stepped.Stepped | None = None
        self.deed: str | None = None

    @property
    def thinks(self) -> bool:
        return self._answer is not None

    def hear(self, words: str) -> None:
        """What it was told before is dropped, where it thinks about it still."""
        self.hush()
        self.deed = None
        self._answer = self._model.begin(
            [*self._told, {"role": "user", "content": words}], constraint=self._deeds
        )

    def hush(self) -> None:
        if self._answer is not None:
            self._answer.cancel()
            self._answer = None

    def think(self, seconds: float) -> str | None:
        """Goes on for about so long. Returns the deed, once, when it is found."""
        if self._answer is None:
            return None
        self._answer.step_for(seconds)
        if not self._answer.done:
            return None
        self.deed, self._answer = self._answer.completion.text, None
        return self.deed
