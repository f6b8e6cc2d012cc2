"""Prometheus metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from tinsmith.serve.compiler import ConstraintCompiler
from tinsmith.serve.worker import Worker

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # seconds


class Usage(NamedTuple):
    """Numbers of tokens."""

    prompt: int
    cached: int  # of the prompt
    answer: int
    thinking: int  # of the answer

    @property
    def openai(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.answer,
            "total_tokens": self.prompt + self.answer,
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {"reasoning_tokens": self.thinking},
        }


class Metrics:
    def __init__(self, workers: Sequence[Worker], compiler: ConstraintCompiler) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._workers, self._compiler = workers, compiler
        self._registry.register(self)
        self._requests = self._counter("requests", "HTTP requests", "route", "status")
        self._tokens = self._counter("tokens", "tokens of prompts and answers", "model", "kind")
        self._first_token = self._histogram("first_token_seconds", "time to first token")
        self._answer = self._histogram("answer_seconds", "duration of answers")

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(f"tinsmith_{name}", help, labels, registry=self._registry)

    def _histogram(self, name: str, help: str) -> Histogram:
        return Histogram(f"tinsmith_{name}", help, ("model",), registry=self._registry, buckets=_BUCKETS)

    def count_request(self, route: str, status: int) -> None:
        self._requests.labels(route, str(status)).inc()

    def count_answer(self, model: str, usage: Usage, seconds: float) -> None:
        for kind in ("prompt", "cached", "answer"):
            self._tokens.labels(model, kind).inc(getattr(usage, kind))
        self._answer.labels(model).observe(seconds)

    def first_token(self, model: str, seconds: float) -> None:
        self._first_token.labels(model).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """The workers' state when Prometheus scrapes it."""
        for kind, name, help, value in (
            (GaugeMetricFamily, "running", "answers that have a slot", "running"),
            (GaugeMetricFamily, "waiting", "answers that wait for a slot", "waiting"),
            (GaugeMetricFamily, "memory_bytes", "planned memory of the batch", "memory"),
            (CounterMetricFamily, "cancelled", "answers that clients cancelled", "cancelled"),
            (CounterMetricFamily, "failed", "batches that failed", "failed"),
        ):
            family = kind(f"tinsmith_{name}", help, labels=["model"])
            for worker in self._workers:
                family.add_metric([worker.name], getattr(worker, value))
            yield family
        seconds = self._compiler.seconds
        yield CounterMetricFamily("tinsmith_compiling_seconds", "time spent compiling constraints", seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)
