"""--where: expressions over rows, without other features of Python."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinsmith.batch.where import compiled
from tinsmith.errors import InputError

ROW = {
    "lang": "en",
    "n": 7,
    "text": "Hello you",
    "score": "0.5",
    "none": None,
    "my column": 3,
    "tags": ["a", "b"],
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("lang == 'en' and n > 3", True),
        ("lang == 'en' and not n > 3", False),
        ("3 < n <= 7", True),
        ("lang in ['de', 'en']", True),
        ("'b' in tags and 'c' not in tags", True),
        ("len(text) + 1 == 10", True),
        ("lower(text) == 'hello you'", True),
        ("float(score) * 2 >= 1", True),
        ("n % 2", True),
        ("col('my column') == 3", True),
        ("none is None", True),
        ("missing is None and missing != 3", True),
        ("missing > 3 or n / 0", False),
        ("text > 3", False),
        ("float(text) < 1", False),
        ("n == -(-7)", True),
    ],
)
def test_it_is_as_python_has_it(text: str, holds: bool) -> None:
    assert compiled(text)(ROW) is holds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "n =",
        "n = 3",
        "__import__('os')",
        "text.__class__",
        "[x for x in tags]",
        "lambda: 3",
        "f'{n}'",
        "col(lang)",
        "len(text, n)",
        "open('x')",
        "n ** n",
        "(n := 3)",
        "tags[0]",
        "n if n else 3",
        "'x' + b'x'",
        "(" * 300 + "n" + ")" * 300,
        "not " * 3000 + "n",
        "1 " + "+ 1" * 3000,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--where"):
        compiled(text)


def test_texts_do_not_grow() -> None:
    assert compiled("text * 1000000000 == text")(ROW) is False
    assert compiled("text % 3 == text")(ROW) is False


@given(st.text(max_size=60))
def test_any_text_is_taken_or_refused(text: str) -> None:
    try:
        holds = compiled(text)
    except InputError as error:
        assert "\n" not in str(error) or "\n" in text
    else:
        assert holds(ROW) in (True, False)


@pytest.mark.parametrize("count", [120, 450, 600, 900])
@pytest.mark.parametrize(
    "wrapped", ["{not}n == 2", "{par}n == 2{end}", "{minus}n == 2", "len({list}{tsil}) == 1"]
)
def test_one_that_nests_too_deep_is_refused_before_a_row_is_read(wrapped: str, count: int) -> None:
    text = wrapped.format(
        **{"not": "not " * count, "par": "not(" * count, "end": ")" * count},
        **{"minus": "- " * count, "list": "[" * count, "tsil": "]" * count},
    )
    with pytest.raises(InputError, match="nested deeper than 100|longer than|too many nested|too complex"):
        compiled(text)


def test_one_that_nests_a_little_is_computed() -> None:
    assert compiled("not " * 90 + "n == 2")(ROW) is False
