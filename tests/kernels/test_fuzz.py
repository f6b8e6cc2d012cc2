"""The fuzzers: half a minute each from a fixed seed, on top of what earlier runs found worth keeping."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import safety
from tokenizer_kinds import tiny

from tinsmith.compiler.tokenizer import MODELS

CORPUS = Path(__file__).with_name("corpus")
FUZZERS = ["image", "text", "restore", "chat", "constraint", "seal"]
FLAGS = [*safety.SANITIZE, "-fsanitize=float-cast-overflow", "-DTIN_NO_POOL"]


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("fuzz")
    return safety.objects(safety.clang(), folder, *FLAGS, "-fsanitize=fuzzer-no-link")


@pytest.mark.slow
@pytest.mark.parametrize("name", FUZZERS)
def test_fuzzer_finds_nothing(core: list[Path], tmp_path: Path, name: str) -> None:
    """A crash, a leak, a hang or an abort of the harness leaves its input in $TINSMITH_FUZZ_ARTIFACTS."""
    fuzz(core, tmp_path, name, safety.small_tin(tmp_path / "small.tin"))


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_text_of_each_tokenizer(core: list[Path], tmp_path: Path, model: str) -> None:
    fuzz(core, tmp_path, "text", safety.text_tin(tmp_path / "text.tin", tiny(model)))


def fuzz(core: list[Path], tmp_path: Path, name: str, tin: Path) -> None:
    flags = [*FLAGS, "-fsanitize=fuzzer"]
    program = safety.link(safety.clang(), tmp_path / name, f"{name}_fuzz.c", core, *flags)
    corpus = tmp_path / "corpus"
    shutil.copytree(CORPUS / name, corpus)
    artifacts = Path(os.environ.get("TINSMITH_FUZZ_ARTIFACTS", tmp_path))
    artifacts.mkdir(parents=True, exist_ok=True)
    options = ["-seed=1", "-max_total_time=25", "-max_len=400", "-timeout=20", "-rss_limit_mb=2500"]
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
    assert int(units[0].split()[-1]) > 1000
