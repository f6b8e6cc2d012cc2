"""Training's events as progress and lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tinsmith.pipeline.stage import Reporter
from tinsmith.pipeline.update import bounds
from tinsmith.train.events import (
    START,
    Event,
    Preparing,
    Replayed,
    Rolled,
    Score,
    Seeded,
    Started,
    Step,
    Trial,
    Trying,
    Updated,
    Validated,
)


class Progress:
    """Shows training's events: steps move the bar, the others are lines. found: a validation's result in
    words."""

    def __init__(self, reporter: Reporter, found: Callable[[float], str]) -> None:
        self.reporter, self.found = reporter, found
        self.latest = ""  # of the validations
        self.rolled = ""  # of the latest step
        self.seed = ""  # of the run under way, whose steps and time the bar counts

    def show(self, event: Event) -> None:
        if isinstance(event, Preparing):
            self.reporter.progress(event.done, event.what, event.count)
        elif isinstance(event, Started):
            self.seed = "" if event.seed is None else f"seed {event.seed}"
            seed = f"{self.seed}: " if self.seed else ""
            self.latest = self.rolled = ""  # of another run
            self.reporter.note(f"train: {seed}{_steps(event.steps)}, {event.note}")
        elif isinstance(event, Step):
            self.reporter.progress(event.step, self._state(event), event.steps)
        elif isinstance(event, Trying):
            trial = f"trial {event.number} of {event.trials}, rate {event.learning_rate:g}"
            self.reporter.progress(event.done, f"{trial}, loss {event.loss:z.3f}", event.count)
        elif isinstance(event, Trial):
            loss = "training diverged" if event.loss is None else f"validation loss {event.loss:.4f}"
            self.reporter.note(f"train: rate {event.learning_rate:g}: {loss}, {_steps(event.steps)}")
        elif isinstance(event, Seeded):
            name = "the mean of all seeds" if event.seed is None else f"seed {event.seed}"
            found = f"validation loss {event.loss:.4f}, {self.found(event.exact)}"
            self.reporter.note(f"train: {name}{' is kept' if event.kept else ''}: {found}")
        elif isinstance(event, Replayed):
            risen = f"; loss of what was known {event.rise:+.4f}" if event.epoch > 1 else ""
            count = f"{event.count:,} of {event.known:,} old examples replayed"
            self.reporter.note(f"train: epoch {event.epoch}: {count}{risen}")
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
        self.reporter.note(f"train: {epoch}: {text}validation loss {event.loss:.4f}{self.latest}{best}")


def _steps(count: int) -> str:
    return f"{count:,} step{'' if count == 1 else 's'}"


def lines(updated: Updated) -> Iterator[str]:
    """The results of an update, in words."""
    seconds = ", ".join(f"{name} in {taken:,.0f} s" for name, taken in updated.seconds.items())
    yield f"update: kept what was {updated.kept} ({seconds})"
    for name in updated.scores[START]:
        changed = updated.scores[updated.kept][name]
        before = updated.scores[START][name]
        yield (
            f"update: {name}: {before.exact:.1%} before, {changed.exact:.1%} after ({interval(changed)}), "
            f"{changed.lost} of {changed.items} lost, {changed.gained} gained"
        )


def interval(score: Score) -> str:
    low, high = bounds(score.exact, score.items)
    return f"95 % between {low:.1%} and {high:.1%}"
