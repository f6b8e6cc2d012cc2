"""Work in threads beside torch's own; and training's passes through the network in them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.utils import logging

from tests.train.tiny_training import PAIRS, REWARDED, digits, encode, make_spec
from tinsmith import models
from tinsmith.data.preferences import Preference
from tinsmith.data.readers import Example
from tinsmith.train import methods
from tinsmith.train.job import Job
from tinsmith.train.layers.sharing import side_by_side
from tinsmith.train.model import network
from tinsmith.train.options import TrainOptions
from tinsmith.train.steps import trainee
from tinsmith.train.steps.loop import Loop


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_are_in_order_and_each_thread_has_its_part_of_torchs(two_threads: None) -> None:
    meeting = threading.Barrier(2)

    def work(item: str) -> tuple[str, int, str]:
        meeting.wait(10)
        return item, torch.get_num_threads(), threading.current_thread().name

    (a, own, here), (b, other, there) = side_by_side(["a", "b"], work)
    assert (a, b, own, other) == ("a", "b", 1, 1)
    assert here != there
    assert torch.get_num_threads() == 2


def test_a_fault_in_any_thread_is_raised_when_all_have_ended(two_threads: None) -> None:
    ended: list[int] = []

    def work(item: int) -> None:
        if item == 0:
            raise ValueError("broken")
        ended.append(item)

    with pytest.raises(ValueError, match="broken"):
        side_by_side([0, 1, 2], work)
    assert sorted(ended) == [1, 2]
    assert torch.get_num_threads() == 2


def test_the_last_of_several_quiet_threads_puts_back_what_was(two_threads: None) -> None:
    before = logging.get_verbosity()
    meeting = threading.Barrier(2)

    def work(wait: bool) -> int:
        with network.quiet():
            meeting.wait(10)
            if wait:
                meeting.wait(10)
            found = logging.get_verbosity()
        if not wait:
            meeting.wait(10)
        return found

    assert side_by_side([True, False], work) == [logging.ERROR] * 2
    assert logging.get_verbosity() == before


def job_of(name: str, folder: Path) -> Job:
    spec = make_spec()
    models.save_hf(spec, folder / "teacher")
    examples = [Example(first + second, f"{i % 7}") for i, (first, second) in enumerate(PAIRS)]
    pairs = [Preference(example.input, (example.output, "x")) for example in examples]
    ratings = [Preference(pair.input, (output,), output != "x") for pair in pairs for output in pair.outputs]
    more: dict[str, Any] = {
        "texts": ["the lamp in the kitchen is on, and the door is open"] * 8,
        "preferences": ratings if name == "kto" else pairs,
        "teacher": folder / "teacher",
    }
    options = TrainOptions(epochs=1, rank=2, batch_tokens=120, prefix_length=2, qat=None)
    if name == "grpo":
        options, more["constraint"] = replace(options, **REWARDED), digits()
    return Job(spec, examples, examples[:4], options, folder, encode, **more)


@pytest.mark.parametrize("name", methods.names())
def test_shares_give_the_gradient_of_the_whole(
    name: str, tmp_path: Path, two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(name, tmp_path)

    def gradients() -> tuple[float, list[torch.Tensor], int]:
        torch.manual_seed(0)
        loop = Loop(methods.by_name(name).trainee(job), job.options, tmp_path, lambda event: None)
        loop.trainee.prepare(lambda event: None)
        loop.trainee.network.model.train()
        batch = loop.trainee.items(max(loop.plan, key=len), 0)
        loss = loop._backward(batch)
        found = [value.grad for value in loop.parameters.values()]
        assert all(one.is_contiguous() for one in found if one is not None)
        return loss, [one for one in found if one is not None], len(loop.trainee.shares(batch))

    whole, wanted, count = gradients()
    assert count == 1
    monkeypatch.setattr(trainee, "SHARE", 8)
    shared, found, count = gradients()
    again = gradients()
    assert count == (2 if methods.by_name(name).trainee(job).splits else 1)
    assert shared == pytest.approx(whole, rel=1e-4)
    largest = max(float(one.abs().max()) for one in wanted)
    for one, other, third in zip(wanted, found, again[1], strict=True):
        torch.testing.assert_close(other, one, rtol=0.02, atol=0.01 * largest)
        assert torch.equal(other, third)
