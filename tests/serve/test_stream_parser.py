"""Parsing an answer's text in pieces gives the same as parsing the whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinsmith.chat.tool_formats import FORMATS
from tinsmith.chat.turns import split_answer
from tinsmith.serve.stream_parser import AnswerParser, call_openings

PIECES = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "think>", "</", " ", "\n", "a", "so ", "<thin", "k"]),
    max_size=14,
)


@given(pieces=PIECES, cuts=st.lists(st.integers(1, 4), max_size=40), opened=st.booleans())
def test_pieces_equal_the_whole(pieces: list[str], cuts: list[int], opened: bool) -> None:
    text, parts, at = "".join(pieces), AnswerParser(opened), 0
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
def test_call_is_withheld_until_the_end(name: str) -> None:
    from tinsmith.chat.tool_formats import Call

    format = FORMATS[name]
    for text in (format.write([Call("light", {"on": True})]), " " + format.write([Call("light", {})])):
        parts = AnswerParser(openings=call_openings(format))
        assert [parts.add(one) for one in text] == [[]] * len(text)
        assert parts.end() == [] and parts.called
    parts = AnswerParser(openings=call_openings(format))
    told = [part for one in "so it is {}" for part in parts.add(one)] + parts.end()
    assert parts.called == bool(format.controls)  # their mark is not in the text
    assert "".join(part for _, part in told) == ("" if format.controls else "so it is {}")
