"""Names of files in archives: which are refused, and that the installer's own check is the same one."""

from __future__ import annotations

import pytest

from tinsmith.airgap import install
from tinsmith.errors import FormatError, InputError
from tinsmith.system import names

GOOD = ["a", "a/b", "a.b-c+d_e", "..a/b..", "ünï/日本", ".hidden", "a b", "x" * 255]
BAD = [
    *("", "/", "/a", "a/", "a//b", ".", "./a", "a/.", "a/./b", "..", "../a", "a/..", "a/../b", "a/../../b"),
    *(
        "\\a",
        "a\\..\\b",
        "C:a",
        "C:/a",
        "a:b",
        "a\0b",
        "a\nb",
        "a\rb",
        "a\x1b[2Jb",
        "a\udc80",
        "x" * 256,
        "ü" * 128,
    ),
]


@pytest.mark.parametrize("name", GOOD)
def test_a_plain_name_is_inside(name: str) -> None:
    assert names.is_inside(name)
    assert install.is_inside(name)


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_leads_out_is_refused(name: str) -> None:
    assert not names.is_inside(name)
    assert not install.is_inside(name)
    with pytest.raises(FormatError) as raised:
        names.check(["fine", name], "x.zip", FormatError)
    assert str(raised.value).isprintable() and str(raised.value).startswith("x.zip: ")


@pytest.mark.parametrize(
    ("given", "reported"),
    [
        (["a", "a"], "duplicate name"),
        (["a/b/c", "a/b"], "a file and a folder"),
        (["a", "a/b"], "a file and a folder"),
    ],
)
def test_names_that_exclude_each_other_are_refused(given: list[str], reported: str) -> None:
    with pytest.raises(InputError, match=reported):
        names.check(given, "x")
    names.check(["a/b", "a/c", "ab"], "x")
