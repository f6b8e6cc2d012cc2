"""The tools in a column of rows, as in every row of OpenAI's fine-tuning files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinsmith.data import containers
from tinsmith.data.containers.folders import sources
from tinsmith.data.readers import Where
from tinsmith.errors import DataError
from tinsmith.system import reading

COLUMN = "tools"
_FORM = "a list of tools in OpenAI's shape"


def has_rows(path: Path) -> bool:
    """Whether the file holds rows; a .json file is the list of tools itself."""
    suffix = path.suffix.lower()
    return suffix in containers.suffixes() and suffix != ".json"


def tools_of_rows(path: Path) -> list[Any]:
    """Each tool once, in the order of the rows. Raises DataError for a row that can't be read, for rows without
    tools, and for two different tools of one name."""
    found: dict[str, Any] = {}
    for source in sources(path).values():
        for row in source.rows():
            if isinstance(row.values, DataError):
                raise row.values
            for name, tool in _named(row.values, row.where):
                if found.setdefault(name, tool) != tool:
                    raise DataError(f'{row.where}: the tool "{name}" is another one than in an earlier row')
    if not found:
        raise DataError(f'{path}: no row has "{COLUMN}"; give a JSON file, {_FORM}')
    return list(found.values())


def _named(values: Mapping[str, Any], where: Where) -> list[tuple[str, Any]]:
    listed = values.get(COLUMN) or []
    if isinstance(listed, str):  # as ShareGPT's files have it
        listed = reading.json(listed, f'{where}: "{COLUMN}"', DataError, unique=True)
    try:
        return [(str(tool.get("function", tool)["name"]), tool) for tool in listed]
    except (AttributeError, KeyError, TypeError):
        raise DataError(f'{where}: "{COLUMN}" must be {_FORM}') from None
