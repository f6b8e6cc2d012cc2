"""Every family in turn, and a tiny model of it."""

from __future__ import annotations

import pytest
from tiny_models import tiny_spec

from tinsmith.models import Spec
from tinsmith.models.family import Family, families


@pytest.fixture(params=families(), ids=lambda family: family.name)
def family(request: pytest.FixtureRequest) -> Family:
    found: Family = request.param
    return found


@pytest.fixture
def tiny(family: Family) -> Spec:
    return tiny_spec(family)
