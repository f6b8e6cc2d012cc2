"""An answer computed in slices of time, for the loop of a game or a robot."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import replace

from tinsmith.checks import real
from tinsmith.errors import InputError
from tinsmith.runtime.generation import Completion, Generation


def nanoseconds(seconds: float) -> int:
    """A step's budget for the core: at least 1, since 0 means no limit, and at most 10^15."""
    return max(1, int(min(max(seconds, 0), 1e6) * 1e9))


class Stepped:
    """An answer in progress, from `Model.begin`, which only `step_for` computes."""

    def __init__(self, run: Generation, opened: bool) -> None:
        """opened: as a Completion's."""
        self._run = run
        self._opened = opened
        self._pieces: Generator[str, None, None] = run.pieces()
        self._ended = self._lost = False
        self._early = self._advance(0)  # allocates the constraint's memory

    @property
    def done(self) -> bool:
        """Whether the answer is complete or cancelled."""
        return self._ended and not self._early

    def step_for(self, seconds: float) -> str:
        """Computes for about this long, and returns the new text; "" for none, or once it is done.

        The answer is the same however short the slices are. 0 and below, such as the rest of a late frame, do
        the smallest step; math.inf computes to the end. Raises InputError once another generation of the model
        has taken the session.
        """
        seconds = real("seconds", seconds, -math.inf, math.inf)
        early, self._early = self._early, ""
        return early + self._advance(seconds)

    @property
    def completion(self) -> Completion:
        """The answer. Raises InputError before it is done, and for a cancelled or failed one."""
        if not self.done:
            raise InputError("the answer is not complete; call step_for until it is done")
        if self._lost:
            raise InputError("the answer was cancelled or failed, and has no completion; begin another")
        return replace(self._run.completion(), opened=self._opened)

    def cancel(self) -> None:
        """Cancels the answer. Does nothing once it is done."""
        if not self.done:
            self._pieces.close()
            self._early, self._ended, self._lost = "", True, True

    def _advance(self, seconds: float) -> str:
        self._run.deadline = time.perf_counter_ns() + nanoseconds(seconds)
        new = [""]
        while not self._ended:
            try:
                new.append(next(self._pieces))
            except StopIteration:
                self._ended = True
            except BaseException:
                self._ended = self._lost = True
                raise
            # No text: the next part of the pass does not fit into the rest of the slice.
            if not new[-1] or time.perf_counter_ns() >= self._run.deadline:
                break
        return "".join(new)
