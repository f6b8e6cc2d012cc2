"""Folders of random tiny models, each written once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.vision.vision_models import save_random


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """By case: the folder that transformers wrote, which no test changes."""

    @cache
    def written(case: str) -> Path:
        folder = tmp_path_factory.mktemp(case)
        save_random(case, folder)
        return folder

    return written
