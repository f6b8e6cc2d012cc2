"""The kinds of value of options and arguments: each says in one message what is allowed, and completes it."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from tinsmith.format_names import FORMATS
from tinsmith.system import reading

T = TypeVar("T")

_SHOWN = 60
_LONGEST = 4096  # of a path, on Linux
# With a colon: a module's attribute, such as "tinsmith.targets:ISAS", that a completion imports.
Names = Sequence[str] | str
base_names, tasks, isas = "tinsmith.hub:catalog", "tinsmith.tasks:names", "tinsmith.targets:ISAS"


def shown(value: str) -> str:
    """A value in a message: quoted where it would not be seen as it is, and no longer than a line."""
    short = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
    return short if short.strip() and short.isprintable() else repr(short)


def listed(names: Names) -> list[str]:
    found: list[str] = []
    for name in [names] if isinstance(names, str) else names:
        module, colon, attribute = name.partition(":")
        value = getattr(importlib.import_module(module), attribute) if colon else [name]
        found += value() if callable(value) else value
    return found


def valid(value: T, condition: object) -> T:
    """The value, if the condition holds; raises ValueError if not."""
    if not condition:
        raise ValueError
    return value


def _filled(text: str) -> str:
    """Not empty, as is mostly a shell variable that is not set: no check may be left out for it."""
    return valid(text, text)


class Kind(click.ParamType):  # type: ignore[type-arg]  # not generic before click 8.2
    """name: the metavar, in lower case. allowed: what may be given, after "give ". read: gives the value of a
    text, or raises ValueError. names: those that a shell completes."""

    def __init__(
        self,
        name: str = "text",
        allowed: str = "a text that is not empty",
        read: Callable[[str], Any] = _filled,
        names: Names = (),
    ) -> None:
        self.name, self.allowed, self.read, self.names = name, allowed, read, names

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):  # a default
            return value
        try:
            return self.read(value)
        except ValueError:
            self.fail(f"{shown(value)}: give {self.allowed}", param, ctx)

    def completions(self, incomplete: str) -> Sequence[str | CompletionItem]:
        return listed(self.names)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        items = (
            item if isinstance(item, CompletionItem) else CompletionItem(item)
            for item in self.completions(incomplete)
        )
        return [item for item in items if item.type != "plain" or item.value.startswith(incomplete)]


def Text() -> Kind:
    """Any text, an empty one too."""
    return Kind(allowed="a text", read=str)


def _within(number: float, least: float, most: float = math.inf) -> float:
    return valid(number, least <= number <= most and abs(number) < math.inf)


def Whole(least: float = -math.inf) -> Kind:
    """A count, of at least `least` where that is given."""
    bound = "" if least == -math.inf else f", at least {least}"
    return Kind("n", f"a whole number{bound}", lambda text: _within(int(text), least))


def FileName() -> Kind:
    """What files are called: no path."""
    from tinsmith.tables import NAME

    return Kind(allowed=NAME.allowed, read=lambda text: valid(text, NAME.accepts(text)))


def Number(least: float = -math.inf, most: float = math.inf) -> Kind:
    """Within these bounds, where they are given."""
    bounds = "" if least == -math.inf else f", {least:g} to {most:g}"
    return Kind("x", f"a number{bounds}", lambda text: _within(float(text), least, most))


def Size() -> Kind:
    def read(text: str) -> int:
        from tinsmith.tables import bytes_of

        return bytes_of(int(text) if text.isdecimal() else text)

    return Kind("size", "a number of bytes, or a size such as 16MiB or 90MB", read)


def Pixels() -> Kind:
    """Width and height of an image."""

    def read(text: str) -> tuple[float, float]:
        width, height = (_within(int(side), 1, 65535) for side in text.lower().split("x"))
        return width, height

    return Kind("wxh", "a width and a height in pixels, 1 to 65535 each, such as 640x480", read)


def Wholes() -> Kind:
    """Such as token ids, or numbers of threads."""
    allowed = "whole numbers separated by commas, such as 1,2,3"
    return Kind("1,2", allowed, lambda text: [int(item) for item in text.split(",")])


class Texts(Kind):
    """names: those that a shell completes."""

    def __init__(self, *names: str) -> None:
        super().__init__("a,b", "texts separated by commas, such as a,b", self._items, names)

    def _items(self, text: str) -> list[str]:
        return [item.strip() for item in _filled(text).split(",")]

    def completions(self, incomplete: str) -> list[str]:
        before, comma, _ = incomplete.rpartition(",")
        return [before + comma + name for name in self.names if name not in before.split(",")]


def Labels() -> Kind:
    """Texts separated by commas, or a file of them."""

    def read(text: str) -> list[str]:
        lines = (
            reading.read_text(text).splitlines()
            if "," not in text and os.path.isfile(text)  # noqa: PTH113  pathlib's raises for a long text
            else text.split(",")
        )
        labels = [line.strip() for line in lines if line.strip()]
        return valid(labels, labels)

    return Kind("labels", "labels separated by commas, or a text file with one on each line", read)


def Word(names: Names) -> Kind:
    """One of some names, which what takes it knows: it refuses others, and lists its own."""
    return Kind("name", names=names)


def Format(*more: str) -> Kind:
    """A weight format, in any case, or one of some further names."""
    known = (*FORMATS, *more)
    allowed, names = f"a weight format, one of {', '.join(known)}", [name.lower() for name in known]
    return Kind("format", allowed, lambda text: valid(text.upper(), text.upper() in known), names)


def _path(text: str) -> str:
    return valid(text, text and "\0" not in text and len(text) <= _LONGEST)


class File(Kind):
    """suffixes: the kinds of file that a shell completes; any where none is given. path: whether it is a Path.
    names: what else it may be. out: it is written; rewrites: the parameter whose file it may replace."""

    def __init__(
        self,
        *suffixes: str,
        name: str = "file",
        path: bool = False,
        names: Names = (),
        out: bool = False,
        rewrites: str = "",
    ) -> None:
        super().__init__(name, "a path", (lambda text: Path(_path(text))) if path else _path, names)
        self.suffixes, self.out, self.rewrites = suffixes, out, rewrites

    def completions(self, incomplete: str) -> Sequence[str | CompletionItem]:
        if not self.suffixes:
            return [CompletionItem(incomplete, type="file")]
        return [*listed(self.names), *self.files(incomplete), CompletionItem(incomplete, type="dir")]

    def files(self, incomplete: str) -> Iterator[str]:
        """Those of its kinds, as the user writes their folder; the shell adds folders itself."""
        from tinsmith.system.files import stated

        written, slash, begun = incomplete.rpartition("/")
        folder = stated(written + slash)
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if path.name.startswith(begun) and path.suffix in self.suffixes and path.is_file():
                    yield written + slash + path.name


class Folder(Kind):
    """out: it is written to."""

    def __init__(self, out: bool = False) -> None:
        super().__init__("dir", "a path", lambda text: Path(_path(text)))
        self.out = out

    def completions(self, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="dir")]


def Device(host: bool = False) -> File:
    """A device by name, or a TOML file. host: whether it may be this machine."""
    names = ("tinsmith.targets:names", "host") if host else "tinsmith.targets:names"
    return File(".toml", name="target", names=names)
