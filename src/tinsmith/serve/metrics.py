"""Counts for Prometheus, in its text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinsmith.serve.shelf import Shelf

TYPE = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # seconds
Labels = tuple[tuple[str, str], ...]
Row = tuple[str, Labels, float]


class Histogram:
    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[next((k for k, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))] += 1
        self.sum += seconds

    def rows(self, labels: Labels) -> Iterator[Row]:
        total = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            total += count
            yield "_bucket", (*labels, ("le", bound)), total
        yield "_sum", labels, self.sum
        yield "_count", labels, total


class Metrics:
    """requests: by route and status. tokens: by model and kind (prompt, cached, answer). first: seconds to a
    stream's first token; whole: to a request's end; both by model."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.tokens: Counter[tuple[str, str]] = Counter()
        self.first: dict[str, Histogram] = {}
        self.whole: dict[str, Histogram] = {}

    def answered(self, model: str, prompt: int, cached: int, answer: int, seconds: float) -> None:
        self.tokens[model, "prompt"] += prompt
        self.tokens[model, "cached"] += cached
        self.tokens[model, "answer"] += answer
        self.whole.setdefault(model, Histogram()).add(seconds)

    def began(self, model: str, seconds: float) -> None:
        self.first.setdefault(model, Histogram()).add(seconds)

    def counts(self) -> list[str]:
        """Lines of the requests."""
        rows = [
            ("", (("route", route), ("status", str(status))), float(count))
            for (route, status), count in self.requests.items()
        ]
        return [*_metric("requests_total", "counter", "requests, by route and status", rows)]

    def text(self, shelf: Shelf, compiling: float) -> str:
        workers = [one.worker for one in shelf.served]
        tokens = [
            ("", (("model", model), ("kind", kind)), float(count))
            for (model, kind), count in self.tokens.items()
        ]
        lines = [
            *self.counts(),
            *_metric("tokens_total", "counter", "tokens, by model and kind", tokens),
            *_metric("first_token_seconds", "histogram", "to the first token", _spread(self.first)),
            *_metric("answer_seconds", "histogram", "to an answer's end", _spread(self.whole)),
            *_metric("compiling_seconds_total", "counter", "spent on constraints", [("", (), compiling)]),
        ]
        for name, kind, help in (
            ("running", "gauge", "answers that have a place"),
            ("waiting", "gauge", "answers that wait for one"),
            ("memory", "gauge", "bytes that are planned for conversations"),
            ("cancelled", "counter", "answers that were given up"),
            ("failed", "counter", "times that a batch failed"),
        ):
            rows = [("", (("model", one.name),), float(getattr(one, name))) for one in workers]
            full = f"{name}_total" if kind == "counter" else f"{name}_bytes" if name == "memory" else name
            lines += _metric(full, kind, help, rows)
        return "\n".join(lines) + "\n"


def _spread(histograms: Mapping[str, Histogram]) -> Iterator[Row]:
    for model, histogram in histograms.items():
        yield from histogram.rows((("model", model),))


def _metric(name: str, kind: str, help: str, rows: Iterable[Row]) -> Iterator[str]:
    yield f"# HELP tinsmith_{name} {help}"
    yield f"# TYPE tinsmith_{name} {kind}"
    for suffix, labels, value in rows:
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
        yield f"tinsmith_{name}{suffix}{f'{{{inside}}}' if inside else ''} {value:.15g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
