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
    Seeded,
    Started,
    Step,
    Trial,
    Trying,
    Updated,
    Validated,
)


class Progress:
    """Shows training's events: steps move the bar, others are lines. found: a validation's result in words."""

    def __init__(self, reporter: Reporter, found: Callable[[float], str]) -> None:
        self.reporter, self.found = reporter, found
        self.latest = ""  # of the validations, or of the latest step's rollouts
        self.seed = ""  # of the run under way, whose steps and time the bar counts

    def show(self, event: Event) -> None:
        if isinstance(event, Preparing):
            self.reporter.progress(event.done, event.what, event.count)
        elif isinstance(event, Started):
            self.seed = "" if event.seed is None else f"seed {event.seed}"
            self.latest = ""  # of another run
            self._note(f"{self.seed}{self.seed and ': '}{_steps(event.steps)}, {event.note}")
        elif isinstance(event, Step):
            loss = f"{self.seed}{self.seed and ', '}loss {event.loss:z.3f}{self.latest}"
            note = f"{loss}, {event.tokens_per_second:,.0f} tokens/s"
            self.reporter.progress(event.step, note, event.steps)
        elif isinstance(event, Trying):
            trial = f"trial {event.number} of {event.trials}, rate {event.learning_rate:g}"
            self.reporter.progress(event.done, f"{trial}, loss {event.loss:z.3f}", event.count)
        elif isinstance(event, Trial):
            loss = "training diverged" if event.loss is None else f"validation loss {event.loss:.4f}"
            self._note(f"rate {event.learning_rate:g}: {loss}, {_steps(event.steps)}")
        elif isinstance(event, Seeded):
            name = "the mean of all seeds" if event.seed is None else f"seed {event.seed}"
            found = f"validation loss {event.loss:.4f}, {self.found(event.exact)}"
            self._note(f"{name}{' is kept' if event.kept else ''}: {found}")
        elif isinstance(event, Replayed):
            self._note(f"epoch {event.epoch}: {event.count:,} of {event.known:,} old examples replayed")
        elif isinstance(event, Rolled):
            learned = f"{event.prompts - event.alike} of {event.prompts} prompts learned"
            self.latest = f", reward {event.reward:.3f}, {learned}"
        elif isinstance(event, Validated):
            self.latest = f", {self.found(event.exact)}"
            text = "" if event.text_loss is None else f"text loss {event.text_loss:.4f}, "
            loss = f"{text}validation loss {event.loss:.4f}{self.latest}"
            averaged, best = (", averaged" * event.averaged), (", the best so far" * event.best)
            self._note(f"epoch {event.epoch}{averaged}: {loss}{best}")

    def _note(self, text: str) -> None:
        self.reporter.note(f"train: {text}")


def _steps(count: int) -> str:
    return f"{count:,} step{'' if count == 1 else 's'}"


def lines(updated: Updated) -> Iterator[str]:
    """The results of an update, in words."""
    seconds = ", ".join(f"{name} in {taken:,.0f} s" for name, taken in updated.seconds.items())
    yield f"update: kept what was {updated.kept} ({seconds})"
    for name in updated.scores[START]:
        changed = updated.scores[updated.kept][name]
        before = updated.scores[START][name]
        low, high = bounds(changed.exact, changed.items)
        yield (
            f"update: {name}: {before.exact:.1%} before, {changed.exact:.1%} after (95 % between {low:.1%} "
            f"and {high:.1%}), {changed.lost} of {changed.items} lost, {changed.gained} gained"
        )
