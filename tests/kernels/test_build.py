"""The C core as others compile it: another compiler, C++, and the program that README.md shows."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import textcore
from tiny_models import tiny_spec

import tinsmith
from tinsmith import compiler, quant
from tinsmith.models import family

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "kernels"
SOURCES = [*sorted(KERNELS.glob("core/*.c")), *sorted(KERNELS.glob("isa/*/*.c"))]
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off"]


def test_clang_compiles_every_kernel_without_a_warning() -> None:
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("clang is not installed")
    sources = [*SOURCES, *sorted(KERNELS.glob("pack/*.c"))]
    subprocess.run([clang, *STRICT, "-fsyntax-only", *sources], check=True)


def test_the_header_is_strict_c_and_cpp(tmp_path: Path) -> None:
    uses = {tmp_path / "use.c": ("cc", "-std=c11"), tmp_path / "use.cpp": ("c++", "-std=c++11")}
    for path, (compile_, standard) in uses.items():
        path.write_text('#include "tin.h"\nint main() { return tin_version() == 0; }\n')
        flags = [
            standard,
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-fsyntax-only",
            f"-I{KERNELS / 'include'}",
        ]
        subprocess.run([compile_, *flags, path], check=True)


def test_unsafe_float_flags_are_refused(tmp_path: Path) -> None:
    command = [
        "cc",
        "-std=c11",
        "-ffast-math",
        "-c",
        "-o",
        tmp_path / "norm.o",
        KERNELS / "isa/scalar/rms_norm.c",
    ]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "error" in refused.stderr


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C program of README.md, compiled as it says there."""
    folder = tmp_path_factory.mktemp("readme")
    (code,) = re.findall(r"```c\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.S)
    source = folder / "shown.c"
    source.write_text(code, encoding="utf-8")
    flags = ["-O1", f"-I{KERNELS / 'include'}", "-pthread"]
    return textcore.compile_c(folder / "shown", [source, *SOURCES], *flags)


def test_the_readme_program_says_what_python_says(shown: Path, tmp_path: Path) -> None:
    sizes = {"hidden_size": 64, "intermediate_size": 96}
    spec = quant.apply(tiny_spec(family.by_name("llama"), **sizes), "Q8_0")
    path = tmp_path / "tiny.tin"
    compiler.build_tin(spec, path)
    said = subprocess.run([shown, path, "the in the"], capture_output=True, check=True).stdout
    model = tinsmith.load(path)
    answer = model.generate(model.tokenize("the in the", bos=True), max_tokens=16)
    assert said.decode("utf-8", "replace") == answer.text
    assert answer.token_ids

    (tmp_path / "short.tin").write_bytes(path.read_bytes()[:-1])
    refused = subprocess.run([shown, tmp_path / "short.tin", "the"], capture_output=True, text=True)
    assert refused.returncode == 1
    assert "cut short" in refused.stderr
