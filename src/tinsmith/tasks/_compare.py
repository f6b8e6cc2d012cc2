"""Normalizes values as a schema says: dates, numbers, money and texts, however they are written.

`"x-compare"` in a part of a schema is "date", "number", "money", "text" or "exact". Its default is "date" for
the format "date", and "exact" for all else. A value that can't be read so is compared exactly."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Hashable, Iterator, Mapping
from datetime import date as Date
from decimal import Decimal
from typing import Any

from tinsmith.chat.tool_formats.kinds import resolved
from tinsmith.errors import DataError

KEYWORD = "x-compare"
ITEM = "[]"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATES = (
    r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})(?:[t ].*)?",
    r"(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?(?P<year>\d{4})",
    r"(?P<day>\d{1,2})[. -]+(?P<month>[a-z]+)[.,]?[ -]+(?P<year>\d{4})",
    r"(?P<month>[a-z]+)\.? +(?P<day>\d{1,2}),? +(?P<year>\d{4})",
)
_SYMBOLS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY", "₹": "INR", "US$": "USD", "CHF": "CHF"}
_NUMBER = re.compile(r"[+-]?\d[\d.,'\s]*")


def date(text: str) -> Date | None:
    """2026-11-28, 28.11.2026, 28 November 2026, Nov 28th, 2026; 28/11/2026 and 11/28/2026 if both orders can't
    give different dates."""
    words = re.sub(r"(?<=\d)(st|nd|rd|th)\b", "", text.strip().lower())
    for pattern in _DATES:
        if match := re.fullmatch(pattern, words):
            return _date(**match.groupdict())
    if match := re.fullmatch(r"(\d{1,2})[-/](\d{1,2})[-/](\d{4})", words):
        first, second, year = match.groups()
        found = {_date(year, first, second), _date(year, second, first)} - {None}
        return found.pop() if len(found) == 1 else None
    return None


def _date(year: str, month: str, day: str) -> Date | None:
    """month: a number, or a name or its beginning."""
    try:
        number = int(month) if month.isdecimal() else _MONTHS.index(month[:3]) + 1
        return Date(int(year), number, int(day))
    except ValueError:
        return None


def number(value: Any) -> Decimal | None:
    """40, 1,234.50, 1.234,50 and 1 234.5. With one kind of separator, a comma before three digits separates
    thousands, and a single point is a decimal point."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(str(value))
    text = str(value).strip()
    if not _NUMBER.fullmatch(text):
        return None
    digits = re.sub(r"[\s']", "", text)
    last = max(digits.rfind("."), digits.rfind(","))
    separator = digits[last] if last >= 0 else ""
    alone = bool(separator) and ("," if separator == "." else ".") not in digits
    if alone and (digits.count(separator) > 1 or (separator == "," and len(digits) - last == 4)):
        last = -1  # all separate thousands
    whole, rest = (digits[:last], digits[last + 1 :]) if last >= 0 else (digits, "")
    plain = re.sub(r"[.,]", "", whole)
    return Decimal(f"{plain}.{rest}" if rest else plain)


def money(value: Any) -> tuple[Decimal, str] | None:
    """An amount and its currency by ISO 4217, or an empty one."""
    text = str(value).strip()
    match = re.fullmatch(r"([^\d+-]*)([+-]?\d[\d.,'\s]*?)\s*([^\d\s]*)", text)
    amount = number(value if match is None else match[2])
    if amount is None or match is None:
        return None if amount is None else (amount, "")
    written = (match[1].strip() or match[3].strip()).upper()
    currency = _SYMBOLS.get(written, written)
    return (amount, currency) if re.fullmatch(r"[A-Z]{3}|", currency) else None


def plain(text: Any) -> str | None:
    """The text without differences of case, width or white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()) if isinstance(text, str) else None


_WAYS: Mapping[str, Callable[[Any], Hashable | None]] = {
    "date": lambda value: date(value) if isinstance(value, str) else None,
    "number": number,
    "money": money,
    "text": plain,
    "exact": lambda value: None,
}


def normalized(value: Any, schema: Any, root: Any = None) -> Any:
    """The value with its leaves as the schema compares them. Raises DataError for an unknown "x-compare"."""
    root = schema if root is None else root
    part = resolved(schema, root)
    if isinstance(value, dict):
        known = _properties(part, root)
        return {key: normalized(inner, known.get(key), root) for key, inner in value.items()}
    if isinstance(value, list):
        return [normalized(inner, part.get("items"), root) for inner in value]
    way = part.get(KEYWORD, "date" if part.get("format") == "date" else "exact")
    if way not in _WAYS:
        raise DataError(f'the schema: "{KEYWORD}" is {way!r}; it may be {", ".join(_WAYS)}')
    read = _WAYS[way](value)
    return value if read is None else (way, read)


def _properties(part: Mapping[str, Any], root: Any) -> dict[str, Any]:
    """With those of its alternatives, of which the first with a key decides."""
    found = dict(part.get("properties", {}))
    for keyword in ("allOf", "anyOf", "oneOf"):
        for one in part.get(keyword, ()):
            found = {**_properties(resolved(one, root), root), **found}
    return found


def fields(value: Any, path: str = "") -> Iterator[tuple[str, Hashable]]:
    """The leaves of a normalized value by path, such as `items[].price`, without nulls."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from fields(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from fields(inner, path + ITEM)
    elif value is not None:
        # In Python, True equals 1.
        yield path, (value, isinstance(value, bool))
