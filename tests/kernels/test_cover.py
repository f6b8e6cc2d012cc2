"""What an answer costs that makes values up (cover_check.c)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.kernels import safety
from tests.models import c_programs

ROOM = 2.9  # of twice as much: linear is 2, quadratic 4


@pytest.fixture(scope="module")
def cost(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("cover")
    program = safety.link(
        os.environ.get("CC", "cc"), folder / "check", "cover_check.c", [c_programs.core()], "-O1", "-lm"
    )
    return [program, safety.small_tin(folder / "small.tin")]


def told(command: list[Path], *words: str) -> int:
    done = subprocess.run([*command, *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return int(done.stdout)


def test_a_value_costs_what_a_plain_search_of_the_question_says(cost: list[Path]) -> None:
    assert told(cost) == 3000


@pytest.mark.parametrize("words", [2500, 10_000])
def test_twice_the_question_and_the_values_cost_no_more_than_twice_the_time(
    cost: list[Path], words: int
) -> None:
    ratios = [told(cost, str(2 * words)) / told(cost, str(words)) for _ in range(3)]
    assert min(ratios) < ROOM, ratios
