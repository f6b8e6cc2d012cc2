"""Lines of a stream, for clients that split text where Unicode ends a line (httpx's iter_lines)."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("starlette")

from tinsmith.serve.api.ollama import _line
from tinsmith.serve.endpoint import JsonResponse, sse

VALUE = {"type": "delta", "text": "a\x85b\u2028c\u2029d\x0be\x1cf\r\ng, ä"}


def test_json_is_one_line() -> None:
    for data, prefix in (
        (sse(VALUE), "data: "),
        (_line(VALUE), ""),
        (bytes(JsonResponse(VALUE).body), ""),
    ):
        lines = [line for line in data.decode().splitlines() if line and not line.startswith("event: ")]
        assert len(lines) == 1
        assert json.loads(lines[0].removeprefix(prefix)) == VALUE
