"""The rover's model: one command at a time, in slices of the control loop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tinsmith
from tinsmith.runtime.calls import prompt_of, read_calls, toolbox
from tinsmith.runtime.stepped import Stepped
from tinsmith.system import reading

TOOLS = Path(__file__).with_name("tools.json")
MOST = 160  # tokens of a call: no call is ruled out for the length of its text


@dataclass(frozen=True)
class Called:
    """digest: of tokens and logits, the same on every machine."""

    command: str
    name: str
    arguments: dict[str, Any]
    tokens: int
    digest: int


class Mind:
    """Raises TinsmithError as tinsmith.load does."""

    def __init__(self, file: str) -> None:
        self.model = tinsmith.load(file, threads=1)
        self._box = toolbox(self.model, reading.read_json(TOOLS), None, parallel=False, none=False)
        self._command = ""
        self._run: Stepped | None = None
        self.answered("stop")  # all memory is taken, and all masks are there, before the loop begins

    @property
    def idle(self) -> bool:
        return self._run is None

    def begin(self, command: str) -> None:
        tokens = prompt_of(self.model, command, self._box)
        self._command = command
        self._run = self.model.begin(tokens, constraint=self._box.constraint, max_tokens=MOST, record=True)

    def think(self, seconds: float) -> bool:
        """Goes on for so long. Whether the answer is there."""
        assert self._run is not None
        self._run.step_for(seconds)
        return self._run.done

    @property
    def answer(self) -> Called:
        """Once; then it is idle."""
        assert self._run is not None
        done, self._run = self._run.completion, None
        (call,) = read_calls(self.model, done, self._box)
        return Called(self._command, call.name, dict(call.arguments), len(done.token_ids), done.digest)

    def answered(self, command: str) -> Called:
        """At once."""
        self.begin(command)
        self.think(math.inf)
        return self.answer
