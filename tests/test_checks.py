"""Checks of numbers, at the ends of their ranges, with whole messages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinsmith.checks import INT32, real, token_ids, whole
from tinsmith.errors import InputError
from tinsmith.serve.errors import ApiError
from tinsmith.serve.limits import Limits


def refused(message: str) -> Any:
    return pytest.raises(InputError, match=f"^{re.escape(message)}$")


def test_whole_numbers() -> None:
    assert INT32 == 2**31 - 1
    assert [whole("n", one) for one in (0, 7, INT32, np.int64(5))] == [0, 7, INT32, 5]
    assert [whole("n", one, 2, 4) for one in (2, 3, 4)] == [2, 3, 4]
    for given in (1, 5, 2.0, "3", None, [3]):
        with refused(f"n is {given!r}; give a whole number from 2 to 4"):
            whole("n", given, 2, 4)
    for given in (-1, INT32 + 1):
        with refused(f"n is {given}; give a whole number from 0 to {INT32}"):
            whole("n", given)
    with refused("n is True; give a whole number from 0 to 4"):
        whole("n", True, 0, 4)
    with refused("n is a number of thousands of digits; give a whole number from 0 to 4"):
        whole("n", 10**5000, 0, 4)


def test_real_numbers() -> None:
    assert [real("x", one, 0, 1) for one in (0, 0.5, 1, np.float32(0.25))] == [0, 0.5, 1, 0.25]
    for given in (-0.1, 1.1, float("nan"), "0.5", b"1", None, [0.5]):
        with refused(f"x is {given!r}; give a number from 0 to 1"):
            real("x", given, 0, 1)
    with refused("x is a number of thousands of digits; give a number from 0 to 2.5"):
        real("x", 10**5000, 0, 2.5)


def test_token_ids() -> None:
    assert token_ids([], 3) == []
    assert token_ids((0, np.int32(2)), 3) == [0, 2]
    for given, number, token in (([0, 3, 9], 2, 3), ([-1, 2], 1, -1), ([0, 1, 2, 7], 4, 7)):
        with refused(f"the prompt: token {number}, {token}, is not in the vocabulary of 3; give 0 to 2"):
            token_ids(given, 3)
    texts: list[Any] = ["ab", b"ab", bytearray(b"a"), memoryview(b"a"), [1.0], ["1"], [None]]
    for text in texts:
        with refused("a text is neither a text nor a list of whole numbers, tokens' ids"):
            token_ids(text, 3, "a text")


def test_documentation_states_the_limits_of_the_server() -> None:
    page = (Path(__file__).parents[1] / "docs" / "serving.md").read_text("utf-8").replace("\n", " ")
    limits = Limits()
    for said in (
        f"| `--queue` | {limits.queue} |",
        f"| `--in-flight` | {limits.in_flight} |",
        f"| `--max-body` | {limits.body / 2**20:g} MiB |",
        f"| `--max-schema` | {limits.schema / 2**10:g} KiB |",
        f"| `--max-images` | {limits.images} |",
        f"`--max-images` at most ({limits.images})",
        f"| `--max-image` | {limits.image / 2**20:g} MiB |",
        f"`--max-image` ({limits.image / 2**20:g} MiB)",
        f"| `--max-pixels` | {limits.pixels / 1e6:g} million |",
        f"| `--compile-seconds` | {limits.compile_seconds:g} |",
        f"head and body have {limits.read_seconds:g} seconds each",
        f"of its answer in {limits.write_seconds:g} seconds",
        f"{limits.connections:,} at once, {limits.connections // 4} of them from one address",
        f"requests may take {limits.image_rows / 2**30:g} GiB a file",
        f"({limits.image_cache / 2**20:g} MiB a file, least recently used",
        f"Examples: {limits.answers} for `n`",
    ):
        assert said in page, said
    assert limits.tokens is None


def test_limits_of_the_server() -> None:
    limits = Limits(answers=4, tokens=10)
    assert [limits.check_answers(n) for n in (None, 1, 4)] == [1, 1, 4]
    assert [limits.check_tokens(n) for n in (None, 0, 10)] == [None, 0, 10]
    assert Limits().check_tokens(10**9) == 10**9
    with pytest.raises(ApiError, match="^n is 5; give 1 to 4$") as error:
        limits.check_answers(5)
    assert (error.value.status, error.value.param) == (400, "n")
    with pytest.raises(ApiError, match="^max_tokens is 11; this server's maximum is 10$") as error:
        limits.check_tokens(11)
    assert (error.value.status, error.value.param) == (400, "max_tokens")
