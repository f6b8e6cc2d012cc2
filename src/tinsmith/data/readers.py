"""Reads examples: JSON lines, each with an input and the output that is wanted.

    {"input": "lights on", "output": "{\"name\": …}", "accept": ["…"], "part": "seen", "about": {…}}

`input` and `output` are texts and required; `accept` lists other outputs that are as good, `part` names the
part of a test set that the example belongs to, `about` holds whatever the author wants to note.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinsmith.errors import DataError
from tinsmith.system import reading

_FORM = 'each line is one object such as {"input": "…", "output": "…"}'
KEYS = ("input", "output", "accept", "part", "about")


@dataclass(frozen=True)
class Example:
    """input and output are stripped: a space copied from a template's edge is never meant."""

    input: str
    output: str
    accept: tuple[str, ...] = ()
    part: str | None = None
    about: dict[str, Any] = field(default_factory=dict, compare=False)


def read_jsonl(path: str | Path) -> list[Example]:
    """Every example of a JSON-lines file; blank lines are skipped.

    Raises DataError, naming the file, the line and what was expected, at the first line that is not an example,
    and for a file that has none.
    """
    path = Path(path)
    examples = [_example(line, str(path), number) for number, line in lines(path)]
    if not examples:
        raise DataError(f'{path}: holds no example; write one a line: {{"input": "…", "output": "…"}}')
    return examples


def example_of(line: bytes, path: Path, number: int) -> Example:
    """That of one line of a file. Raises DataError, naming file and line, for what is none."""
    return _example(_decoded(line, path, number), str(path), number)


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbers and texts of a file's lines that are not blank. Raises DataError for one that is not UTF-8."""
    raw = reading.read_bytes(path, DataError)
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        text = _decoded(line, path, number)
        if text.strip():
            yield number, text


def _decoded(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}:{number}: byte {error.start + 1} is not UTF-8; save the file as UTF-8"
        ) from None


def _example(line: str, where: str, number: int) -> Example:
    row = reading.json(line, where, DataError, line=number, unique=True, advice=_FORM)
    where = f"{where}:{number}"
    if not isinstance(row, dict):
        raise DataError(f'{where}: got {reading.kind(row)}; each line is an object with "input" and "output"')
    for key in row:
        if key not in KEYS:
            raise DataError(f'{where}: unknown key "{key}"; an example takes {", ".join(KEYS)}')
    accept = row.get("accept", [])
    if not isinstance(accept, list) or not all(isinstance(text, str) for text in accept):
        raise DataError(f'{where}: "accept" must be a list of texts, got {reading.kind(accept)}')
    part, about = row.get("part"), row.get("about", {})
    if not (part is None or isinstance(part, str)):
        raise DataError(f'{where}: "part" must be a text, got {reading.kind(part)}')
    if not isinstance(about, dict):
        raise DataError(f'{where}: "about" must be an object, got {reading.kind(about)}')
    return Example(
        input=text_of(row, "input", where),
        output=text_of(row, "output", where),
        accept=tuple(text.strip() for text in accept),
        part=part,
        about=about,
    )


def text_of(
    row: dict[str, Any], key: str, where: str, needs: str = 'an example needs "input" and "output"'
) -> str:
    """The text of a required key, stripped. Raises DataError where there is none; needs: what the row should
    have, in words."""
    if key not in row:
        raise DataError(f'{where}: "{key}" is missing; {needs}')
    value = row[key]
    if not isinstance(value, str):
        hint = "; write the JSON answer as a text" if isinstance(value, dict | list) else ""
        raise DataError(f'{where}: "{key}" must be a text, got {reading.kind(value)}{hint}')
    if not value.strip():
        raise DataError(f'{where}: "{key}" is empty; write a text')
    return value.strip()
