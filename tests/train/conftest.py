"""A tiny model and a task that it learns in seconds; see tiny_training.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_training import PAIRS, make_spec

from tinsmith.data.readers import Example
from tinsmith.spec import Spec


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
