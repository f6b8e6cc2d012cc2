"""The kinds of value of options and arguments: each says in one message what is allowed, and completes it."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from tinsmith.format_names import FORMATS

_SHOWN = 60
_LONGEST = 4096  # of a path, on Linux
# A str: a module's attribute, such as "tinsmith.targets:ISAS", that a completion imports.
Names = Sequence[str] | str
base_names, tasks, isas = "tinsmith.hub:catalog", "tinsmith.tasks:names", "tinsmith.targets:ISAS"


def shown(value: str) -> str:
    """A value in a message: quoted where it would not be seen as it is, and no longer than a line."""
    short = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
    return short if short.strip() and short.isprintable() else repr(short)


def listed(names: Names) -> Sequence[str]:
    if not isinstance(names, str):
        return names
    module, _, name = names.partition(":")
    found = getattr(importlib.import_module(module), name)
    return list(found() if callable(found) else found)


class Kind(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.2
    """name: the metavar, in lower case. read: the value of a text, or ValueError. allowed: what may be given,
    after "give "."""

    name = "text"
    allowed = "a text that is not empty"

    def read(self, text: str) -> Any:
        if not text:  # mostly a shell variable that is not set: no check may be left out for it
            raise ValueError
        return text

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):  # a default
            return value
        try:
            return self.read(value)
        except ValueError:
            self.fail(f"{shown(value)}: give {self.allowed}", param, ctx)

    def completions(self, incomplete: str) -> Sequence[str | CompletionItem]:
        return ()

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        items = (
            item if isinstance(item, CompletionItem) else CompletionItem(item)
            for item in self.completions(incomplete)
        )
        return [item for item in items if item.type != "plain" or item.value.startswith(incomplete)]


class Text(Kind):
    """Any text, an empty one too."""

    allowed = "a text"

    def read(self, text: str) -> str:
        return text


class Whole(Kind):
    """A count, of at least `least` where that is given."""

    name = "n"

    def __init__(self, least: int | None = None) -> None:
        self.least = least
        self.allowed = "a whole number" if least is None else f"a whole number, at least {least}"

    def read(self, text: str) -> int:
        number = int(text)
        if self.least is not None and number < self.least:
            raise ValueError
        return number


class FileName(Kind):
    """What files are called: no path."""

    def __init__(self) -> None:
        from tinsmith.tables import NAME

        self.kind, self.allowed = NAME, NAME.allowed

    def read(self, text: str) -> str:
        if not self.kind.accepts(text):
            raise ValueError
        return text


class Number(Kind):
    """Within these bounds, where they are given."""

    name = "x"

    def __init__(self, least: float = -math.inf, most: float = math.inf) -> None:
        self.least, self.most = least, most
        self.allowed = "a number" if math.isinf(least) else f"a number, {least:g} to {most:g}"

    def read(self, text: str) -> float:
        number = float(text)
        if not (math.isfinite(number) and self.least <= number <= self.most):
            raise ValueError
        return number


class Size(Kind):
    name = "size"
    allowed = "a number of bytes, or a size such as 16MiB or 90MB"

    def read(self, text: str) -> int:
        from tinsmith.tables import bytes_of

        return bytes_of(int(text) if text.isdecimal() else text)


class Pixels(Kind):
    """Width and height of an image."""

    name = "wxh"
    allowed = "a width and a height in pixels, 1 to 65535 each, such as 640x480"

    def read(self, text: str) -> tuple[int, int]:
        width, height = map(int, text.lower().split("x"))
        if not (0 < width <= 65535 and 0 < height <= 65535):
            raise ValueError
        return width, height


class Wholes(Kind):
    """Such as token ids, or numbers of threads."""

    name = "1,2"
    allowed = "whole numbers separated by commas, such as 1,2,3"

    def read(self, text: str) -> list[int]:
        return [int(item) for item in text.split(",")]


class Texts(Kind):
    """names: those that a shell completes."""

    name = "a,b"
    allowed = "texts separated by commas, such as a,b"

    def __init__(self, *names: str) -> None:
        self.names = names

    def read(self, text: str) -> list[str]:
        return [item.strip() for item in super().read(text).split(",")]

    def completions(self, incomplete: str) -> list[str]:
        before, comma, _ = incomplete.rpartition(",")
        return [before + comma + name for name in self.names if name not in before.split(",")]


class Labels(Kind):
    """Texts separated by commas, or a file of them."""

    name = "labels"
    allowed = "labels separated by commas, or a text file with one on each line"

    def read(self, text: str) -> list[str]:
        from tinsmith.system import reading

        lines = (
            reading.read_text(text).splitlines()
            if "," not in text and os.path.isfile(text)  # noqa: PTH113  pathlib's raises for a long text
            else text.split(",")
        )
        labels = [line.strip() for line in lines if line.strip()]
        if not labels:
            raise ValueError
        return labels


class Word(Kind):
    """One of some names, which what takes it knows: it refuses others, and lists its own."""

    name = "name"

    def __init__(self, names: Names) -> None:
        self.names = names

    def completions(self, incomplete: str) -> Sequence[str]:
        return listed(self.names)


class Format(Kind):
    """A weight format, in any case, or one of some further names."""

    name = "format"

    def __init__(self, *more: str) -> None:
        self.known = (*FORMATS, *more)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = str(value).upper()
        if name not in self.known:
            self.fail(f"{shown(name)}: unknown weight format; give one of {', '.join(self.known)}", param, ctx)
        return name

    def completions(self, incomplete: str) -> list[str]:
        return [name.lower() for name in self.known]


class _Path(Kind):
    allowed = "a path"

    def read(self, text: str) -> Any:
        if not text or "\0" in text or len(text) > _LONGEST:
            raise ValueError
        return text


class File(_Path):
    """suffixes: the kinds of file that a shell completes; any where none is given. path: whether it is a Path.
    names: what else it may be. out: it is written; rewrites: the parameter whose file it may replace."""

    name = "file"

    def __init__(
        self, *suffixes: str, path: bool = False, names: Names = (), out: bool = False, rewrites: str = ""
    ) -> None:
        self.suffixes, self.path, self.names, self.out, self.rewrites = suffixes, path, names, out, rewrites

    def read(self, text: str) -> str | Path:
        return Path(super().read(text)) if self.path else str(super().read(text))

    def completions(self, incomplete: str) -> Sequence[str | CompletionItem]:
        if not self.suffixes:
            return [CompletionItem(incomplete, type="file")]
        return [*self.choices(), *self.files(incomplete), CompletionItem(incomplete, type="dir")]

    def choices(self) -> Sequence[str]:
        return listed(self.names)

    def files(self, incomplete: str) -> Iterator[str]:
        """Those of its kinds, as the user writes their folder; the shell adds folders itself."""
        from tinsmith.system.files import stated

        written, slash, begun = incomplete.rpartition("/")
        folder = stated(written + slash)
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if path.name.startswith(begun) and path.suffix in self.suffixes and path.is_file():
                    yield written + slash + path.name


class Folder(_Path):
    """out: it is written to."""

    name = "dir"

    def __init__(self, out: bool = False) -> None:
        self.out = out

    def read(self, text: str) -> Path:
        return Path(super().read(text))

    def completions(self, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="dir")]


class Device(File):
    """A device by name, or a TOML file. host: whether it may be this machine."""

    name = "target"

    def __init__(self, host: bool = False) -> None:
        super().__init__(".toml", names="tinsmith.targets:names")
        self.host = host

    def choices(self) -> list[str]:
        return [*super().choices(), *(["host"] if self.host else [])]
