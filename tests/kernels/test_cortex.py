"""The kernels of Cortex-M on a board that qemu plays: the sets it has, and the bytes of the scalar kernels."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kernels.kernel_library import implementations
from tinsmith import targets
from tinsmith.cross import firmware

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "kernels"
# The Cortex-M55 runs what the Cortex-M7 does, and has memory for the programs here.
BOARD = targets.load("cortex-m55")
SETS = ["scalar", "armdsp", "mve"]
# newlib's uint32_t is a long: the same bits, but not for -Wformat.
STRICT = [
    "-std=c11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-format",
    "-ffp-contract=off",
    "-fno-math-errno",
]
MEMORY = """MEMORY
{{
  code (rx) : ORIGIN = {code.base:#x}, LENGTH = {code.size:#x}
  ram (rwx) : ORIGIN = {flash.base:#x}, LENGTH = 64M
  flash (r) : ORIGIN = {flash.base:#x} + 64M, LENGTH = 16M
}}
image_stack_bytes = 64K;
heap_begin = ORIGIN(ram) + 1M;
heap_end = ORIGIN(ram) + LENGTH(ram);
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which(firmware.GCC), reason=f"{firmware.GCC} is not installed"),
    pytest.mark.skipif(not shutil.which(firmware.QEMU), reason=f"{firmware.QEMU} is not installed"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """kernel_check as an image, with its heap in the memory that a model's file would have."""
    assert BOARD.firmware
    folder = tmp_path_factory.mktemp("cortex")
    (folder / "memory.ld").write_text(MEMORY.format(code=BOARD.firmware.code, flash=BOARD.firmware.flash))
    flags = [*BOARD.firmware.gcc_cpu, *STRICT, "-ffunction-sections", "-fdata-sections"]
    flags += ["-DTIN_NO_POOL", f"-I{KERNELS}", f"-I{KERNELS / 'include'}"]
    check = folder / "kernel_check.o"
    sources = [
        KERNELS / "tin_all.c",
        *(KERNELS / "firmware" / f"{name}.c" for name in ("start", "semihosting")),
    ]
    commands = [
        [*flags, "-Dmain=program", "-c", HERE / "kernel_check.c", "-o", check],
        [
            *flags, *sources, check, HERE / "cortex_main.c", "--specs=nosys.specs", "-nostartfiles",
            "-L", folder, "-T", KERNELS / "firmware" / "image.ld", "-Wl,--gc-sections,--no-warn-rwx-segments",
            "-o", folder / "kernel_check.elf",
        ],
    ]  # fmt: skip
    for command in commands:
        done = subprocess.run([firmware.GCC, *map(str, command)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return folder / "kernel_check.elf"


def test_floats_of_helium_which_flush_denormals_are_refused() -> None:
    command = [
        firmware.GCC,
        "-mcpu=cortex-m55",
        "-mfloat-abi=hard",
        "-fsyntax-only",
        KERNELS / "core" / "base" / "region.h",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert "MVE's floats flush denormals" in done.stderr


@pytest.mark.parametrize("isa", SETS[1:])
def test_every_kernel_gives_the_bytes_of_the_scalar_one(program: Path, isa: str) -> None:
    command = [firmware.QEMU, *firmware.board_options(BOARD, program, ["kernel_check", isa])]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    first, *lines = done.stdout.splitlines()
    assert first.split() == ["sets", *SETS]
    passed = {line.split()[1] for line in lines if line.startswith("ok ") and line.split()[2] == isa}
    assert passed == {impl.op for impl in implementations() if impl.isa == isa}
    assert passed
