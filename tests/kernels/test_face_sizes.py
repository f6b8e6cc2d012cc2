"""Sizes and counts that a caller of the extension makes up are refused before anything is made or read by them.
Each in a process of its own, which a fault would end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernels import safety

# Products that come back to few bytes modulo 2^64.
ROWS, INPUTS = 2**31 + 46336, 2**31 - 46335
AROUND = ROWS * INPUTS * 4 % 2**64

BLOCKS = {
    "pack": f"_core.pack('F32', bytes({AROUND}), {ROWS}, {INPUTS})",
    "unpack": f"_core.unpack('F32', bytes({AROUND}), {ROWS}, {INPUTS})",
    "quantize": "_core.quantize('Q4_0', b'', 2**31, 2**31)",
}
COUNTS = {
    "append": "session.append(Long())",
    "replace": "session.replace(Long())",
    "forced": "constraint.forced(Long())",
}
WORDS = {
    "rows": "_core.pack('F32', bytes(16), 2**32 + 1, 4)",
    "inputs": "_core.pack('F32', bytes(16), 1, 2**32 + 4)",
    "context": "_core.Session(model, context=2**32 + 8)",
    "checkpoints": "_core.Session(model, checkpoints=2**32)",
    "threads": "_core.Session(model, threads=2**32 + 1)",
    "batch": "_core.Batch(model, rows=2**32 + 4)",
    "masks": "_core.Constraint(model, model.entry('grammar/answer.bin'), masks=2**32)",
    "left": "constraint.mask(2**32)",
    "rewind": "session.rewind(2**32)",
    "shift": "session.shift(0, 2**32)",
    "copy": "session.copy_from(_core.Session(model), 2**32)",
    "generate": "session.generate(2**32)",
    "top_k": "session.sample(1.0, 2**32 + 1)",
    "flags": "model.tokenize(b'the', 2**32)",
    "role": "model.chat([(2**32 + 1, b'the')])",
    "negative": "session.rewind(-1)",
}
PREPARE = """
import mmap, sys
from tinsmith import _core
with open(sys.argv[1], "rb") as file:
    model = _core.Model(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
session = _core.Session(model)
session.append([1, 2])
session.step()
constraint = _core.Constraint(model, model.entry("grammar/answer.bin"))
class Long:
    def __len__(self): return 2**62
    def __getitem__(self, k): return 7
try:
    CALL
except (ValueError, OverflowError, MemoryError) as error:
    print(type(error).__name__)
"""


@pytest.fixture(scope="module")
def tin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return safety.small_tin(tmp_path_factory.mktemp("sizes") / "small.tin")


def raised(tin: Path, call: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PREPARE.replace("CALL", call), tin], capture_output=True, text=True
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return done.stdout.strip()


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_of_more_bytes_than_there_can_be(tin: Path, name: str) -> None:
    assert raised(tin, BLOCKS[name]) == "ValueError"


@pytest.mark.parametrize("name", COUNTS)
def test_a_sequence_that_says_it_is_longer_than_memory(tin: Path, name: str) -> None:
    assert raised(tin, COUNTS[name]) in ("ValueError", "MemoryError")


@pytest.mark.parametrize("name", WORDS)
def test_a_number_of_more_than_32_bits_is_not_taken_for_another(tin: Path, name: str) -> None:
    assert raised(tin, WORDS[name]) == "OverflowError"
