"""A tiny model and a task that it learns in seconds; see tiny_training.py."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.tiny_recipes import SMALL, parity, write_home
from tests.train.tiny_training import PAIRS, make_spec
from tinsmith.data.readers import Example
from tinsmith.spec import Spec


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of products: which type is measured faster depends on the machine's other work."""
    from tinsmith.train.model import devices

    monkeypatch.setattr(devices, "has_fast_bfloat16", lambda device: False)


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="session")
def imported_for_good() -> None:
    """Garbage is collected before each trial of what a step takes: what is imported is not looked at again."""
    import transformers.modeling_utils  # noqa: F401

    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def spec() -> Spec:
    return make_spec()


@pytest.fixture
def examples() -> list[Example]:
    """Letters to digits: what the answer is can be read off the input."""
    return [Example(f"{first}{second}" * (1 + i % 3), f"{i % 7}") for i, (first, second) in enumerate(PAIRS)]


@pytest.fixture
def events() -> tuple[list[Any], Callable[[Any], None]]:
    seen: list[Any] = []
    return seen, seen.append


@pytest.fixture
def small_recipe(tmp_path: Path) -> Path:
    """A recipe of small.toml that trains, by a method to be stated, and builds one file in seconds."""
    return write_home(tmp_path, SMALL, parity, name="small")
