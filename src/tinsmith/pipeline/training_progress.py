"""What a reader is told while training runs."""

from __future__ import annotations

from collections.abc import Callable

from tinsmith.system.progress import Bar, Display
from tinsmith.train.events import (
    Event,
    Preparing,
    Replayed,
    Rolled,
    Seeded,
    Started,
    Step,
    Trial,
    Trying,
    Validated,
)


class Progress:
    """Training's events, to a reader: steps move the bar, the others are lines that stay. found: what a
    validation found, in words."""

    def __init__(self, display: Display, bar: Bar, found: Callable[[float], str]) -> None:
        self.display, self.bar, self.found = display, bar, found
        self.latest = ""  # of the validations
        self.rolled = ""  # of the latest step
        self.seed = ""  # of the run under way, whose steps and time the bar counts

    def show(self, event: Event) -> None:
        if isinstance(event, Preparing):
            self.bar.update(event.done, event.what, event.count)
        elif isinstance(event, Started):
            self.seed = "" if event.seed is None else f"seed {event.seed}"
            seed = f"{self.seed}: " if self.seed else ""
            self.latest = self.rolled = ""  # of another run
            self.display.line(f"train: {seed}{_steps(event.steps)}, {event.note}")
        elif isinstance(event, Step):
            self.bar.update(event.step, self._state(event), event.steps)
        elif isinstance(event, Trying):
            trial = f"trial {event.number} of {event.trials}, rate {event.learning_rate:g}"
            state = f"step {event.step} of {event.steps}, loss {event.loss:z.3f}"
            note = f"{trial}, {state}, {event.tokens_per_second:,.0f} tokens/s"
            self.bar.update(event.done, note, event.count)
        elif isinstance(event, Trial):
            loss = "training diverged" if event.loss is None else f"validation loss {event.loss:.4f}"
            self.display.line(f"train: rate {event.learning_rate:g}: {loss}, {_steps(event.steps)}")
        elif isinstance(event, Seeded):
            name = "the mean of all seeds" if event.seed is None else f"seed {event.seed}"
            found = f"validation loss {event.loss:.4f}, {self.found(event.exact)}"
            self.display.line(f"train: {name}{' is kept' if event.kept else ''}: {found}")
        elif isinstance(event, Replayed):
            risen = f"; loss of what was known {event.rise:+.4f}" if event.epoch > 1 else ""
            count = f"{event.count:,} of {event.known:,} old examples replayed"
            self.display.line(f"train: epoch {event.epoch}: {count}{risen}")
        elif isinstance(event, Rolled):
            self.rolled = (
                f", reward {event.reward:.3f}, {event.prompts - event.alike} of {event.prompts} prompts learned"
            )
        else:
            self._validated(event)

    def _state(self, step: Step) -> str:
        memory = "" if step.memory is None else f", {step.memory / 1e9:.1f} GB"
        seed = f"{self.seed}, " if self.seed else ""
        loss = f"{seed}loss {step.loss:z.3f}{self.rolled or self.latest}"
        return f"{loss}, {step.tokens_per_second:,.0f} tokens/s{memory}"

    def _validated(self, event: Validated) -> None:
        best = ", the best so far" if event.best else ""
        epoch = f"epoch {event.epoch}{', averaged' if event.averaged else ''}"
        text = "" if event.text_loss is None else f"text loss {event.text_loss:.4f}, "
        self.latest = f", {self.found(event.exact)}"
        self.display.line(f"train: {epoch}: {text}validation loss {event.loss:.4f}{self.latest}{best}")


def _steps(count: int) -> str:
    return f"{count:,} step{'' if count == 1 else 's'}"
