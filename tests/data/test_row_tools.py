"""Tools that the rows of a file name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tinsmith.data.row_tools import has_rows, tools_of_rows
from tinsmith.errors import DataError


def tool(name: str, *required: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"required": list(required)}}}


def rows(folder: Path, *tools: Any) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"messages": [], "tools": listed}) + "\n" for listed in tools))
    return path


def test_each_tool_comes_once(tmp_path: Path) -> None:
    a, b = tool("a"), tool("b", "x")
    assert tools_of_rows(rows(tmp_path, [a], [b, a], None, json.dumps([b]))) == [a, b]
    bare = a["function"]
    assert tools_of_rows(rows(tmp_path, [bare])) == [bare]


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ([[tool("a")], [tool("a", "x")]], 'rows.jsonl:2: the tool "a" is another one than in an earlier row'),
        ([[], None], 'rows.jsonl: no row has "tools"; give a JSON file'),
        ([[tool("a")], [3]], 'rows.jsonl:2: "tools" must be a list of tools'),
        ([[{"type": "function"}]], 'rows.jsonl:1: "tools" must be a list of tools'),
        (["[{"], 'rows.jsonl:1: "tools": not JSON at column'),
    ],
)
def test_what_is_no_list_of_tools_says_so(tools: list[Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        tools_of_rows(rows(tmp_path, *tools))
    assert str(caught.value).startswith(str(tmp_path / said))


def test_a_json_file_is_the_list_itself() -> None:
    assert [has_rows(Path(name)) for name in ("t.json", "t", "t.jsonl", "t.parquet")] == [
        False,
        False,
        True,
        True,
    ]
