"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tinsmith import hub


@pytest.fixture(scope="session")
def base_gguf() -> Path:
    """SmolLM2-135M-Instruct (Q4_1): TINSMITH_BASE_GGUF if set, else pulled into the usual cache."""
    given = os.environ.get("TINSMITH_BASE_GGUF")
    return Path(given) if given else hub.pull("smollm2-135m-instruct")
