"""An answer's text, told apart as it comes, is what it is told apart into as a whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinsmith.chat.tool_formats import FORMATS
from tinsmith.chat.turns import split_answer
from tinsmith.serve.parts import Parts, openings

PIECES = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "think>", "</", " ", "\n", "a", "so ", "<thin", "k"]),
    max_size=14,
)


@given(pieces=PIECES, cuts=st.lists(st.integers(1, 4), max_size=40), opened=st.booleans())
def test_thoughts_and_text(pieces: list[str], cuts: list[int], opened: bool) -> None:
    text, parts, at = "".join(pieces), Parts(opened), 0
    told = []
    for cut in cuts:
        told += parts.add(text[at : at + cut])
        at += cut
    told += parts.add(text[at:]) + parts.end()
    thoughts, rest = split_answer(text, opened)
    assert "".join(part for kind, part in told if kind == "thinking") == (thoughts or "")
    assert "".join(part for kind, part in told if kind == "text") == rest
    assert all(part for _, part in told)


@pytest.mark.parametrize("name", FORMATS)
def test_a_call_is_kept_until_the_end(name: str) -> None:
    from tinsmith.chat.tool_formats import Call

    format = FORMATS[name]
    for text in (format.write([Call("light", {"on": True})]), " " + format.write([Call("light", {})])):
        parts = Parts(calls=openings(format))
        assert [parts.add(one) for one in text] == [[]] * len(text)
        assert parts.end() == [] and parts.called
    parts = Parts(calls=openings(format))
    told = [part for one in "so it is {}" for part in parts.add(one)] + parts.end()
    assert parts.called == bool(format.controls)  # their mark is not in the text
    assert "".join(part for _, part in told) == ("" if format.controls else "so it is {}")
