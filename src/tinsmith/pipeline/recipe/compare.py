"""[compare]: the table of a recipe for `tinsmith compare`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinsmith.tables import NAME, TEXT, Kind, choice, is_text, is_whole, number, one_or_more
from tinsmith.tables import key as _key

SMALL, FULL = "small", "full"
PROMPTS = ("zero_shot", "few_shot", "retrieval")
AUTO, NONE = "auto", "none"
MOST_PAID = 1_000_000
PRICE = Kind(
    "the prices of a million prompt tokens and of a million answer tokens, such as [0.15, 0.6]",
    lambda v: isinstance(v, list) and len(v) == 2 and all(map(_is_price, v)),
    tuple,
)
CHANGED = Kind(
    f'"{AUTO}", "{NONE}" or two files, of the test and of the training examples that changed',
    lambda v: v in (AUTO, NONE) or (isinstance(v, list) and len(v) == 2 and all(map(is_text, v))),
    lambda v: tuple(v) if isinstance(v, list) else v,
)


def _is_price(value: Any) -> bool:
    return (isinstance(value, float) or is_whole(value)) and 0 <= value <= MOST_PAID


def _tables(name: str) -> Kind:
    """A list of tables, each of which is read as its own."""
    return Kind(
        f"a list of tables: write [[compare.{name}]]",
        lambda v: isinstance(v, list) and all(isinstance(entry, dict) for entry in v),
    )


@dataclass(frozen=True)
class Endpoint:
    name: str = _key(NAME)
    url: str = _key(TEXT)
    model: str = _key(TEXT)
    key_env: str | None = _key(TEXT, None)
    prompt: str = _key(choice(PROMPTS), "few_shot")
    price: tuple[float, float] | None = _key(PRICE, None)


@dataclass(frozen=True)
class Answers:
    name: str = _key(NAME)
    file: str = _key(TEXT)
    price: tuple[float, float] | None = _key(PRICE, None)


@dataclass(frozen=True)
class Compare:
    size: str = _key(choice((FULL, SMALL)), FULL)
    bases: tuple[str, ...] = _key(one_or_more("a base as [base] model takes it"), ())
    embeddings: str | None = _key(TEXT, None)
    changed: tuple[str, str] | str = _key(CHANGED, AUTO)
    machine_hour: float | None = _key(number(0, MOST_PAID), None)
    endpoint: tuple[Any, ...] = _key(_tables("endpoint"), ())
    answers: tuple[Any, ...] = _key(_tables("answers"), ())


LISTED: dict[str, type[Any]] = {"endpoint": Endpoint, "answers": Answers}
