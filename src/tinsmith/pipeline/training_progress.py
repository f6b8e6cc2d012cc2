"""What a reader is told while training runs."""

from __future__ import annotations

from tinsmith.system.progress import Bar, Display
from tinsmith.train.events import Event, Preparing, Replayed, Rolled, Seeded, Started, Step, Trial, Validated


class Progress:
    """Training's events, to a reader: steps move the bar, the others are lines that stay. share: what the share
    that a validation finds is of."""

    def __init__(self, display: Display, bar: Bar, share: str) -> None:
        self.display, self.bar, self.share = display, bar, share
        self.latest = ""  # of the validations
        self.rolled = ""  # of the latest step

    def show(self, event: Event) -> None:
        if isinstance(event, Preparing):
            self.bar.update(event.done, event.what, event.count)
        elif isinstance(event, Started):
            seed = "" if event.seed is None else f"seed {event.seed}: "
            self.display.line(f"train: {seed}{event.steps} steps, {event.note}")
        elif isinstance(event, Step):
            self.bar.update(event.step, self._state(event), event.steps)
        elif isinstance(event, Trial):
            loss = "training went astray" if event.loss is None else f"validation loss {event.loss:.4f}"
            self.display.line(f"train: rate {event.learning_rate:g}: {loss}, {event.steps} steps")
        elif isinstance(event, Seeded):
            name = "the mean of all seeds" if event.seed is None else f"seed {event.seed}"
            found = f"validation loss {event.loss:.4f}, {event.exact:.1%} {self.share}"
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
        return f"loss {step.loss:.3f}{self.rolled}{self.latest}, {step.tokens_per_second:,.0f} tokens/s{memory}"

    def _validated(self, event: Validated) -> None:
        best = ", the best so far" if event.best else ""
        epoch = f"epoch {event.epoch}{', averaged' if event.averaged else ''}"
        text = "" if event.text_loss is None else f"text loss {event.text_loss:.4f}, "
        self.latest = f", {event.exact:.1%} {self.share}"
        self.display.line(f"train: {epoch}: {text}validation loss {event.loss:.4f}{self.latest}{best}")
