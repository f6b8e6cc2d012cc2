"""Ctrl-C ends what is computed at the next slice, wherever a computation is long."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tinsmith
from tests.models.tiny_models import tiny_spec
from tinsmith import _core
from tinsmith.compiler import build_image, build_tin, selftest
from tinsmith.constraint.makers import regex
from tinsmith.runtime import Model, scheduler

LENGTH = 4000  # tokens: seconds of work for the scalar set
PROMPT = [(7 * k * k + 3 * k) % 200 + 5 for k in range(LENGTH)]


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """What runs in the background of a script ignores Ctrl-C, and so does what it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def slow_image() -> memoryview:
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 2 * LENGTH}
    return build_image(tiny_spec("llama", **sizes))


@pytest.fixture(scope="module")
def slow(slow_image: memoryview) -> Model:
    return Model(_core.Model(slow_image, "scalar"), slow_image, threads=1)


def interrupted(position: Callable[[], int], work: Callable[[], Any], total: int = LENGTH) -> None:
    """Has Ctrl-C come when some of the work is done, and checks that little more was done."""
    sent: list[int] = []
    over = threading.Event()

    def send() -> None:
        while position() == 0 and not over.wait(0.001):
            pass
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGINT)
            sent.append(position())  # afterwards, so that a busy machine can't have this thread wait in between

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
            threading.Event().wait(5)  # a signal that comes only when all is done is met here
    finally:
        over.set()
        thread.join()
    assert sent[0] < total
    assert position() - sent[0] < total / 5


def test_a_prompt(slow: Model) -> None:
    session = slow.open_session(PROMPT, 8)
    interrupted(lambda: session.tokens()[0], lambda: slow.generate(PROMPT, max_tokens=4, constraint=None))
    assert slow.generate(PROMPT[:50], max_tokens=4, constraint=None).token_ids


def test_a_batch(slow: Model) -> None:
    session = _core.Session(slow.core, context=LENGTH, batched=True)
    session.append(PROMPT)
    batch = _core.Batch(slow.core)
    batch.add(session)
    interrupted(lambda: session.tokens()[0], batch.step)
    batch.remove(session)  # and it goes on
    assert session.tokens()[1] == PROMPT


def test_a_self_test(tmp_path: Path) -> None:
    sizes = {"hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 2 * LENGTH}
    text = "the thing is in the " * (LENGTH // 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selftest, "_PROMPTS", (text,))
        build_tin(tiny_spec("llama", **sizes), tmp_path / "tiny.tin")
    model = tinsmith.load(tmp_path / "tiny.tin", isa="scalar").core
    session = _core.Session(model)
    interrupted(lambda: session.tokens()[0], session.selftest, len(model.tokenize(text)))
    assert session.tokens() == (0, [])


class Interrupting:
    """A batch whose work a signal interrupts halfway through a pass."""

    def __init__(self, *given: Any, **options: Any) -> None:
        self.batch = _core.Batch(*given, **options)
        self.add, self.size, self.steps = self.batch.add, self.batch.size, 0
        self.slice = self.batch.slice

    def cancel(self) -> None:
        self.batch.cancel()

    def step(self) -> list[int]:
        self.steps += 1
        if self.steps > Interrupting.most:
            raise KeyboardInterrupt
        events: list[int] = self.batch.step(1)
        return events

    most = 0


@pytest.mark.parametrize("constraint", [None, "[a-z ]*"])
def test_interrupted_batch_returns_its_constraints(
    model: Model, monkeypatch: pytest.MonkeyPatch, constraint: str | None
) -> None:
    """Drafts are under way: sessions in a batch give nothing back until it lets them go."""
    monkeypatch.setattr(scheduler, "_core", SimpleNamespace(**{**vars(_core), "Batch": Interrupting}))
    prompts = ["the thing is the thing is the", "in the in the in the"]
    for Interrupting.most in range(150, 190):
        with pytest.raises(KeyboardInterrupt):
            model.generate_many(prompts, max_tokens=300, constraint=constraint and regex(constraint), lookup=4)
