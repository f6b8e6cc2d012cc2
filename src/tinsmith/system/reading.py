"""Reads text, JSON and TOML from users and files, within limits.

Input must be UTF-8, within a size, and nest at most DEPTH deep. It must not have numbers outside float64's
range or with too many digits, NaN, Infinity, or unpaired surrogates, which can't be written again. Errors are
one line with the file, the line or the path in the value, and what to do. Their class is the caller's `fault`.

json and tomllib are imported where used: opening a tin to run it needs neither, and must be fast.
"""

from __future__ import annotations

import gc
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from tinsmith.errors import InputError, one_line
from tinsmith.system.files import read_faults

DEPTH = 200  # nested tables and lists
SIZE = 1 << 30  # bytes of a file that is read as a whole
SMALL = 1 << 22  # bytes of a handwritten file
LINE = 1 << 26  # bytes of one line, in files of any size
DIGITS = 300  # of a whole number, within float64's range
_SHOWN = 60
_PIECE = 1 << 20

Fault = type[InputError]
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")  # a surrogate as JSON and TOML escape it
# Maps a text so that numbers possibly outside float64's range match one of _LONG.
_SHAPE = bytes.maketrans(b"0123456789E", b"1111111111e")
_LONG = (b"1" * DIGITS, b"e111", b"e+111")
_MOST = 10**DIGITS
_NESTS = f"nests more than {DEPTH} tables and lists"


def read_bytes(path: str | Path, fault: Fault = InputError, *, most: int = SIZE) -> bytes:
    """A whole file. Raises `fault` for a missing or unreadable file, or one larger than `most`."""
    with read_faults(path, fault), Path(path).open("rb") as file:
        data = bytearray()  # grows piece by piece: read(most) would allocate `most` bytes at once
        while len(data) <= most and (piece := file.read(_PIECE)):
            data += piece
    if len(data) > most:
        raise fault(f"{path}: is larger than {most:,} bytes, the limit for such a file")
    return bytes(data)


def lines(path: str | Path, fault: Fault = InputError, *, piece: int | None = None) -> Iterator[bytes]:
    """A file's lines with their ends, without a byte order mark, one in memory at a time. piece: yields pieces
    of that many bytes instead. Raises `fault` as read_bytes does, for a line longer than LINE, and for
    UTF-16."""
    path = Path(path)
    with read_faults(path, fault), path.open("rb") as file:
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


def text(
    data: bytes | bytearray | memoryview, where: str | Path, fault: Fault = InputError, *, exact: bool = False
) -> str:
    """Decodes UTF-8. exact: keeps a byte order mark."""
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
    """A JSON value. line: the number of `given` in its file, where it is one line. unique: refuses duplicate
    keys; otherwise the last one counts. advice: ends each error."""
    import json as reader

    ending = f"; {advice}" if advice else ""
    here = f"{where}:{line}" if line is not None else str(where)
    source = given if isinstance(given, str) else text(given, where, fault)

    def constant(name: str) -> NoReturn:
        raise fault(f"{here}: {name} is no JSON number{ending}")

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(items)
        if len(table) != len(items):
            ((twice, _),) = Counter(key for key, _ in items).most_common(1)
            raise fault(f"{here}: duplicate key {_shown(twice)}{ending}")
        return table

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
    shape = source.encode("utf-8", "surrogatepass").translate(_SHAPE)
    if _ESCAPED.search(source) or any(long in shape for long in _LONG):
        _check_leaves(value, here, fault, ending)
    return value


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without garbage collection: JSON has no cycles, and repeated collections would take several times as long
    as the parser, with all threads waiting."""
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
    """A JSON file with an object at the top."""
    table = read_json(path, fault, unique=unique, advice=advice)
    if not isinstance(table, dict):
        ending = f"; {advice}" if advice else ""
        raise fault(f"{path}: has {kind(table)}, and must have an object{ending}")
    return table


def toml(source: str, where: str | Path, fault: Fault = InputError) -> dict[str, Any]:
    import tomllib

    try:
        value = tomllib.loads(source)
    except RecursionError:
        raise fault(f"{where}: {_NESTS}") from None
    except ValueError as error:  # TOMLDecodeError, and faults of numbers and dates
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
        if isinstance(leaf, str) and _SURROGATE.search(leaf):
            wrong = "has an unpaired surrogate, which is no character"
        elif isinstance(leaf, float) and math.isinf(leaf) and not infinite:
            wrong = "is a number outside float64's range"
        elif isinstance(leaf, int) and abs(leaf) >= _MOST:
            wrong = f"is a number of more than {DIGITS} digits"
        if wrong is not None:
            raise fault(f"{where}: {_place(path, named) or 'the value'} {wrong}{ending}")


def leaves(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key, and every value that is no table or list, with its path: `a.b[2]`."""
    for path, named, leaf in _walked(value):
        yield _place(path, named), leaf


def _walked(value: Any) -> Iterator[tuple[list[str | int], bool, Any]]:
    """As `leaves`: the keys and indices that lead to a value, or to the table of a key; whether it is a key;
    the value or key. Each step changes the same path list: paths as text may be a thousand times as long as
    the values."""
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
    """On one line, shortened."""
    return one_line(value if len(value) <= most else f"{value[:most]}…")
