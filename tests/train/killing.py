"""Training in a process of its own that is killed at random moments, and begun again until it has ended."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from tests.train.tiny_training import PAIRS, make_spec
from tinsmith import cli, models
from tinsmith.train import methods
from tinsmith.train.model import devices
from tinsmith.train.quantized import qat_adapter

RECIPE = """
[base]
model = "base"

[data]
train = "train.jsonl"
validation = "validation.jsonl"
test = "validation.jsonl"
task = "chat"
{data}

[train]
method = "{method}"
batch_tokens = {batch_tokens}
epochs = {epochs}
device = "cpu"
{train}
"""
_EXAMPLES = "average = 0.3\n"


@dataclass(frozen=True)
class Case:
    """data, train: further lines of the recipe's tables; epochs: so many that there are several checkpoints."""

    method: str
    data: str = ""
    train: str = ""
    epochs: int = 40
    batch_tokens: int = 16


CASES = {
    "lora": Case("lora", train=_EXAMPLES, epochs=8),
    "full": Case("full", train=_EXAMPLES, data='text = "text.txt"', epochs=8),
    "prefix": Case("prefix", train=_EXAMPLES, epochs=9),
    "continue": Case("continue", train=_EXAMPLES, data='text = "text.txt"', epochs=9),
    "dpo": Case("dpo", data='preferences = "pairs.jsonl"', epochs=14),
    "orpo": Case("orpo", data='preferences = "pairs.jsonl"', epochs=14),
    "kto": Case("kto", data='preferences = "ratings.jsonl"', epochs=14),
    "grpo": Case(
        "grpo",
        data='[constraint]\nchoices = ["0", "1", "2", "3", "4", "5", "6"]',
        train="prompts = 7\nlearning_rate = 0.005",
        epochs=8,
    ),
    "distill": Case("distill", train='teacher = "teacher"', epochs=16),
    "context distillation": Case("distill", train='teacher = "base"', epochs=16),
    "search": Case("lora", train='learning_rate = "search"', epochs=20),
    "seeds": Case("lora", train="seeds = 3\nlearning_rate = 0.01", epochs=14),
    "search and seeds": Case("full", train='seeds = 2\nlearning_rate = "search"', epochs=16),
}


def write_home(folder: Path) -> None:
    """The bases and the data of every case."""
    models.save_hf(make_spec(), folder / "base")
    models.save_hf(make_spec(layers=3), folder / "teacher")
    rows = [{"input": first + second, "output": f"{n % 7}"} for n, (first, second) in enumerate(PAIRS)]
    pairs = [{"input": row["input"], "chosen": row["output"], "rejected": "x"} for row in rows]
    ratings = [{**row, "good": True} for row in rows] + [{**row, "output": "x", "good": False} for row in rows]
    every = {"train": rows, "validation": rows[:5], "pairs": pairs, "ratings": ratings}
    for name, lines in every.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    (folder / "text.txt").write_text("the lamp in the kitchen is on, and the door is open\n\n" * 8)
    for name, case in CASES.items():
        (folder / f"{name}.toml").write_text(RECIPE.format(**vars(case)))


# Children are forked by a process that has loaded what takes longer to load than a tiny run takes.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["peft", "torch", "transformers", "tinsmith.pipeline.stages.train.make"])


def _train(recipe: Path, out: Path, cache: Path, begun: Connection) -> None:
    """`tinsmith make --until train`, in a child: what it prints goes to a file beside `out`."""
    os.environ["TINSMITH_CACHE"] = str(cache)
    with out.with_suffix(".log").open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    # Two trainings may measure different types.
    mock.patch.object(devices, "matrices", lambda spec, device: (torch.float32, "")).start()
    begun.send(True)
    sys.exit(cli.main(["make", "--until", "train", str(recipe), "--out", str(out)]))


@dataclass
class Child:
    """`tinsmith make --until train` of a case. cache: where rates that were found are kept."""

    home: Path
    name: str
    out: str

    def __post_init__(self) -> None:
        recipe, self.made = self.home / f"{self.name}.toml", self.home / self.out / self.name
        self.made.parent.mkdir(exist_ok=True)
        self.begun, begins = SERVER.Pipe(duplex=False)
        arguments = (recipe, self.made, self.home / self.out / "cache", begins)
        self.process = SERVER.Process(target=_train, args=arguments)
        self.process.start()
        begins.close()
        folder = methods.by_name(CASES[self.name].method).folder
        self.folders = self.made / folder, self.made / qat_adapter.FOLDER / folder

    def ended(self) -> float:
        """The seconds that it took from where training began."""
        self.begun.recv()
        begun = time.monotonic()
        self.process.join(600)
        self._check()
        return time.monotonic() - begun

    def is_killed(self, seconds: float) -> bool:
        """Kills it so many seconds after training began; False where it had ended by then."""
        self.begun.recv()
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        if self.process.exitcode == -signal.SIGKILL:
            return True
        self._check()
        return False

    def _check(self) -> None:
        assert self.process.exitcode == 0, self.made.with_suffix(".log").read_text(errors="replace")[-3000:]


def contents(child: Child) -> dict[str, bytes]:
    """What was trained, and the adapter for 4-bit files where there is one."""
    paths = (path for folder in child.folders if folder.exists() for path in sorted(folder.iterdir()))
    return {str(path.relative_to(child.made)): path.read_bytes() for path in paths}


def compared(home: Path, name: str, kills: int, seed: int = 0) -> dict[str, Any]:
    """A case undisturbed, and killed so many times at moments drawn from all that it takes. A run that ended
    before its kill came is compared, and another one begun for the kills that are left. differing: files whose
    bytes are not the undisturbed run's."""
    whole = Child(home, name, "whole")
    seconds = whole.ended()
    wanted, chance = contents(whole), random.Random(f"{name} {seed}")
    met, runs, differing = 0, 1, set[str]()
    while met < kills:
        child = Child(home, name, f"killed-{seed}-{runs}")
        if child.is_killed(chance.uniform(0, seconds)):
            met += 1
        else:
            differing |= differences(wanted, child)
            runs += 1
    last = Child(home, name, f"killed-{seed}-{runs}")
    last.ended()
    differing |= differences(wanted, last)
    return {"case": name, "seconds": round(seconds, 1), "runs": runs, "differing": sorted(differing)}


def differences(wanted: dict[str, bytes], child: Child) -> set[str]:
    given = contents(child)
    return {name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name)}
