"""Every tiny model in turn, and so every family."""

from __future__ import annotations

import pytest

from tests.models.tiny_models import cases, family_of, tiny_spec
from tinsmith.models import Spec
from tinsmith.models.family import Family


@pytest.fixture(params=cases())
def case(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def family(case: str) -> Family:
    return family_of(case)


@pytest.fixture
def tiny(case: str) -> Spec:
    return tiny_spec(case)
