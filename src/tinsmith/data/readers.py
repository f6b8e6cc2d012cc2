"""Examples, and our own JSON lines of them: each with an input and the output that is wanted.

    {"input": "lights on", "output": "{\"name\": …}", "accept": ["…"], "part": "seen", "about": {…}}

`input` and `output` are texts and required; `accept` lists other outputs that are as good, `part` names the
part of a test set that the example belongs to, `turns` are those of the conversation before the input, `role`
says that the input is the result of a tool ("tool"), where it is not the user's, `group` names what the example
is one of (a document, a customer) and must not be parted from, `passage` is a text that the answer follows from
and the input leaves out, `image` names the image that the input is about, or several (the input may then be
missing), `about` holds whatever the author wants to note. tinsmith.data.shapes reads what others write.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    """Where an example stands. number: of its line, or its row where there are no lines, from 1; None for a
    file that is one example."""

    path: str
    number: int | None = None
    unit: Literal["line", "row"] = "line"

    def __str__(self) -> str:
        if self.number is None:
            return self.path
        return f"{self.path}:{self.number}" if self.unit == "line" else f"{self.path}: {self.place}"

    @property
    def place(self) -> str:
        """Within what was opened."""
        return Path(self.path).name if self.number is None else f"{self.unit} {self.number}"


@dataclass(frozen=True)
class Turn:
    role: Role
    content: str


@dataclass(frozen=True)
class Example:
    """input and output are stripped: a space copied from a template's edge is never meant. turns: those before
    the input; the first may be a system message, which stands in place of the recipe's; role: whose the input
    is; passage: what a teacher is shown before the input; images: what is shown with the input, which may then
    be empty."""

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
    def asked(self) -> str:
        """All that the answer follows from: the turns, the input, and what its images are known by."""
        shown = (image.known_by for image in self.images)
        return "\n".join([*(turn.content for turn in self.turns), self.input, *shown])

    @property
    def with_passage(self) -> Example:
        """With its passage before the input, as retrieval would have it."""
        return replace(self, input=f"{self.passage}\n\n{self.input}") if self.passage else self


def as_row(example: Example, folder: Path | None = None) -> dict[str, Any]:
    """An example in our own shape, without what says nothing. folder: of the row's file, from which images
    are named."""
    row = asdict(replace(example, where=None, images=()))
    images = [image.as_value(folder) for image in example.images]
    row["image"] = images[0] if len(images) == 1 else tuple(images)
    if images and not example.input:
        del row["input"]
    return {
        key: value for key, value in row.items() if value not in (None, ()) and (key, value) != ("role", "user")
    }


def read_jsonl(path: str | Path) -> list[Example]:
    """Every example of a JSON-lines file in our own shape; blank lines are skipped.

    Raises DataError, naming the file, the line and what was expected, at the first line that is not an example,
    and for a file that has none.
    """
    path = Path(path)
    examples = []
    for number, line in lines(path):
        row = reading.json(line, path, DataError, line=number, unique=True, advice=_FORM)
        where = Where(str(path), number)
        if not isinstance(row, dict):
            got = reading.kind(row)
            raise DataError(f'{where}: got {got}; each line is an object with "input" and "output"')
        for key in row:
            if key not in KEYS:
                raise DataError(f'{where}: unknown key "{key}"; an example takes {", ".join(KEYS)}')
        examples.append(example(row, where))
    if not examples:
        raise DataError(f'{path}: holds no example; write one a line: {{"input": "…", "output": "…"}}')
    return examples


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbers and texts of a file's lines that are not blank. Raises DataError for one that is not UTF-8."""
    for number, line in enumerate(reading.lines(path, DataError), 1):
        text = decoded(line, path, number)
        if text.strip():
            yield number, text


def decoded(line: bytes, path: Path, number: int) -> str:
    """Raises DataError for a line that is not UTF-8, or holds a NUL."""
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
    """Of a row in our own shape, whose keys are KEYS. shown: whether images that the row does not have here
    are shown with it."""
    accept = row.get("accept", [])
    if not isinstance(accept, list) or not all(isinstance(text, str) for text in accept):
        raise DataError(f'{where}: "accept" must be a list of texts, got {reading.kind(accept)}')
    about = row.get("about", {})
    for key in ("part", "group", "passage"):
        if not (row.get(key) is None or isinstance(row[key], str)):
            raise DataError(f'{where}: "{key}" must be a text, got {reading.kind(row[key])}')
    if not isinstance(about, dict):
        raise DataError(f'{where}: "about" must be an object, got {reading.kind(about)}')
    images = of_value(row.get("image"), Path(where.path).parent, where, "image")
    return Example(
        input=text_of(row, "input", where) if row.get("input") or not (images or shown) else "",
        output=text_of(row, "output", where),
        accept=tuple(text.strip() for text in accept),
        part=row.get("part"),
        about=about,
        turns=_turns(row.get("turns", []), where),
        role=_role(row.get("role", "user"), where),
        group=row.get("group"),
        passage=row.get("passage"),
        images=images,
        where=where,
    )


def asked(row: dict[str, Any], where: Where, shown: bool = False) -> Example:
    """Of a row in our own shape that is to be answered: its output may be missing, and is not read. shown: as
    of example."""
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


def _role(value: Any, where: Where) -> Role:
    if value not in ("user", "tool"):
        raise DataError(f'{where}: "role" is that of the input, "user" or "tool"')
    return "tool" if value == "tool" else "user"


def text_of(
    row: dict[str, Any], key: str, where: str | Where, needs: str = 'an example needs "input" and "output"'
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
