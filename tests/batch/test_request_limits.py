"""A row's schema or tools have the same limits as a client's of the server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tinsmith.batch.settings import Settings
from tinsmith.constraint import apart
from tinsmith.errors import ConstraintError
from tinsmith.runtime.images import ImageLimits
from tinsmith.serve.limits import Limits
from tinsmith.system import limited

Run = Callable[..., int]


def slow(count: int) -> dict[str, Any]:
    """A schema whose compiling takes long: about 5 ms a property."""
    return {"properties": {str(k): {"pattern": f"(a|b|ab){{1,40}}c{{2,90}}x{k}"} for k in range(count)}}


def request(name: str, **body: object) -> str:
    asked = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2, **body}
    return json.dumps({"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": asked})


def held(name: str, schema: object) -> str:
    return request(
        name, response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    )


def offering(name: str, parameters: object) -> str:
    function = {"name": "f", "parameters": parameters}
    return request(name, tools=[{"type": "function", "function": function}], tool_choice="required")


def test_a_row_has_the_limits_of_a_request() -> None:
    served, pictures = Limits(), ImageLimits()
    assert (
        served.schema,
        served.automaton,
        served.compile_seconds,
    ) == (apart.SCHEMA, apart.AUTOMATON, apart.SECONDS)
    rows = Settings().images
    for name in ImageLimits.__dataclass_fields__:
        assert getattr(served, name) == getattr(rows, name) == getattr(pictures, name)


@pytest.mark.parametrize("make", [held, offering])
def test_a_row_beyond_a_limit_fails_and_the_others_are_answered(
    make: Callable[[str, object], str], batch: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "SECONDS", 0.5)
    asked = []
    compiled = apart.Apart.compiled
    monkeypatch.setattr(apart.Apart, "compiled", lambda *given: asked.append(1) or compiled(*given))
    large = {"type": "object", "description": "x" * apart.SCHEMA}
    bomb = {"type": "object", **slow(900)}
    small = {"type": "object", "properties": {"a": {"enum": ["b"]}}, "required": ["a"]}
    rows = [
        request("plain"),
        make("large", large),
        make("bomb", bomb),
        make("again", bomb),
        make("small", small),
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(rows) + "\n")
    assert batch(tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--retry", 0) in (0, 1)
    out = {row["custom_id"]: row for row in map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())}
    faults = {name: row["error"] and row["error"]["message"] for name, row in out.items()}
    assert faults["plain"] is None and faults["small"] is None
    assert "bytes; give at most 65,536" in faults["large"]
    assert "compiling takes over 0.5 seconds; simplify it" in faults["bomb"] == faults["again"]
    assert len(asked) == {held: 3, offering: 2}[make]  # what failed is not compiled again


def test_a_process_that_dies_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited, "WALL", 0.01)
    compiler = apart.Apart(seconds=20)
    try:
        assert compiler.compiled({"schema": {"enum": [1]}}).kind == "schema"
        with pytest.raises(ConstraintError, match="compiling takes over 20 seconds"):
            compiler.compiled({"schema": slow(900)})
        monkeypatch.setattr(limited, "WALL", 10)
        assert compiler.compiled({"schema": {"enum": [2]}}).kind == "schema"
    finally:
        compiler.close()
