"""/openapi.json describes the server correctly: Schemathesis tests it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi_checks

from tests.serve.served import ASKED, Running, running
from tinsmith.serve import app
from tinsmith.serve.limits import Limits

CASES = int(os.environ.get("TINSMITH_SCHEMA_CASES", "120"))  # in all
CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.negative_data_rejection,
]


@pytest.fixture(scope="module")
def small(files: list[Path]) -> Iterator[Running]:
    """Whose answers are short, and whose schemas are quickly given up."""
    with running(files[:1], Limits(tokens=8, compile_seconds=0.5, schema=4096), slots=4, context=512) as made:
        yield made


def held(document: schemathesis.BaseSchema, each: int) -> int:
    """Asks so many times for each operation; how often in all."""
    asked = 0
    for operation in document.get_all_operations():
        for mode in GenerationMode:

            @given(case=operation.ok().as_strategy(generation_mode=mode))
            @settings(
                max_examples=each,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def one(case: Case) -> None:
                nonlocal asked
                asked += 1
                case.call_and_validate(checks=CHECKS, timeout=30)

            with suppress(Unsatisfiable):  # nothing can be wrong with what takes nothing
                one()
    return asked


def test_server_conforms_to_openapi(small: Running) -> None:
    """No error of the server's own, no answer that is not described, nothing wrong that is taken."""
    document = schemathesis.openapi.from_url(f"{small.url}/openapi.json")
    operations = [one.ok().label for one in document.get_all_operations()]
    assert len(operations) == len(app.ENDPOINTS), operations
    assert held(document, max(1, CASES // (2 * len(operations)))) > 0.5 * CASES
    assert small.idle()
    assert small.state.models[0].worker.failed == 0


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/v1/chat/completions", {"messages": ASKED}),
        ("/v1/completions", {"prompt": "in"}),
        ("/v1/responses", {"input": "in"}),
        ("/v1/messages", {"messages": ASKED, "max_tokens": 4}),
        ("/api/chat", {"messages": ASKED}),
        ("/api/generate", {"prompt": "in"}),
    ],
)
def test_streams_conform_to_openapi(small: Running, path: str, given: dict[str, Any]) -> None:
    document = schemathesis.openapi.from_url(f"{small.url}/openapi.json")
    body = {"model": "tiny", "stream": True, **given}
    case = document[path]["POST"].Case(body=body, media_type="application/json")
    assert case.call_and_validate(checks=CHECKS, timeout=30).status_code == 200
