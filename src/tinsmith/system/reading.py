"""Text, JSON and TOML of a user or a file, read with limits: the one place that does.

What comes from outside is UTF-8, of a size, nests no deeper than DEPTH, has no number that float64 can't hold
or that takes long to read, no NaN or Infinity, and no half of a surrogate pair, which nothing could write
again. A fault is an error of one line with the file, the line or the place in the value, and what to do. Errors
are of the class that the caller gives as `fault`.

json and tomllib are imported where they are used: opening a tin to run it needs neither, and should be quick.
"""

from __future__ import annotations

import gc
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from tinsmith.errors import InputError, one_line

DEPTH = 200  # tables and lists in one another
SIZE = 1 << 30  # bytes of a file that is read as a whole
SMALL = 1 << 22  # of a file that people write
LINE = 1 << 26  # of one line, where a file of any size is read by its lines
DIGITS = 300  # of a whole number: float64 holds no more
_SHOWN = 60
_PIECE = 1 << 20

Fault = type[InputError]
# A surrogate as JSON and TOML escape it.
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# Of a text, what numbers are made of, and what one has there that may be past float64.
_SHAPE = bytes.maketrans(b"0123456789E", b"1111111111e")
_LONG = (b"1" * DIGITS, b"e111", b"e+111")
_MOST = 10**DIGITS
_NESTS = f"nests more than {DEPTH} tables and lists in one another"


def read_bytes(path: str | Path, fault: Fault = InputError, *, most: int = SIZE) -> bytes:
    """A file as a whole. Raises `fault` where there is none, it can't be read, or it is larger than `most`."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = bytearray()  # grows with what is there: read(n) takes memory for n at once
            while len(data) <= most and (piece := file.read(_PIECE)):
                data += piece
    except FileNotFoundError:
        raise fault(f"{path}: no such file; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise fault(f"{path}: cannot read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > most:
        raise fault(f"{path}: is larger than {most:,} bytes, which is the most that is read of such a file")
    return bytes(data)


def lines(path: str | Path, fault: Fault = InputError, *, piece: int | None = None) -> Iterator[bytes]:
    """A file's lines with their ends, one in memory at a time; no byte order mark. piece: or pieces of so many
    bytes, wherever its lines end. Raises `fault` as read_bytes does, for a line longer than LINE, and for
    UTF-16."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            take, most = (file.readline, LINE + 1) if piece is None else (file.read, piece)
            line = take(most)
            if line[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise fault(f"{path}: is UTF-16; save it as UTF-8: iconv -f UTF-16 -t UTF-8 {path.name}")
            line, number = line.removeprefix(b"\xef\xbb\xbf"), 1
            while line:
                if len(line) > LINE:
                    raise fault(f"{path}:{number}: the line is longer than {LINE:,} bytes; break it up")
                yield line
                line, number = take(most), number + 1
    except FileNotFoundError:
        raise fault(f"{path}: no such file; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise fault(f"{path}: cannot read: {getattr(error, 'strerror', None) or error}") from None


def text(
    data: bytes | bytearray | memoryview, where: str | Path, fault: Fault = InputError, *, exact: bool = False
) -> str:
    """UTF-8; a byte order mark is dropped, but where the text is to be exact."""
    raw = bytes(data)
    try:
        return (raw if exact else raw.removeprefix(b"\xef\xbb\xbf")).decode("utf-8")
    except UnicodeDecodeError as error:
        if b"\0" in raw and raw[:2] not in (b"\xff\xfe", b"\xfe\xff"):
            raise fault(f"{where}: is a binary file, not text; check the path") from None
        line = raw.count(b"\n", 0, error.start) + 1
        raise fault(f"{where}:{line}: not UTF-8 text at byte {error.start}; save it as UTF-8") from None


def read_text(path: str | Path, fault: Fault = InputError, *, most: int = SIZE, exact: bool = False) -> str:
    return text(read_bytes(path, fault, most=most), path, fault, exact=exact)


def json(
    given: str | bytes | bytearray | memoryview,
    where: str | Path,
    fault: Fault = InputError,
    *,
    line: int | None = None,
    unique: bool = False,
    advice: str = "",
) -> Any:
    """A JSON value. line: of the file, where `given` is one line of it. unique: no key stands twice in a table;
    else the last one counts, as everywhere. advice: how an error ends."""
    import json as reader

    ending = f"; {advice}" if advice else ""
    here = f"{where}:{line}" if line is not None else str(where)
    source = given if isinstance(given, str) else text(given, where, fault)

    def constant(name: str) -> NoReturn:
        raise fault(f"{here}: {name} is no JSON number{ending}")

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) != len(items):
            seen: set[str] = set()
            twice = next(key for key, _ in items if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise fault(f"{here}: the key {_shown(twice)} stands twice in a table{ending}")
        return made

    try:
        with _uncollected():
            value = reader.loads(source, parse_constant=constant, object_pairs_hook=pairs if unique else None)
    except reader.JSONDecodeError as error:
        at = here if line is not None or "\n" not in source.rstrip() else f"{where}:{error.lineno}"
        raise fault(f"{at}: not JSON at column {error.colno}: {error.msg}{ending}") from None
    except RecursionError:
        raise fault(f"{here}: {_NESTS}{ending}") from None
    except ValueError:
        raise fault(f"{here}: a number has more than {DIGITS} digits{ending}") from None
    _check_depth(value, here, fault, ending)
    if _SURROGATE.search(source) or _may_be_long(source):
        _check_leaves(value, here, fault, ending)
    return value


def _may_be_long(source: str) -> bool:
    shape = source.encode("utf-8", "surrogatepass").translate(_SHAPE)
    return any(long in shape for long in _LONG)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector of cycles, of which new JSON has none: it would look through all that is there
    again and again, which takes several times as long as to read it, while all threads wait."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def read_json(
    path: str | Path, fault: Fault = InputError, *, most: int = SIZE, unique: bool = False, advice: str = ""
) -> Any:
    return json(read_bytes(path, fault, most=most), path, fault, unique=unique, advice=advice)


def read_table(
    path: str | Path, fault: Fault = InputError, *, unique: bool = False, advice: str = ""
) -> dict[str, Any]:
    """A JSON file that holds a table."""
    table = read_json(path, fault, unique=unique, advice=advice)
    if not isinstance(table, dict):
        ending = f"; {advice}" if advice else ""
        raise fault(f"{path}: holds {kind(table)}, and should hold a table{ending}")
    return table


def toml(source: str, where: str | Path, fault: Fault = InputError) -> dict[str, Any]:
    import tomllib

    try:
        value = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise fault(f"{where}: not valid TOML: {_shown(str(error), 200)}") from None
    except RecursionError:
        raise fault(f"{where}: {_NESTS}") from None
    except ValueError as error:  # of numbers and dates
        raise fault(f"{where}: not valid TOML: {_shown(str(error), 200)}") from None
    _check_depth(value, str(where), fault, "")
    _check_leaves(value, str(where), fault, "", infinite=True)
    return value


def kind(value: Any) -> str:
    """The type of a value in JSON's words; of another Python value, its type's name."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    other = "a number" if isinstance(value, int | float) else f"a value of type {type(value).__name__}"
    return names.get(type(value), other)


def _check_depth(value: Any, where: str, fault: Fault, ending: str) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(DEPTH):
        if not level:
            return
        inside = (one.values() if isinstance(one, dict) else one for one in level)
        level = [inner for items in inside for inner in items if isinstance(inner, dict | list)]
    if level:
        raise fault(f"{where}: {_NESTS}{ending}")


def _check_leaves(value: Any, where: str, fault: Fault, ending: str, *, infinite: bool = False) -> None:
    for path, named, leaf in _walked(value):
        wrong = None
        if isinstance(leaf, str) and not _whole(leaf):
            wrong = "holds half of a surrogate pair, which is no character"
        elif isinstance(leaf, float) and math.isinf(leaf) and not infinite:
            wrong = "is a number past what float64 holds"
        elif isinstance(leaf, int) and abs(leaf) >= _MOST:
            wrong = f"is a number of more than {DIGITS} digits"
        if wrong is not None:
            raise fault(f"{where}: {_place(path, named) or 'the value'} {wrong}{ending}")


def _whole(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def leaves(value: Any) -> Iterator[tuple[str, Any]]:
    """Every value that is no table or list, and every key, with its place: `a.b[2]`."""
    for path, named, leaf in _walked(value):
        yield _place(path, named), leaf


def _walked(value: Any) -> Iterator[tuple[list[str | int], bool, Any]]:
    """As `leaves`, in three: the keys and indices that lead to a value, or to the table of a key; whether it is
    a key; itself. The path is one list that changes with each step: a place is written for a fault alone, since
    places may be a thousand times as long as the values."""
    path: list[str | int] = [""]
    levels: list[Iterator[tuple[str | int, Any]]] = [iter([("", value)])]
    while levels:
        step = next(levels[-1], None)
        if step is None:
            levels.pop()
            path.pop()
            continue
        path[-1], one = step
        if isinstance(one, dict):
            for key in one:
                yield path, True, key
            levels.append(iter(one.items()))
            path.append("")
        elif isinstance(one, list):
            levels.append(iter(enumerate(one)))
            path.append(0)
        else:
            yield path, False, one


def _place(path: Sequence[str | int], named: bool) -> str:
    place = ""
    for part in path[1:]:
        if isinstance(part, int):
            place += f"[{part}]"
        else:
            place += f".{_shown(part)}" if place else _shown(part)
    return f"a key in {place or 'the table'}" if named else place


def _shown(value: str, most: int = _SHOWN) -> str:
    """On one line, and not too long."""
    return one_line(value if len(value) <= most else f"{value[:most]}…")
