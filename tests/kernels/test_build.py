"""The C core under other compilers and flags."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "kernels"
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off"]


def test_clang_compiles_every_kernel_without_a_warning() -> None:
    """As one source, which takes a tenth of the time; one by one they are compiled in test_safety.py."""
    clang = shutil.which("clang") or shutil.which("clang-19")
    if clang is None:
        pytest.skip("clang is not installed")
    others = [path for part in ("pack", "train", "writer") for path in sorted(KERNELS.glob(f"{part}/*.c"))]
    subprocess.run([clang, *STRICT, "-fsyntax-only", KERNELS / "tin_all.c", *others], check=True)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["-ffast-math"], "the same bits"),
        (["-U__BYTE_ORDER__", "-D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__"], "little-endian"),
    ],
)
def test_builds_that_would_change_results_are_refused(flags: list[str], reason: str) -> None:
    """scripts/builds has a big-endian machine's own compiler say so."""
    command = ["cc", "-std=c11", *flags, "-fsyntax-only", KERNELS / "isa/scalar/rms_norm.c"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "error" in refused.stderr
    assert reason in refused.stderr
