"""Generations at the end of the context, with all that a session can do there (room_check.c): within its
memory, its context and max_tokens, and as a plain session gives them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.kernels import safety
from tests.models import c_programs, random_adapters
from tests.models.effort import EFFORT
from tests.models.predicting import predicting_spec
from tests.models.tiny_models import tiny_spec, with_vision
from tinsmith import _core, compiler, quant
from tinsmith.compiler import drafts
from tinsmith.constraint import makers
from tinsmith.constraint.coverage import values
from tinsmith.constraint.makers import schema
from tinsmith.models import Spec

CASES = ["eyes", "lfm2", "gemma3", "qwen35"]  # images; recurrent states; windows; a layer that predicts
SCHEMA = {
    "type": "object",
    "properties": {"act": {"enum": ["open", "close", "in"]}, "thing": {"type": "string", "maxLength": 6}},
    "required": ["act", "thing"],
    "additionalProperties": False,
}
Made = Callable[[str], Path]


def spec_of(case: str) -> Spec:
    if case == "eyes":
        return quant.apply(with_vision(tiny_spec("llama", max_position_embeddings=256, **safety.LLAMA)), "Q8_0")
    if case == "qwen35":
        return predicting_spec(max_position_embeddings=256)
    return tiny_spec(case, max_position_embeddings=256)


@pytest.fixture(scope="module")
def tin(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("room")

    def make(case: str) -> Path:
        spec, path = replace(spec_of(case), chat_template=None), folder / f"{case}.tin"
        compiler.build_tin(spec, path)
        copied = {key: 3.0 for key, _ in values(b'{"thing":""}')}
        said = [([k, 2 * k, 3 * k + 1], [k % 5, 3, k % 7, 9, 9, k]) for k in range(60)]
        entries = {
            "adapter/a.bin": random_adapters.compiled(path, seed=1, rank=6),
            "adapter/b.bin": random_adapters.compiled(path, seed=2, rank=20),
            "adapter/p.bin": random_adapters.random_prefix(path, 5),
            "grammar/search.bin": schema(SCHEMA).with_search(20).with_coverage([1], 2.0, copied).data,
            "grammar/choices.bin": makers.choices(["in", "in the", "in the beginning", "the thing there"]).data,
            "drafts/answer.bin": drafts.learn(_core.Model(compiler.build_image(spec)), said),
        }
        compiler.build_tin(spec, path, entries=entries)
        return path

    return cache(make)


def play(program: Path, tin: Path, seed: int, count: int) -> None:
    done = subprocess.run([program, tin, str(seed), str(count)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-6000:]
    played, full = map(int, done.stdout.split())
    assert played == 31 * count
    assert full > played / 8


@pytest.fixture(scope="module")
def fenced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("fenced") / "room_check"
    return safety.link(os.environ.get("CC", "cc"), program, "room_check.c", [c_programs.core()], "-O1", "-lm")


@pytest.mark.parametrize("case", CASES)
def test_nothing_passes_the_end_of_the_context(fenced: Path, tin: Made, case: str) -> None:
    play(fenced, tin(case), 1, 8)


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program, flags = (
        tmp_path_factory.mktemp("poisoned") / "room_check",
        [*safety.SANITIZE, "-fsanitize=fuzzer-no-link"],
    )
    return safety.link(safety.clang(), program, "room_check.c", safety.sanitized(), *flags)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_nothing_passes_it_under_sanitizers(poisoned: Path, tin: Made, case: str) -> None:
    play(poisoned, tin(case), 2, 40 * EFFORT)
