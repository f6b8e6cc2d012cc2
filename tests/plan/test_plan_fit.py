"""What does not fit is refused with numbers, and what is named instead really fits when it is built."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.models.tiny_models import tiny_spec
from tinsmith import _core, targets
from tinsmith.errors import InputError
from tinsmith.plan import Options, fit, memory_of
from tinsmith.plan.contents import Base
from tinsmith.quant import shipping
from tinsmith.spec import Spec
from tinsmith.system import progress
from tinsmith.system.files import map_file

DEVICE = """\
[cpu]
arch = "thumb"
cores = 1
clock_mhz = 100
isa = ["scalar"]
[memory]
ram = {ram}
storage = {storage}
bandwidth = "50MB"
flash_bandwidth = "50MB"
[firmware]
gcc_cpu = ["-mcpu=cortex-m7"]
code = {{ base = 0, size = "1MiB" }}
ram = {{ base = 0x20000000, size = "64MiB" }}
flash = {{ base = 0x60000000, size = "64MiB" }}
[source]
cpu = "a test"
memory = "a test"
firmware = "a test"
"""


def built(spec: Spec, folder: Path, preset: str) -> Path:
    weights = [shipping.Weights(preset)]
    ((_, tin),) = shipping.build_files(spec, folder, weights, progress.PlainDisplay()).values()
    return tin


def device(folder: Path, ram: int, storage: int) -> targets.Target:
    path = folder / "board.toml"
    path.write_text(DEVICE.format(ram=ram, storage=storage))
    return targets.find(path)


@pytest.fixture(scope="module")
def spec() -> Spec:
    # Wide enough that formats differ by many pages.
    return tiny_spec("llama", hidden_size=256, intermediate_size=1024, num_hidden_layers=4, vocab_size=512)


@pytest.fixture(scope="module")
def sizes(spec: Spec) -> dict[str, int]:
    return {name: Base(spec, "x").contents(name).file for name in ("F16", "Q8_0", "Q4_0")}


def ram(spec: Spec, context: int, folder: Path) -> int:
    wide = device(folder, 1 << 26, 1 << 26)
    return memory_of(Base(spec).contents("Q8_0"), wide, Options(context=context)).ram


def test_what_fits_passes(spec: Spec, sizes: dict[str, int], tmp_path: Path) -> None:
    board = device(tmp_path, ram(spec, 64, tmp_path), sizes["Q8_0"])
    fit.check(Base(spec, "x"), ["Q8_0", "Q4_0"], 64, [board])


def test_too_large_a_file_names_a_narrower_format_that_fits(
    spec: Spec, sizes: dict[str, int], tmp_path: Path
) -> None:
    board = device(tmp_path, 1 << 26, sizes["Q8_0"] - 8192)
    with pytest.raises(InputError) as raised:
        fit.check(Base(spec, "x"), ["Q8_0"], 64, [board])
    message = str(raised.value)
    assert (
        "does not fit board" in message
        and f"stores {board.memory.storage:,}" in message
        and "\n" not in message
    )
    named = re.search(r"The nearest that fits: (\w+) with a context of 64 ", message)
    assert named
    tin = built(shipping.prepared(spec, "x", 64), tmp_path, named[1])
    assert tin.stat().st_size <= board.memory.storage
    # Nothing wider would have fitted.
    wider = [
        other
        for name in fit.FORMATS
        if (other := Base(spec, "x").contents(name)).program.weight_bytes
        > Base(spec, "x").contents(named[1]).program.weight_bytes
    ]
    assert all(not memory_of(other, board, Options(context=64)).fits(board.memory) for other in wider)


def test_too_long_a_context_names_the_longest_that_fits(spec: Spec, tmp_path: Path) -> None:
    board = device(tmp_path, ram(spec, 64, tmp_path), 1 << 26)
    with pytest.raises(InputError) as raised:
        fit.check(Base(spec, "x"), ["Q8_0"], spec.hyper.context, [board])
    named = re.search(r"Q8_0 with a context of (\d+) \(", str(raised.value))
    assert named and f"it has {board.memory.ram:,}" in str(raised.value)
    context = int(named[1])
    tin = built(shipping.prepared(spec, "x", context), tmp_path, "Q8_0")
    core = _core.Model(map_file(tin))
    room = board.memory.ram - _core.MODEL_ROOM
    assert _core.Session(core).size() <= room
    fit.check(Base(spec, "x"), ["Q8_0"], context, [board])
    with pytest.raises(InputError):
        fit.check(Base(spec, "x"), ["Q8_0"], context + 1, [board])


def test_both_at_once(spec: Spec, sizes: dict[str, int], tmp_path: Path) -> None:
    board = device(tmp_path, ram(spec, 64, tmp_path), sizes["Q4_0"])
    with pytest.raises(
        InputError, match="the file takes .*; RAM takes .*nearest that fits: .* with a context of"
    ):
        fit.check(Base(spec, "x"), ["F16"], spec.hyper.context, [board])


def test_where_nothing_fits_the_smallest_is_told(spec: Spec, tmp_path: Path) -> None:
    board = device(tmp_path, 1 << 12, 1 << 12)
    with pytest.raises(
        InputError, match=r"Nothing of this model does: \w+ with a context of 16 takes a file of"
    ):
        fit.check(Base(spec, "x"), ["F16"], 64, [board])


def test_the_context_is_the_least_of_the_devices(spec: Spec) -> None:
    pi, board = targets.load("raspberrypi-5"), targets.load("cortex-m7")
    assert fit.context_for(spec, [pi]) == 0
    assert fit.context_for(spec, [pi, board]) == min(board.defaults.context, spec.hyper.context)
    assert fit.context_for(spec, [pi, board], 9) == 9
