"""What training does where memory is short: batches are cut, and add up to what they were; on a GPU, its memory
counts."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.models.tiny_models import tiny_spec
from tests.train.tiny_training import PAIRS, REWARDED, Killed, encode, make_spec, train
from tinsmith import models
from tinsmith.constraint import makers
from tinsmith.data.readers import Example
from tinsmith.errors import InputError
from tinsmith.spec import Spec
from tinsmith.system import memory as machine
from tinsmith.train.batches.sequences import TokenSequence
from tinsmith.train.events import Started, Step
from tinsmith.train.footprint import memory, room
from tinsmith.train.footprint.memory import LEVELS, WORDS
from tinsmith.train.job import Job
from tinsmith.train.layers import by_rows
from tinsmith.train.methods import by_name, full
from tinsmith.train.methods.grpo import Rollout
from tinsmith.train.model import network, prefix
from tinsmith.train.model.devices import CPU
from tinsmith.train.options import TrainOptions
from tinsmith.train.steps.loop import Loop
from tinsmith.train.steps.trainee import Trainee

OPTIONS = TrainOptions(epochs=2, rank=4, learning_rate=5e-3, batch_tokens=200, qat=None, renew=2, threads=1)
CUDA = torch.device("cuda")


def largest(trainee: Trainee) -> Any:
    return max(trainee.epochs[0], key=len)


def gradients(trainee: Trainee, options: TrainOptions, folder: Path) -> tuple[float, dict[str, torch.Tensor]]:
    """Of the largest batch, through the loop."""
    loop = Loop(trainee, options, folder, lambda event: None)
    trainee.network.model.train()
    loss = loop._backward(largest(trainee))
    held = {name: value.grad.clone() for name, value in loop.parameters.items()}
    loop.optimizer.zero_grad()
    return loss, held


@pytest.mark.parametrize("method", ["lora", "full", "prefix", "distill", "continue"])
def test_the_gradients_of_parts_add_up_to_the_batchs(
    method: str, spec: Spec, examples: list[Example], tmp_path: Path
) -> None:
    models.save_hf(spec, tmp_path / "model")
    examples = [replace(one, output=one.output * (1 + n % 3)) for n, one in enumerate(examples)]
    options = replace(OPTIONS, teacher="base", prefix_length=2)
    job = Job(spec, examples, examples[:6], options, tmp_path, encode, teacher=tmp_path / "model")
    job = replace(job, texts=["the lamp in the kitchen is on, and the door is open"] * 8)
    torch.manual_seed(0)
    trainee = by_name(method).trainee(job)
    trainee.prepare(lambda event: None)
    for parameter in trainee.network.parameters().values():  # a new adapter's B is 0, and A without a gradient
        parameter.data += 0.05 * torch.randn_like(parameter)
    assert trainee.splits
    whole_loss, whole = gradients(trainee, options, tmp_path)
    trainee.part_tokens = 50
    cut = trainee.parts(largest(trainee))
    assert len(cut) > 2
    assert len({trainee.weight(part) for part in cut}) > 1
    loss, parts = gradients(trainee, options, tmp_path)
    assert loss == pytest.approx(whole_loss, rel=1e-5)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=1e-5 * float(value.abs().max()), rtol=0, msg=name)


@pytest.mark.parametrize("method", ["lora", "continue"])
def test_validation_goes_through_in_parts_too(
    method: str, spec: Spec, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["the lamp in the kitchen is on, and the door is open"] * 20
    job = Job(spec, examples, examples[:6], OPTIONS, tmp_path, encode, texts=texts)
    trainee = by_name(method).trainee(job)
    whole, graded = trainee.validate(), trainee.graded(trainee.learned)
    sizes: list[int] = []
    pack = network.Network.pack

    def noted(self: network.Network, batch: Any, shared: int) -> Any:
        sizes.append(sum(len(one) - shared for one in batch))
        return pack(self, batch, shared)

    monkeypatch.setattr(network.Network, "pack", noted)
    trainee.part_tokens = 60
    assert trainee.validate() == pytest.approx(whole, rel=1e-5)
    losses = {one.sequence: one.loss for one in trainee.graded(trainee.learned)}
    assert losses == pytest.approx({one.sequence: one.loss for one in graded}, rel=1e-4)
    assert len(sizes) > 2
    assert max(sizes) <= 60


def batches_of(spec: Spec, count: int = 8) -> list[list[TokenSequence]]:
    source = torch.Generator().manual_seed(1)
    tokens = torch.randint(3, spec.hyper.vocab, (count, 41), generator=source).tolist()
    return [[TokenSequence(tuple(row[:30]), tuple(row[30:])) for row in tokens]]


def test_batches_are_cut_where_computing_again_does_not_suffice(
    spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = network.build(spec, torch.float32, 4, 8.0)
    (batch,) = batches_of(spec)
    every = memory.set_level(built.trunk, "all")
    assert every is None
    needs = {count: memory.Predictor(built, 0).predict(batch[:count], 0).peak for count in (1, 2, 4, 8)}
    assert needs[1] < needs[2] < needs[4] < needs[8]
    gradients = sum(value.nbytes for value in built.parameters().values())  # of the parts before
    monkeypatch.setattr(machine, "resident", lambda: 1 << 30)
    for fits, count in ((8, 8), (4, 4), (2, 2), (1, 1)):
        free = int((needs[fits] + (gradients if count < 8 else 0)) / 0.95) + 3000
        monkeypatch.setattr(machine, "available", lambda free=free: free)
        planned = memory.plan(built, [batch], 0, False, splits=True)
        assert WORDS["all"] in planned.words
        assert planned.part_tokens == (None if count == 8 else 40 * count)
        assert ("in parts of" in planned.words) == (count < 8)
        if count < 8:
            with pytest.raises(InputError, match=r"320 tokens at once\), and .* lower batch_tokens"):
                memory.plan(built, [batch], 0, False)
    monkeypatch.setattr(machine, "available", lambda: needs[1] // 2)
    with pytest.raises(InputError, match=r"40 tokens at once\), and 0.00 GB more are free"):
        memory.plan(built, [batch], 0, False, splits=True)


def test_a_large_batch_of_a_small_base_is_planned(spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the base holds says nothing of the batch. One that a trial may have no room for is tried in part."""
    built = network.build(spec, torch.float32, 4, 8.0)
    (large,) = batches_of(spec, 1000)
    small = large[:8]
    tried: list[int] = []
    pack = network.Network.pack

    def noted(self: network.Network, batch: Any, shared: int) -> Any:
        tried.append(len(batch))
        return pack(self, batch, shared)

    need = memory.Predictor(built, 0).predict(small, 0).peak
    monkeypatch.setattr(network.Network, "pack", noted)
    monkeypatch.setattr(machine, "resident", lambda: 0)
    monkeypatch.setattr(machine, "available", lambda: 6 * need)
    assert memory.plan(built, [small], 0, False).words == ""
    assert not tried
    planned = memory.plan(built, [small, large], 0, False, splits=True)
    assert planned.part_tokens is not None
    assert planned.predicted is not None
    assert planned.predicted.peak <= 6 * need
    assert max(tried) < len(large) / 2
    with pytest.raises(InputError, match="lower batch_tokens"):
        memory.plan(built, [large], 0, False)


@pytest.mark.parametrize("case", ["falcon_h1", "gemma4", "llama", "lfm2_moe", "qwen3_moe", "qwen35"])
def test_what_a_batch_may_take_at_most(case: str) -> None:
    spec = tiny_spec(case)
    built = network.build(spec, torch.float32, 4, 8.0)
    (batch,) = batches_of(spec, 30)
    taken = memory.Predictor(built, 0).predict(batch, 0).activations
    assert taken < memory.Predictor(built, 0).most([*built.trunk.layers], batch) < 8 * taken  # type: ignore[misc]


@pytest.mark.parametrize("method", ["full", "prefix"])
def test_what_is_predicted_is_what_a_step_takes(method: str, tmp_path: Path, monkeypatch: Any) -> None:
    """Also where activations are computed again, with the same gradients."""
    spec = make_spec(layers=6)
    (batch,) = batches_of(spec, 20)
    built = (
        network.whole(spec) if method == "full" else prefix.build(spec, torch.float32, CPU, list(range(9, 14)))
    )
    gradients = {}
    for level in LEVELS:
        memory.set_level(built.trunk, level)
        predicted = memory.Predictor(built, 0).predict(batch, 0).activations
        with room.of(CPU).measured() as measure:
            built.answer_losses(built.pack(batch, 0))[0].mean().backward()
        # What is held longest is not at its most at the same time.
        assert 0.98 * measure.peak < predicted < 1.35 * measure.peak, level
        gradients[level] = {name: value.grad for name, value in built.parameters().items()}
        for value in built.parameters().values():
            value.grad = None
    for level in LEVELS[1:]:
        for name, value in gradients["none"].items():
            assert torch.equal(gradients[level][name], value), (level, name)


@pytest.mark.parametrize("method", ["distill", "grpo", "constrained grpo"])
def test_what_is_predicted_of_logits_is_what_a_step_takes(method: str, tmp_path: Path) -> None:
    """Methods that look at all of a token's logits: a vocabulary so large that these are most of a step."""
    spec = make_spec(vocab=20_000)
    models.save_hf(spec, tmp_path / "model")
    rewarded = method != "distill"
    examples = [Example(f"{first}{second}", f"{n % 7}" * 20) for n, (first, second) in enumerate(PAIRS)]
    options = replace(OPTIONS, **(REWARDED if rewarded else {}), teacher="base", batch_tokens=600)
    is_constrained = method == "constrained grpo"
    constraint = makers.choices([one.output for one in examples[:7]]) if is_constrained else None
    job = Job(spec, examples, examples, options, tmp_path, encode, constraint=constraint)
    trainee: Any = by_name(method.split()[-1]).trainee(replace(job, teacher=tmp_path / "model"))
    trainee.prepare(lambda event: None)
    learned = trainee.validation[0]
    demand = trainee.demand()
    predicted = memory.Predictor(trainee.network, trainee.shared, demand).predict(learned, 0)
    batch = learned
    if rewarded:
        batch = [Rollout(trainee.sequence(one.prompt, one.answer), 1.0, 0.0) for one in learned]
    with room.of(CPU).measured() as measure:
        trainee.loss(batch).backward()
    if is_constrained:  # foreseen are answers of which nothing has to come
        assert measure.peak < predicted.activations
    else:
        logits = sum(len(one.learned) for one in learned) * 4 * spec.hyper.vocab
        assert logits / 4 < measure.peak < 2 * logits  # of a few rows at a time, and yet the most of a step
        assert 0.98 * measure.peak < predicted.activations < 1.1 * measure.peak
    assert (predicted.drawing > 0) == rewarded
    # Also of so few answers that all their logits exist at once.
    few = learned[:2]
    taken = memory.Predictor(trainee.network, trainee.shared, demand).predict(few, 0).activations
    assert sum(len(one.learned) for one in few) < by_rows.ROWS
    assert taken < memory.Predictor(trainee.network, trainee.shared).most([*trainee.network.trunk.layers], few)


@pytest.mark.parametrize(
    ("method", "in_8_bits", "kept", "said"),
    [
        ("full", False, 8, r'checkpoint .* train an adapter \("lora"\), or give a smaller base$'),
        ("full", True, 2, r'close other programs, train an adapter \("lora"\), or give a smaller base$'),
        ("prefix", False, 8, "close other programs, give a smaller base$"),
    ],
)
def test_every_method_says_what_will_not_suffice(
    method: str,
    in_8_bits: bool,
    kept: int,
    said: str,
    spec: Spec,
    examples: list[Example],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(full, "in_8_bits", lambda *_: in_8_bits)
    job = Job(spec, examples, examples[:6], OPTIONS, tmp_path, encode)
    monkeypatch.setattr(machine, "available", lambda: 1000)
    with pytest.raises(InputError, match=rf"(?s)training would take .* GB: .* optimizer, .*{said}"):
        by_name(method).trainee(job)
    monkeypatch.setattr(machine, "available", lambda: 1 << 30)
    trainee = by_name(method).trainee(job)
    count = sum(value.numel() for value in trainee.network.parameters().values())
    plans: list[memory.Plan] = []
    plan = memory.plan

    def noted(*given: Any) -> memory.Plan:
        plans.append(plan(*given))
        return plans[-1]

    monkeypatch.setattr(memory, "plan", noted)
    trainee = by_name(method).trainee(job)
    assert plans[0].predicted is not None
    assert plans[0].predicted.optimizer == kept * count
    assert "all activations kept" in trainee.note


def test_passes_side_by_side_have_gradients_of_their_own(spec: Spec) -> None:
    built = network.whole(spec)
    (batch,) = batches_of(spec)
    demand = memory.Demand(passes=lambda batch: 3)
    one, three = (memory.Predictor(built, 0, given).predict(batch, 0) for given in (memory.Demand(), demand))
    weights = sum(value.nbytes for value in built.parameters().values())
    assert three.activations - one.activations == pytest.approx(2 * weights, rel=0.01)


def test_what_an_earlier_measure_left_is_not_taken_off() -> None:
    """A cycle of references holds a tensor until the collector runs, which may be while a later one is made:
    the profiler knows the sizes of what was made under it."""
    host = room.of(torch.device("cpu"))
    with host.measured():
        left: list[Any] = [torch.zeros(1 << 20)]
        left.append(left)
        del left
    with host.measured() as measure:
        kept = torch.zeros(1 << 20)
        gc.collect()
        measure.mark()
    assert (measure.levels, measure.peak) == ([kept.nbytes], kept.nbytes)


def scarce(monkeypatch: pytest.MonkeyPatch, limit: int | None) -> None:
    monkeypatch.setattr(memory, "plan", lambda *given: memory.Plan("", None, limit))


def test_a_resumed_run_goes_on_with_the_parts_that_it_began_with(
    spec: Spec, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scarce(monkeypatch, 40)
    options = replace(OPTIONS, batch_tokens=80)
    whole = train("lora", spec, examples, examples[:6], options, tmp_path / "whole")

    def kill(event: Any) -> None:
        if isinstance(event, Step) and event.step == 5:
            raise Killed

    with pytest.raises(Killed):
        train("lora", spec, examples, examples[:6], options, tmp_path / "killed", kill)
    scarce(monkeypatch, None)
    seen: list[Any] = []
    resumed = train("lora", spec, examples, examples[:6], options, tmp_path / "killed", seen.append)
    assert next(event.step for event in seen if isinstance(event, Started)) == 4
    assert resumed.curve == whole.curve
    plain = train("lora", spec, examples, examples[:6], options, tmp_path / "plain")
    assert plain.curve != whole.curve
    for one, other in zip(plain.curve, whole.curve, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-3)


class Card:
    """A card of 1000 bytes, of which others hold 100, and torch 200 without use."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.allocated, self.most, self.emptied = 300, 300, 0
        for name in ("mem_get_info", "memory_allocated", "memory_reserved", "max_memory_allocated"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", self.reset)
        monkeypatch.setattr(torch.cuda, "empty_cache", self.empty)

    def mem_get_info(self, device: torch.device) -> tuple[int, int]:
        return 1000 - 100 - self.memory_reserved(device), 1000

    def memory_allocated(self, device: torch.device) -> int:
        assert device == CUDA
        return self.allocated

    def memory_reserved(self, device: torch.device) -> int:
        return self.allocated + 200

    def max_memory_allocated(self, device: torch.device) -> int:
        return self.most

    def reset(self, device: torch.device) -> None:
        self.most = self.allocated

    def empty(self) -> None:
        self.emptied += 1

    def take(self, size: int) -> None:
        self.allocated += size
        self.most = max(self.most, self.allocated)


def test_a_card_is_asked_for_its_own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    fake, card = Card(monkeypatch), room.of(CUDA)
    assert (card.total(), card.in_use(), card.free()) == (1000, 300, 600)
    with card.measured() as measure:
        measure.mark()
        fake.take(50)
        measure.mark()
        fake.take(200)
        fake.take(-150)
    assert (measure.levels, measure.peak) == ([0, 50], 250)
    assert isinstance(room.of(torch.device("cpu")), room.Host)


def test_training_on_a_card_is_planned_by_its_memory(spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    """The layers take what they hold on the fake card while they run; the machine's memory is not looked at."""
    fake = Card(monkeypatch)
    monkeypatch.setattr(room, "of", lambda device: room.Card(CUDA))
    for name in ("resident", "available"):
        monkeypatch.setattr(machine, name, lambda: pytest.fail("the machine's memory was asked"))
    built = network.build(spec, torch.float32, 4, 8.0)
    (batch,) = batches_of(spec)
    states = 8 * sum(value.numel() for value in built.parameters().values())

    def hold(layer: nn.Module, *_: Any) -> None:
        fake.take(70)

    for layer in built.trunk.layers:  # type: ignore[union-attr]
        layer.register_forward_hook(hold)
    first = memory.Predictor(built, 0).predict(batch, 300)
    # Of two layers alike one is tried: what it held, and for the other as much, or its gradients if more.
    gradients = states // 8 * 4 // 2
    assert (first.in_use, first.optimizer, first.activations) == (300, states, 70 + gradients)
    with pytest.raises(InputError, match="0.00 GB more are free"):
        memory.plan(built, [batch], 0, False, splits=True)
    assert fake.emptied
