"""Builds the kernels once a session."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from kernel_library import KERNELS, Library, implementations


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`impl` is every line of kernels.def; `matmul` those that multiply."""
    for name, kind in (("impl", ""), ("matmul", "tini_matmul_fn")):
        if name in metafunc.fixturenames:
            lines = [line for line in implementations() if kind in ("", line.type)]
            metafunc.parametrize(name, lines, ids=lambda line: f"{line.op}-{line.isa}")


@pytest.fixture(scope="session")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Library:
    path = tmp_path_factory.mktemp("kernels") / "kernels.so"
    sources = [*sorted(KERNELS.glob("isa/*/*.c")), KERNELS / "core/isa.c", *sorted(KERNELS.glob("pack/*.c"))]
    probe = Path(__file__).with_name("math_probe.c")
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, *map(str, sources), str(probe), "-o", str(path)], check=True)
    return Library(path)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260)
