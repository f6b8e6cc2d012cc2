"""Builds the kernels once a session; and vocabularies that constraints are read over."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.kernels.constraint_reference import Vocabulary, tiny_image
from tests.kernels.kernel_library import KERNELS, Library, implementations
from tests.models import c_programs
from tinsmith import _core, compiler
from tinsmith.models import load


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`impl` is every line of kernels.def; `matmul` those that multiply."""
    for name, kind in (("impl", ""), ("matmul", "tini_matmul_fn")):
        if name in metafunc.fixturenames:
            lines = [line for line in implementations() if kind in ("", line.type)]
            metafunc.parametrize(name, lines, ids=lambda line: f"{line.op}-{line.isa}")


SOURCES = [
    *sorted(KERNELS.glob("isa/*/*.c")),
    KERNELS / "core/base/isa.c",
    KERNELS / "core/base/grids.c",
    KERNELS / "core/base/words.c",
    KERNELS / "core/vm/embed.c",
    *sorted(KERNELS.glob("pack/*.c")),
]


@pytest.fixture(scope="session")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Library:
    path = tmp_path_factory.mktemp("kernels") / "kernels.so"
    probe = Path(__file__).with_name("math_probe.c")
    return Library(c_programs.program(path, [*SOURCES, probe], "-O2", "-shared", "-fPIC"))


@pytest.fixture(scope="session")
def careless_lib(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """All sources as one file, with flags that let a compiler fuse multiplies and adds."""
    folder = tmp_path_factory.mktemp("careless")
    (folder / "all.c").write_text("".join(f'#include "{path}"\n' for path in SOURCES))
    flags = ["-std=gnu11", "-O3", "-march=native", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, str(folder / "all.c"), "-o", str(folder / "all.so")], check=True)
    return Library(folder / "all.so")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260)


@pytest.fixture(scope="module")
def smol(base_gguf: Path) -> Vocabulary:
    return Vocabulary(_core.Model(compiler.build_image(load(base_gguf))))


@pytest.fixture(scope="module")
def tiny() -> Vocabulary:
    return Vocabulary(_core.Model(tiny_image()))
