"""The fuzzers: 8 seconds each from a fixed seed, times TINSMITH_EFFORT, on top of what earlier runs found worth
keeping; and programs made by chance."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.kernels import safety
from tests.kernels.tokenizer_kinds import tiny
from tests.models import c_programs
from tests.models.effort import EFFORT
from tinsmith.tokenizer.packed import MODELS

CORPUS = Path(__file__).with_name("corpus")
FUZZERS = ["file", "text", "restore", "chat", "constraint", "seal", "image"]
LONGEST = {"image": 700}  # bytes of an input
Fuzzer = Callable[[str], Path]
RECURRENT = ["lfm2", "lfm2_moe", "qwen35_moe"]  # families with recurrent states, and with both kinds of experts


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Fuzzer:
    """A fuzzer's program by its name, linked once."""
    folder, flags = tmp_path_factory.mktemp("fuzzers"), [*safety.SANITIZE, "-fsanitize=fuzzer"]

    def link(name: str) -> Path:
        return safety.link(safety.clang(), folder / name, f"{name}_fuzz.c", safety.sanitized(), *flags)

    return cache(link)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUZZERS)
def test_fuzzer_finds_nothing(fuzzer: Fuzzer, tmp_path: Path, name: str) -> None:
    """A crash, a leak, a hang or an abort of the harness leaves its input in $TINSMITH_FUZZ_ARTIFACTS."""
    fuzz(fuzzer, tmp_path, name, safety.small_tin(tmp_path / "small.tin"))


@pytest.mark.slow
def test_conversations_with_images(fuzzer: Fuzzer, tmp_path: Path) -> None:
    fuzz(fuzzer, tmp_path, "vision", safety.vision_tin(tmp_path / "vision.tin"))


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_text_of_each_tokenizer(fuzzer: Fuzzer, tmp_path: Path, model: str) -> None:
    fuzz(fuzzer, tmp_path, "text", safety.text_tin(tmp_path / "text.tin", tiny(model)))


@pytest.mark.slow
@pytest.mark.parametrize("family", RECURRENT)
@pytest.mark.parametrize("name", ["file", "restore"])
def test_states_and_experts(fuzzer: Fuzzer, tmp_path: Path, name: str, family: str) -> None:
    fuzz(fuzzer, tmp_path, name, safety.small_tin(tmp_path / "small.tin", "Q8_0", family))


def play_programs(program: Path, tin: Path, seed: int, count: int) -> None:
    """Programs that the loader takes and no compiler makes (program_fuzz.c), every kind of op among them."""
    done = subprocess.run(
        [program, str(seed), str(count)],
        capture_output=True,
        text=True,
        env=os.environ | {"TIN_BASE": str(tin)},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-6000:]
    played, refused, *made = map(int, done.stdout.split())
    assert played + refused == count
    assert played > count / 2
    assert min(made) > count / 8


def test_programs_that_keep_the_rules_are_safe(tmp_path: Path) -> None:
    """By the scalar kernels, which are what is built everywhere."""
    sources = [CORPUS.with_name("program_fuzz.c"), safety.KERNELS / "tin_all.c"]
    try:
        program = c_programs.program(tmp_path / "programs", sources, *c_programs.SANITIZED)
    except subprocess.CalledProcessError:
        pytest.skip("the C compiler has no sanitizers")
    play_programs(program, safety.small_tin(tmp_path / "small.tin"), 1, 300)


@pytest.mark.slow
def test_programs_that_keep_the_rules_are_safe_on_every_set(tmp_path: Path) -> None:
    parts = safety.sanitized()
    program = safety.link(safety.clang(), tmp_path / "programs", "program_fuzz.c", parts, *safety.SANITIZE)
    tin = safety.small_tin(tmp_path / "small.tin")
    for seed in (1_000, 100_000):
        play_programs(program, tin, seed, 1_000 * EFFORT)


def fuzz(fuzzer: Fuzzer, tmp_path: Path, name: str, tin: Path) -> None:
    program = fuzzer(name)
    corpus = tmp_path / "corpus"
    shutil.copytree(CORPUS / name, corpus)
    artifacts = Path(os.environ.get("TINSMITH_FUZZ_ARTIFACTS", tmp_path))
    artifacts.mkdir(parents=True, exist_ok=True)
    options = ["-seed=1", f"-max_total_time={8 * EFFORT}", f"-max_len={LONGEST.get(name, 400)}"]
    options += ["-timeout=20", "-rss_limit_mb=2500"]
    # A process's peak memory, which libFuzzer limits, begins with that of what started it: here a shell's.
    shell = ["sh", "-c", '"$0" "$@"; exit $?']
    done = subprocess.run(
        [*shell, program, *options, f"-artifact_prefix={artifacts}/{name}-", "-print_final_stats=1", corpus],
        capture_output=True,
        text=True,
        env=os.environ | {"TIN_BASE": str(tin)},
    )
    assert done.returncode == 0, done.stderr[-6000:]
    units = [line for line in done.stderr.splitlines() if line.startswith("stat::number_of_executed_units")]
    # How many is a matter of the machine: 1,000 signatures take longer than 8 seconds on a slow one.
    assert int(units[0].split()[-1]) > 2 * len(list((CORPUS / name).iterdir()))
