"""Devices: which is taken, that all of a step's tensors are on it, and the attention that a GPU takes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.models.tiny_models import cases
from tests.train.hybrids import HYBRIDS, sequences_of, spec_of
from tests.train.tiny_training import encode, make_spec
from tinsmith.data.readers import Example
from tinsmith.errors import InputError
from tinsmith.train.batches.packing import pack, pad
from tinsmith.train.job import Job
from tinsmith.train.layers import attention, flex
from tinsmith.train.methods import by_name
from tinsmith.train.model import devices, network
from tinsmith.train.options import TrainOptions
from tinsmith.train.quantized.importance import recorded
from tinsmith.train.run import train
from tinsmith.train.steps.trainee import Trainee

META = torch.device("meta")  # has shapes and no values: what any other device has to be told, it has too


class OneDevice(TorchDispatchMode):
    """Fails at the first operation that takes or makes a tensor elsewhere."""

    operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves((args, kwargs, result)):
            if isinstance(tensor, torch.Tensor) and tensor.device != META:
                raise AssertionError(f"{func} has a tensor {tuple(tensor.shape)} on {tensor.device}")
        self.operations += 1
        return result


def some_training(built: network.Network, is_padded: bool) -> None:
    sequences = sequences_of(12)
    packing = (pad(sequences) if is_padded else pack(sequences, 12)).to(META)
    with OneDevice() as watched:
        losses, best = built.answer_losses(packing)
        (best != packing.targets).sum()
        losses.mean().backward()
        with torch.no_grad(), recorded(built):
            built.answer_losses(packing)
    assert watched.operations > 100


@pytest.mark.parametrize("case", ["llama", "gemma2", *HYBRIDS[:1], "lfm2"])
def test_a_step_makes_nothing_elsewhere(case: str, tmp_path: Path) -> None:
    spec = spec_of(case, tmp_path)
    built = network.build(spec, torch.float32, 4, 6.0, device=META)
    assert built.pack(sequences_of(12), 12).tokens.device == META
    for is_padded in (False, True):
        some_training(built, is_padded)


def test_a_step_of_every_weight_makes_nothing_elsewhere() -> None:
    some_training(network.whole(make_spec(), device=META), False)


def test_the_fastest_that_is_there_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"cuda": True, "mps": True}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there["cuda"])
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: there["mps"])
    assert devices.choose("auto").type == "cuda"
    there["cuda"] = False
    assert devices.choose("auto").type == "mps"
    assert devices.matrices(make_spec(), devices.choose("mps")) == (torch.float32, "")
    there["mps"] = False
    assert devices.choose("auto") == devices.CPU
    with pytest.raises(InputError, match=r'device = "cuda": torch .* finds none here; it finds cpu; state'):
        devices.choose("cuda")


def test_a_device_that_is_not_there_is_said_before_training(tmp_path: Path) -> None:
    missing = next(name for name in ("mps", "cuda") if name not in devices.present())
    examples = [Example("a", "1"), Example("b", "2")]
    job = Job(make_spec(), examples, examples, TrainOptions(device=missing), tmp_path, encode)
    for name in ("lora", "full"):
        with pytest.raises(InputError, match=rf'device = "{missing}"'):
            train(name, job)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("case", cases())
@pytest.mark.parametrize("shared", [0, 12])
def test_flex_attention_is_the_written_one(
    case: str, shared: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Traced for many shapes, sizes become symbols, which some versions of torch don't divide by heads.
    torch.compiler.reset()
    torch.manual_seed(1)
    built = network.build(spec_of(case, tmp_path), torch.float32, 4, 6.0)
    packing = pack(sequences_of(shared), shared)
    asked: list[int | None] = []

    def attend(*given: Any) -> torch.Tensor:
        asked.append(given[4].window)
        return flex.attend(*given)

    with torch.no_grad():
        wanted, _ = built.answer_losses(packing)
        monkeypatch.setattr(attention, "flex", type("Flex", (), {"is_for": lambda _: True, "attend": attend}))
        losses, _ = built.answer_losses(packing)
    assert asked
    torch.testing.assert_close(losses, wanted, atol=1e-4, rtol=0)


def test_the_checks_for_a_gpu_say_that_there_is_none() -> None:
    script = Path(__file__).parents[3] / "scripts/gpu_checks"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHON": sys.executable}
    done = subprocess.run([script], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: torch \S+ finds no CUDA here; these checks need a GPU, .*\n", done.stderr)


SPEEDS = {torch.float32: 100.0, torch.bfloat16: 61.0}


@pytest.mark.parametrize(("narrow", "chosen"), [(61.0, "float32"), (109.0, "float32"), (240.0, "bfloat16")])
def test_the_measured_type_is_taken(narrow: float, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "has_fast_bfloat16", lambda device: True)
    monkeypatch.setattr(devices, "_speeds", lambda sizes, threads: {**SPEEDS, torch.bfloat16: narrow})
    type, words = devices.matrices(make_spec(), devices.CPU)
    assert devices.named(type) == chosen
    assert words == f"products in {chosen} (measured, float32 100 GFLOP/s, bfloat16 {narrow:.0f})"


def test_a_types_speed_is_its_least_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that products alone move: the first of each is slow, and one is interrupted."""
    clock, calls = [0.0], Counter[torch.dtype]()

    def product(rows: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        calls[rows.dtype] += 1
        assert (rows.shape, matrix.shape) == ((devices.ROWS, 512), (512, 1024))
        seconds = 0.004 if rows.dtype == torch.bfloat16 else 0.001
        clock[0] += 0.5 if calls[rows.dtype] in (1, 3) else seconds
        return rows

    monkeypatch.setattr(devices.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(torch, "mm", product)
    speeds = devices._speeds.__wrapped__(frozenset([((1024, 512), 3)]), 1)
    gigaflops = 2 * devices.ROWS * 1024 * 512 / 1e9
    assert speeds == pytest.approx({torch.float32: gigaflops / 0.001, torch.bfloat16: gigaflops / 0.004})


@pytest.mark.parametrize("method", ["lora", "full", "prefix"])
def test_all_runs_of_a_job_have_one_type(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each measures what a process of its own might, begun after a kill."""
    examples = [Example("a", "1"), Example("b", "2")]
    job = Job(make_spec(), examples, examples, TrainOptions(prefix_length=2), tmp_path, encode)
    speeds = {torch.float32: 1.0, torch.bfloat16: 9.0}
    monkeypatch.setattr(devices, "has_fast_bfloat16", lambda device: True)
    monkeypatch.setattr(devices, "_speeds", lambda sizes, threads: speeds)

    def begun(**changed: Any) -> Trainee:
        return by_name(method).trainee(replace(job, **changed))

    measured = "products in bfloat16 (measured, float32 1 GFLOP/s, bfloat16 9)"
    assert measured in begun().note
    speeds[torch.float32] = 99.0
    others = begun(), begun(out_dir=tmp_path / "qat", kept_dir=tmp_path)
    assert [(one.network.matrices, measured in one.note) for one in others] == [(torch.bfloat16, True)] * 2
    monkeypatch.setattr(devices, "has_fast_bfloat16", lambda device: False)
    assert begun().network.matrices == torch.float32
