"""A tiny model as a GGUF with the tin of the same weights beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.tiny_bench import make_spec
from tinsmith import models, quant
from tinsmith.compiler import build_tin
from tinsmith.models import Spec


@pytest.fixture(scope="session")
def spec() -> Spec:
    return quant.apply(make_spec(), "Q8_0")


@pytest.fixture(scope="session")
def gguf(spec: Spec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "tiny-q8_0.gguf"
    models.save_gguf(spec, path)
    return path


@pytest.fixture(scope="session")
def tin(spec: Spec, gguf: Path) -> Path:
    path = gguf.with_name("sealed.tin")
    build_tin(spec, path)
    return path
