"""Logs of a training run while it runs: CSV, or TensorBoard event files."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tinsmith.errors import InputError, MissingExtraError, UnsupportedError
from tinsmith.system import files, reading
from tinsmith.train.events import Event, Rolled, Started, Step, Validated
from tinsmith.train.options import LOGS

FOLDER = "logs"  # in a run's
CSV = "train.csv"
TEXT_LOSS = "text_loss"  # on held-out plain text
ROLLED = ("reward", "answer_tokens", "entropy", "set_aside")  # of a step's rollouts
COLUMNS = (
    "step",
    "epoch",
    "loss",
    "learning_rate",
    "tokens_per_second",
    "memory",
    "validation_loss",
    "validation_exact",
    "averaged",
    *ROLLED,
    TEXT_LOSS,
)


@contextmanager
def opened(kind: str, folder: Path) -> Iterator[Callable[[Event], None]]:
    """Yields a function that logs the run's events. A resumed run appends to its files, after dropping the
    steps that it repeats. With several seeds, each run's files are in a folder named by its seed."""
    with ExitStack() as stack:
        writers: list[Callable[[Event], None]] = []

        def write(event: Event) -> None:
            if isinstance(event, Started):
                stack.close()  # of the run before
                own = folder if event.seed is None else folder / str(event.seed)
                writers[:] = [stack.enter_context(_csv(own / CSV) if kind == "csv" else _tensorboard(own))]
            for writer in writers:
                writer(event)

        yield write


def check(kind: str) -> None:
    """Raises UnsupportedError for an unknown kind, MissingExtraError for one whose library is missing."""
    if kind not in LOGS:
        raise UnsupportedError(f"--log {kind}: unknown kind of log; there are {', '.join(LOGS)}")
    if kind == "tensorboard" and not (find_spec("torch") and find_spec("tensorboard")):
        raise MissingExtraError("tensorboard", "tensorboard")


@contextmanager
def _csv(path: Path) -> Iterator[Callable[[Event], None]]:
    files.claim(path)
    files.make_folder(path.parent)
    kept = _rows(path) if path.exists() else []
    try:
        # Line buffering, for programs that watch the file.
        file = path.open("w", encoding="utf-8", newline="", buffering=1)
    except OSError as error:
        raise files.write_fault(path, error) from error
    with file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()

        def write(event: Event) -> None:
            if isinstance(event, Started):
                writer.writerows(row for row in kept if int(row["step"]) <= event.step)
            elif row := _row(event):
                writer.writerow(row)

        yield write


def _rows(path: Path) -> list[dict[str, str]]:
    """The complete rows of an earlier process."""
    text = reading.read_text(path, InputError)
    rows = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
    names = rows.fieldnames or COLUMNS
    if list(names) != list(COLUMNS):
        raise InputError(f"{path}: not a training log; move it, or give another folder with --out")
    return [row for row in rows if (row["step"] or "").isdigit()]


@contextmanager
def _tensorboard(folder: Path) -> Iterator[Callable[[Event], None]]:
    from torch.utils.tensorboard import SummaryWriter

    writers: list[Any] = []

    def write(event: Event) -> None:
        if isinstance(event, Started):
            writers.append(SummaryWriter(str(folder), purge_step=event.step + 1))
        row = _row(event)
        suffix = "_averaged" if row.get("averaged") else ""
        for name, value in row.items():
            if value is not None and name not in ("step", "epoch", "averaged"):
                writers[0].add_scalar(name + suffix, value, row["step"])

    try:
        yield write
    finally:
        for writer in writers:
            writer.close()


def _row(event: Event) -> dict[str, Any]:
    """The event's values by column; empty for an event that is not logged."""
    match event:
        case Step():
            names = "step", "epoch", "loss", "learning_rate", "tokens_per_second", "memory"
            return {name: getattr(event, name) for name in names}
        case Validated():
            return {
                "step": event.step,
                "epoch": event.epoch,
                "validation_loss": event.loss,
                "validation_exact": event.exact,
                "averaged": int(event.averaged),
                TEXT_LOSS: event.text_loss,
            }
        case Rolled():
            values = event.reward, event.tokens, event.entropy, event.alike / event.prompts
            return {"step": event.step, **dict(zip(ROLLED, values, strict=True))}
    return {}
