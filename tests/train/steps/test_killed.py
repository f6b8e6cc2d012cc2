"""Real processes, killed at random moments (SIGKILL) and begun again: they end with the bytes of one that was
not.

TINSMITH_KILLS is how many kills each meets, 1 unless stated; TINSMITH_KILL_SEED chooses other moments."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.train.killing import CASES, compared, write_home
from tinsmith.train import methods

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    write_home(folder)
    return folder


def test_every_method_is_a_case() -> None:
    assert {case.method for case in CASES.values()} == set(methods.names())


@pytest.mark.parametrize("name", CASES)
def test_a_killed_process_ends_with_the_same_bits(name: str, home: Path) -> None:
    kills, seed = int(os.environ.get("TINSMITH_KILLS", "1")), int(os.environ.get("TINSMITH_KILL_SEED", "0"))
    outcome = compared(home, name, kills, seed)
    print(outcome)
    assert outcome["differing"] == []
