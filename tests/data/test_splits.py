from __future__ import annotations

from tinsmith.data.near import words
from tinsmith.data.readers import Example
from tinsmith.data.splits import normalize, shared_inputs


def test_shared_inputs_sees_through_case_and_punctuation() -> None:
    train = [Example("Turn on: the light!", "a")]
    same, other = Example("turn  on the LIGHT", "b"), Example("turn on the lights", "c")
    assert shared_inputs(train, [same, other]) == [same]
    assert normalize("Café\u00a0№5") == normalize("CAFÉ no5")


def test_what_is_written_without_letters_is_told_apart() -> None:
    """Vowels that are marks on a letter, and signs alone."""
    train = [Example("दिन", "day"), Example("😀", "glad"), Example("1 < 2", "less")]
    others = [Example("दान", "gift"), Example("😡", "cross"), Example("❤️", "love"), Example("?", "what")]
    assert shared_inputs(train, others) == []
    assert shared_inputs(train, [Example(" दिन।", "day"), Example("1, 2", "two")]) == [
        Example(" दिन।", "day"),
        Example("1, 2", "two"),
    ]
    assert words(normalize("दिन में")) == {"दिन", "में"}
    assert normalize("1️⃣ – go!") == "1 go"
