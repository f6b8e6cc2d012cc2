"""The tables of a recipe that say what `tinsmith compare` compares: [compare] and [prices]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tinsmith.format_names import FORMATS
from tinsmith.tables import NAME, TEXT, Kind, choice, is_text, is_whole, number, one_or_more, whole
from tinsmith.tables import key as _key

SMALL, FULL = "small", "full"
PROMPTS = ("zero_shot", "few_shot", "retrieval")
AUTO, NONE = "auto", "none"
PRICE = number(0, 1_000_000)
SIZES = Kind(
    "a list of rising whole numbers from 10 on, which may be empty",
    lambda v: (
        isinstance(v, list)
        and all(is_whole(size) and size >= 10 for size in v)
        and all(one < other for one, other in pairwise(v))
    ),
)


def _tables(name: str) -> Kind:
    """A list of tables, each of which is read as its own."""
    return Kind(
        f"a list of tables: write [[compare.{name}]]",
        lambda v: isinstance(v, list) and all(isinstance(entry, dict) for entry in v),
    )


@dataclass(frozen=True)
class Endpoint:
    """input_tokens, output_tokens: what a million costs, in place of [prices]."""

    name: str = _key(NAME)
    url: str = _key(TEXT)
    model: str = _key(TEXT)
    key_env: str | None = _key(TEXT, None)
    prompt: str = _key(choice(PROMPTS), "few_shot")
    input_tokens: float | None = _key(PRICE, None)
    output_tokens: float | None = _key(PRICE, None)


@dataclass(frozen=True)
class Answers:
    name: str = _key(NAME)
    file: str = _key(TEXT)
    input_tokens: float | None = _key(PRICE, None)
    output_tokens: float | None = _key(PRICE, None)


@dataclass(frozen=True)
class Compare:
    size: str = _key(choice((FULL, SMALL)), FULL)
    bases: tuple[str, ...] = _key(one_or_more("a base as [base] model takes it"), ())
    format: str = _key(choice(FORMATS), "Q8_0")
    items: int | None = _key(whole(0, 10_000_000), None)
    sizes: tuple[int, ...] | None = _key(SIZES, None)
    embeddings: str | None = _key(TEXT, None)
    changed: str = _key(Kind(f'"{AUTO}", "{NONE}" or a file of examples', is_text), AUTO)
    changed_train: str | None = _key(TEXT, None)
    endpoint: tuple[Any, ...] = _key(_tables("endpoint"), ())
    answers: tuple[Any, ...] = _key(_tables("answers"), ())


@dataclass(frozen=True)
class Prices:
    """machine_hour: of the machine that runs here; input_tokens, output_tokens: a million of an endpoint's."""

    machine_hour: float | None = _key(PRICE, None)
    input_tokens: float | None = _key(PRICE, None)
    output_tokens: float | None = _key(PRICE, None)


LISTED: dict[str, type[Any]] = {"endpoint": Endpoint, "answers": Answers}


def names(compare: Compare) -> Sequence[str]:
    return [entry.name for entry in (*compare.endpoint, *compare.answers)]
