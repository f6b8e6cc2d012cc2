"""Two processes that train together, against one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.train.tiny_training import PAIRS
from tinsmith.errors import UnsupportedError
from tinsmith.train.methods.lora import AdapterTrainee
from tinsmith.train.steps import together

RECIPE = """
[base]
model = "base"

[data]
train = "train.jsonl"
validation = "validation.jsonl"
test = "validation.jsonl"
task = "chat"

[train]
epochs = 2
rank = 4
learning_rate = 0.01
batch_tokens = 60
device = "cpu"
"""


# What a bfloat16 product rounds is another where a batch is another.
FLOAT32 = """
import sys
from tinsmith.cli import main
from tinsmith.train.model import devices
devices.has_fast_bfloat16 = lambda device: False
sys.exit(main())
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def processes(folder: Path, out: str, count: int, *program: str) -> list[subprocess.Popen[str]]:
    """Of `tinsmith make --until train`, as a launcher starts them."""
    port = free_port()
    command = [
        sys.executable,
        *program,
        "make",
        "--until",
        "train",
        str(folder / "recipe.toml"),
        "--out",
        str(folder / out),
    ]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def ended(started: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    results = []
    for process in started:
        out, errors = process.communicate(timeout=300)
        results.append((process.returncode, out, errors))
    return results


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.models.transformers_models import save_random

    folder = tmp_path_factory.mktemp("together")
    save_random("llama", folder / "base")
    rows = [{"input": first + second, "output": second} for first, second in PAIRS]
    for name, part in (("train", rows), ("validation", rows[:5])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def compared(home: Path) -> Path:
    """With the folder `one` of a process alone, whose result is that of two."""
    compare(home)
    return home


AUTO = """
[build]
formats = ["AUTO"]
bits = 6.5
"""


@pytest.mark.slow
def test_seeds_of_two_processes_are_those_of_one(home: Path) -> None:
    (home / "recipe.toml").write_text(RECIPE.replace("epochs = 2", "epochs = 1\nseeds = 2"))
    try:
        ended_well = [
            code
            for out, count in (("one of two", 1), ("two of two", 2))
            for code, _, _ in ended(processes(home, out, count, "-c", FLOAT32))
        ]
    finally:
        (home / "recipe.toml").write_text(RECIPE)
    assert ended_well == [0, 0, 0]
    stages = [
        json.loads((home / out / "run.json").read_text())["stages"] for out in ("one of two", "two of two")
    ]
    one, two = (made["train"]["facts"]["seeds"] for made in stages)
    assert [row["seed"] for row in one] == [row["seed"] for row in two] == [0, 1, None]
    assert [row["kept"] for row in one] == [row["kept"] for row in two]
    assert [row["loss"] for row in one] == pytest.approx([row["loss"] for row in two], abs=1e-5)


@pytest.mark.slow
def test_two_processes_give_the_result_of_one(compared: Path) -> None:
    # Up to date: the first process calls nobody, and the others end.
    assert [code for code, _, _ in ended(processes(compared, "two", 2, "-m", "tinsmith"))] == [0, 0]


@pytest.mark.slow
def test_what_accelerate_launches_gives_the_result_of_one(compared: Path) -> None:
    (compared / "float32.py").write_text(FLOAT32)
    out, launch = (
        compared / "launched",
        "accelerate.commands.launch --multi_gpu --num_machines 1 --num_processes 2",
    )
    words = f"{launch} --mixed_precision no --dynamo_backend no --main_process_port {free_port()}".split()
    command = [
        sys.executable,
        "-m",
        *words,
        compared / "float32.py",
        "make",
        "--until",
        "train",
        compared / "recipe.toml",
    ]
    told = subprocess.run(
        [*command, "--out", out],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout == f"{out / 'adapter'}\n"  # the second says nothing
    assert off(compared / "one", out) < 1e-4


@pytest.mark.slow
def test_two_processes_prepare_for_the_formats_that_the_first_chose(home: Path, tmp_path: Path) -> None:
    from tests.models.transformers_models import save_random

    for name in ("train.jsonl", "validation.jsonl"):
        shutil.copy(home / name, tmp_path)
    save_random("llama", tmp_path / "base", hidden_size=96, intermediate_size=96)
    (tmp_path / "recipe.toml").write_text(RECIPE + AUTO)
    compare(tmp_path)


def compare(home: Path) -> None:
    for out, count in (("one", 1), ("two", 2)):
        for rank, (code, printed, errors) in enumerate(ended(processes(home, out, count, "-c", FLOAT32))):
            assert code == 0, errors
            assert printed == (f"{home / out / 'adapter'}\n" if rank == 0 else "")
            assert ("train: epoch 2" in errors) == (rank == 0)
    stages = [json.loads((home / out / "run.json").read_text())["stages"] for out in ("one", "two")]
    one, two = (made["train"]["facts"]["curve"] for made in stages)
    assert len(one) == len(two) > 4
    for first, second in zip(one, two, strict=True):
        assert first["loss"] == pytest.approx(second["loss"], abs=1e-5)
    assert off(home / "one", home / "two") < 1e-4


def off(one: Path, two: Path) -> float:
    """The most by which a tensor of two's adapter differs from one's, as a share of its largest number."""
    wanted, given = (load_file(out / "adapter/adapter_model.safetensors") for out in (one, two))
    return max(float(np.abs(given[name] - value).max() / np.abs(value).max()) for name, value in wanted.items())


@pytest.mark.slow
def test_two_processes_go_on_from_an_adapter(compared: Path) -> None:
    home = compared
    new = [{"input": f"{n} {n}", "output": "twice"} for n in range(6)]
    (home / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in new))
    more = '\n[update]\nadapter = "one/adapter"\ndata = "new.jsonl"\nretrain = "always"\n'
    (home / "recipe.toml").write_text(RECIPE + more)
    try:
        for out, count in (("more-one", 1), ("more-two", 2)):
            for code, _, errors in ended(processes(home, out, count, "-c", FLOAT32)):
                assert code == 0, errors
    finally:
        (home / "recipe.toml").write_text(RECIPE)
    states = [json.loads((home / out / "run.json").read_text())["stages"] for out in ("more-one", "more-two")]
    one, two = (state["train"]["facts"]["update"] for state in states)
    assert one["kept"] == two["kept"]
    for name, scores in one["scores"].items():
        for tests, score in scores.items():
            assert two["scores"][name][tests]["loss"] == pytest.approx(score["loss"], abs=1e-4)


def test_a_fault_of_the_first_ends_the_others(home: Path) -> None:
    held = (home / "validation.jsonl").read_text()
    (home / "validation.jsonl").write_text("not JSON\n")
    try:
        first, second = ended(processes(home, "three", 2, "-m", "tinsmith"))
    finally:
        (home / "validation.jsonl").write_text(held)
    assert first[0] == 2
    assert "validation.jsonl" in first[2]
    assert (second[0], second[2]) == (0, "")


# A gradient that the first process has alone, one that both have, and one that none has.
ADDS = """
import json, sys
import torch
from torch import nn
from tinsmith.train.steps import together
together.join("cpu")
rank = together.number()
together.call() if rank == 0 else together.called()
held = {name: nn.Parameter(torch.ones(2, 3)) for name in ("first", "both", "none")}
optimizer = torch.optim.AdamW(held.values(), lr=0.1, fused=True)
for has in (held, ["both", *["first"][rank:]], []):
    for name in has:
        held[name].grad = torch.full((2, 3), rank + 1.0)
    loss = together.add(held, rank + 0.5)
    sums = {name: None if one.grad is None else one.grad.mean().item() for name, one in held.items()}
    optimizer.step()
    optimizer.zero_grad()
    print(json.dumps([loss, sums, {name: one.mean().item() for name, one in held.items()}]))
together.leave()
"""


def test_what_has_a_gradient_in_no_process_is_passed_by(tmp_path: Path) -> None:
    """Zeros in its place would move it by AdamW's momentum."""
    (first, second) = ended(processes(tmp_path, "", 2, "-c", ADDS))
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert first[1] == second[1]
    whole, partly, empty = map(json.loads, first[1].splitlines())
    assert [one[0] for one in (whole, partly, empty)] == [2, 2, 2]
    assert whole[1] == {"first": 3, "both": 3, "none": 3}
    assert partly[1] == {"first": 1, "both": 3, "none": None}
    assert empty[1] == dict.fromkeys(partly[1])
    assert (partly[2]["none"], empty[2]) == (whole[2]["none"], partly[2])


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("ACCELERATE_USE_FSDP", "true", "asks for FSDP; several processes train data parallel"),
        ("ACCELERATE_USE_DEEPSPEED", "true", "asks for DeepSpeed; several"),
        ("ACCELERATE_MIXED_PRECISION", "fp16", 'asks for mixed precision "fp16"'),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    key: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {"RANK": "0", "WORLD_SIZE": "2", key: value}.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(UnsupportedError, match=said):
        together.join("cpu")


def test_a_loss_that_is_no_mean_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Judged(AdapterTrainee):
        splits = False

    monkeypatch.setattr(together, "count", lambda: 2)
    with pytest.raises(UnsupportedError, match="not the mean of a batch's parts"):
        Judged.check_sharing(Judged.__new__(Judged))
    AdapterTrainee.check_sharing(AdapterTrainee.__new__(AdapterTrainee))
