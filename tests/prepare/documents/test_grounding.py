"""Whether values, answers and questions are the passage's own."""

from __future__ import annotations

import pytest

from tinsmith.prepare.documents.grounding import copied, gives_away, is_looping, is_related, occurs
from tinsmith.prepare.documents.passages import Passage

TEXT = "The ADLER pump (type A-7) costs 1,250.50 € or 1.250,50 EUR;\nit weighs 90 kg.\n東京の地図です。"


@pytest.mark.parametrize(
    ("value", "held"),
    [
        ("Adler pump", True),
        ("the adler pump, type A 7", True),
        ("pump Adler", False),
        ("dler", False),
        ("eur it weighs", True),
        ("東京", True),
        ("京東", False),
        ("?!", False),
        ("", False),
        (1250.5, True),
        (90, True),
        (-90, True),
        (7, True),
        (9, False),
        (1250, False),
        (125, False),
    ],
)
def test_what_stands_in_a_text(value: str | float, held: bool) -> None:
    assert occurs(value, TEXT) is held


def test_what_a_schema_lists_need_not_stand() -> None:
    schema = {
        "properties": {
            "kind": {"enum": ["pump", "fan"]},
            "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}},
            "sold": {"type": "boolean"},
            "note": {"type": ["string", "null"]},
        },
        "$defs": {"part": {"properties": {"name": {"type": "string"}, "unit": {"const": "kg"}}}},
    }
    value = {"kind": "pump", "parts": [{"name": "valve", "unit": "kg"}], "sold": True, "note": None, "more": 7}
    assert list(copied(value, schema, schema)) == [("parts[].name", "valve"), ("more", 7)]
    assert list(copied({"a": 1}, {"$ref": "#"}, {"$ref": "#"})) == [("a", 1)]


PASSAGE = Passage(
    "adler.md", "adler.md:1", "adler", "Oil", "The pump is oiled twice a year. Bearings last long."
)
ANSWER = "The pump is oiled twice a year."


@pytest.mark.parametrize(
    ("question", "related"),
    [
        ("How often is the pump oiled?", True),
        ("How often is the Adler pump to be oiled?", True),
        ("How long do the bearings last?", False),
        ("What is this?", False),
        ("Which painter oiled the Sistine ceiling twice?", False),
    ],
)
def test_whether_a_question_is_about_the_passage(question: str, related: bool) -> None:
    assert is_related(question, ANSWER, PASSAGE) is related


def test_a_question_that_holds_its_answer() -> None:
    assert gives_away("Is the pump oiled twice a year?", ANSWER)
    assert not gives_away("How often is the pump oiled?", ANSWER)


def test_a_question_that_finds_no_end() -> None:
    assert is_looping("What is the pump.oil.oiled.oiled.oiled.oiled?")
    assert not is_looping("Is the pump that is the oil pump oiled as the oil pump is?")
