"""The pool runs every unit once and changes no bit, and ThreadSanitizer sees no race."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.models import c_programs
from tests.models.tiny_models import tiny_spec
from tinsmith import compiler, quant
from tinsmith.models import family

KERNELS = Path(__file__).parents[2] / "kernels"
SOURCES = [*sorted(KERNELS.glob("core/*/*.c")), *sorted(KERNELS.glob("isa/*/*.c"))]
TSAN = ["-g", "-O1", "-fsanitize=thread"]


@pytest.fixture(scope="module", params=["plain", pytest.param("tsan", marks=pytest.mark.slow)])
def stress(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pool_stress with the whole C core, plain or under ThreadSanitizer."""
    folder = tmp_path_factory.mktemp("pool")
    flags = ["-O2", "-fPIC"] if request.param == "plain" else TSAN
    empty = folder / "empty.c"
    empty.write_text("int main(void) { return 0; }\n")
    try:
        subprocess.run([c_programs.program(folder / "empty", [empty], *flags)], check=True)
    except subprocess.CalledProcessError:
        pytest.skip("the C compiler has no ThreadSanitizer")
    harness = Path(__file__).with_name("pool_stress.c")
    flags += [f"-I{KERNELS / 'include'}", "-pthread"]
    return c_programs.program(folder / "pool_stress", [harness, *SOURCES], *flags)


@pytest.fixture(scope="module")
def tin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tin") / "tiny.tin"
    spec = tiny_spec(family.by_name("llama"), hidden_size=64, intermediate_size=96)
    compiler.build_tin(quant.apply(spec, "Q4_0"), path)
    return path


def check(*command: str | Path) -> None:
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-6000:]
    assert result.stderr == ""


def test_every_unit_runs_once(stress: Path) -> None:
    """Jobs of 0 to 3 million units, back to back and after pauses, 1 to 8 threads; pools that live briefly."""
    check(stress, "jobs", "1000")


def test_sessions_give_the_same_bits(stress: Path, tin: Path) -> None:
    """1, 2, 3 and 8 threads, and two sessions of one model at once, each on its own pool."""
    check(stress, "sessions", tin)


@pytest.mark.parametrize("stress", ["plain"], indirect=True)  # ThreadSanitizer has its own threads
def test_children_go_on_alone(stress: Path) -> None:
    check(stress, "forks", "200")
