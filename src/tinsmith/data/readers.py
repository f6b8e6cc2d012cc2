"""Examples, and tinsmith's own JSON lines of them: each with an input and the wanted output.

    {"input": "lights on", "output": "{\"name\": …}", "accept": ["…"], "part": "seen", "about": {…}}

`input` and `output` are required texts. `accept` lists other outputs that are as good. `part` names the part of
a test set. `turns` are the conversation before the input. `role` is "tool" if the input is a tool's result.
`group` names a document or customer, whose examples stay in one split. `passage` is a text that the answer
follows from and the input omits. `image` names one or several images; the input may then be missing. `about`
holds the author's notes. tinsmith.data.shapes reads other shapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from tinsmith.data.images import ImageSource, of_value
from tinsmith.errors import DataError
from tinsmith.system import reading

_FORM = 'each line is one object such as {"input": "…", "output": "…"}'
KEYS = ("input", "output", "accept", "part", "turns", "role", "group", "passage", "image", "about")
Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Where:
    """The place of an example. number: of its line, or of its row in a file without lines, from 1; None for a
    file with one example."""

    path: str
    number: int | None = None
    unit: Literal["line", "row"] = "line"

    def __str__(self) -> str:
        if self.number is None:
            return self.path
        return f"{self.path}:{self.number}" if self.unit == "line" else f"{self.path}: {self.place}"

    @property
    def place(self) -> str:
        """Within the opened file or folder."""
        return Path(self.path).name if self.number is None else f"{self.unit} {self.number}"


@dataclass(frozen=True)
class Turn:
    role: Role
    content: str


@dataclass(frozen=True)
class Example:
    """input and output are stripped. turns: before the input; a first system message replaces the recipe's.
    role: of the input. passage: shown to a teacher before the input. images: shown with the input, which may
    then be empty."""

    input: str
    output: str
    accept: tuple[str, ...] = ()
    part: str | None = None
    about: dict[str, Any] = field(default_factory=dict, compare=False)
    turns: tuple[Turn, ...] = ()
    role: Role = "user"
    group: str | None = field(default=None, compare=False)
    passage: str | None = None
    images: tuple[ImageSource, ...] = ()
    where: Where | None = field(default=None, compare=False)

    @property
    def prompt(self) -> str:
        """The whole prompt: turns, input and identities of the images."""
        images = (image.identity for image in self.images)
        return "\n".join([*(turn.content for turn in self.turns), self.input, *images])

    @property
    def with_passage(self) -> Example:
        """With its passage before the input, as in retrieval."""
        return replace(self, input=f"{self.passage}\n\n{self.input}") if self.passage else self


def as_row(example: Example, folder: Path | None = None) -> dict[str, Any]:
    """An example as a row in tinsmith's shape, without defaults. folder: of the row's file, for image paths."""
    row = asdict(replace(example, where=None, images=()))
    images = [image.as_value(folder) for image in example.images]
    row["image"] = images[0] if len(images) == 1 else tuple(images)
    if images and not example.input:
        del row["input"]
    return {
        key: value for key, value in row.items() if value not in (None, ()) and (key, value) != ("role", "user")
    }


def read_jsonl(path: str | Path) -> list[Example]:
    """Every example of a JSON-lines file in tinsmith's shape; blank lines are skipped.

    Raises DataError, with the file and line, at the first line that is not an example, and for an empty file.
    """
    path = Path(path)
    takes = f"an example takes {', '.join(KEYS)}"
    examples = [example(row, where) for where, row in rows_of(path, KEYS, _FORM, takes)]
    if not examples:
        raise DataError(f'{path}: holds no example; write one a line: {{"input": "…", "output": "…"}}')
    return examples


def rows_of(path: Path, keys: Sequence[str], form: str, takes: str) -> Iterator[tuple[Where, dict[str, Any]]]:
    """As `objects`. Raises DataError for a key that is not in `keys`, with the advice `takes`."""
    for where, row in objects(path, form):
        for key in row:
            if key not in keys:
                raise DataError(f'{where}: unknown key "{key}"; {takes}')
        yield where, row


def objects(path: Path, form: str) -> Iterator[tuple[Where, dict[str, Any]]]:
    """The objects of a JSON-lines file without blank lines. Raises DataError for another line, with the advice
    `form`."""
    for number, line in enumerate(reading.lines(path, DataError), 1):
        if line.strip():
            where = Where(str(path), number)
            yield where, parsed(decoded(line, path, number), where, form)


def parsed(text: str, where: Where, form: str) -> dict[str, Any]:
    """The object of a row's JSON. Raises DataError for other JSON, with the advice `form`."""
    place, line = (where.path, where.number) if where.unit == "line" else (str(where), None)
    row = reading.json(text, place, DataError, line=line, unique=True, advice=form)
    if not isinstance(row, dict):
        raise DataError(f"{where}: got {reading.kind(row)}; {form}")
    return row


def decoded(line: bytes, path: Path, number: int) -> str:
    """Raises DataError for a line that is not UTF-8, or has a NUL."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}:{number}: byte {error.start + 1} is not UTF-8; save the file as UTF-8"
        ) from None
    if "\0" in text:
        raise DataError(
            f"{path}:{number}: column {text.index(chr(0)) + 1} is a NUL character, which no text has; the file "
            "is damaged, or UTF-16: save it as UTF-8"
        )
    return text


def example(row: dict[str, Any], where: Where, shown: bool = False) -> Example:
    """The example of a row with keys of KEYS. shown: whether its images come from elsewhere."""
    accept, about = row.get("accept", []), row.get("about", {})
    if not isinstance(accept, list) or not all(isinstance(text, str) for text in accept):
        raise DataError(f'{where}: "accept" must be a list of texts, got {reading.kind(accept)}')
    for key in ("part", "group", "passage"):
        if not (row.get(key) is None or isinstance(row[key], str)):
            raise DataError(f'{where}: "{key}" must be a text, got {reading.kind(row[key])}')
    if not isinstance(about, dict):
        raise DataError(f'{where}: "about" must be an object, got {reading.kind(about)}')
    role = row.get("role", "user")
    if role not in ("user", "tool"):
        raise DataError(f'{where}: "role" is that of the input, "user" or "tool"')
    images = of_value(row.get("image"), Path(where.path).parent, where, "image")
    return Example(
        input=text_of(row, "input", where) if row.get("input") or not (images or shown) else "",
        output=text_of(row, "output", where),
        accept=tuple(text.strip() for text in accept),
        part=row.get("part"),
        about=about,
        turns=_turns(row.get("turns", []), where),
        role="tool" if role == "tool" else "user",
        group=row.get("group"),
        passage=row.get("passage"),
        images=images,
        where=where,
    )


def unanswered(row: dict[str, Any], where: Where, shown: bool = False) -> Example:
    """The example of a row without an output; `shown` as in `example`."""
    return replace(example({**row, "output": "none"}, where, shown), output="")


def _turns(value: Any, where: Where) -> tuple[Turn, ...]:
    turns: list[Any] = value if isinstance(value, list) else [None]
    for turn in turns:
        if not isinstance(turn, dict) or turn.keys() != {"role", "content"} or turn["role"] not in ROLES:
            raise DataError(
                f'{where}: "turns" must be a list of {{"role": "…", "content": "…"}}, of the roles '
                f"{', '.join(ROLES)}"
            )
    return tuple(Turn(turn["role"], text_of(turn, "content", where, "a turn needs it")) for turn in turns)


def text_of(
    row: dict[str, Any], key: str, where: str | Where, needs: str = 'an example needs "input" and "output"'
) -> str:
    """The text of a required key, stripped. Raises DataError without one; needs: how the message ends."""
    if key not in row:
        raise DataError(f'{where}: "{key}" is missing; {needs}')
    value = row[key]
    if not isinstance(value, str):
        hint = "; write the JSON answer as a text" if isinstance(value, dict | list) else ""
        raise DataError(f'{where}: "{key}" must be a text, got {reading.kind(value)}{hint}')
    if not value.strip():
        raise DataError(f'{where}: "{key}" is empty; write a text')
    return value.strip()
