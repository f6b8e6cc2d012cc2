"""Words of questions, and what a new one that an answer leaves out is worth."""

from __future__ import annotations

import math

import pytest

from tinsmith.constraint.coverage import learned, words


def test_words_are_hashed_by_fnv() -> None:
    """Test vectors of the authors' page (isthe.com/chongo/tech/comp/fnv): FNV-1a, 32 bits."""
    assert words("a") == {0xE40C292C}
    assert words("foobar") == {0xBF9CF968}
    assert words("") == set()


def test_a_word_is_letters_digits_and_what_is_not_ascii() -> None:
    assert words("Foobar, A a-FOOBAR!") == {0xE40C292C, 0xBF9CF968}
    assert len(words("dim the_lamp to 20.5%")) == 6
    assert words("É") != words("é")  # small letters of ASCII alone
    assert len(words("Küche, käse\n東京")) == 3


def test_the_worth_follows_from_words_of_one_question() -> None:
    questions = ["turn on the lamp", "turn on the heater", "turn off the fan please", "turn off the radio"]
    answers = ['{"name":"lamp"}', '{"name":"heater"}', '{"name":"fan"}', '{"name":"radio"}']
    known, nats = learned(questions, answers)
    assert known == words("turn on off the lamp heater fan please radio")
    share = 5 / 7  # lamp, heater, fan and radio of these and "please", and one more either way
    assert nats == pytest.approx(4 * math.log(share / (1 - share)))


def test_it_is_worth_nothing_where_answers_do_not_copy_and_never_more_than_a_bound() -> None:
    questions = [f"word{n} word{n + 100}" for n in range(50)]
    assert learned(questions, ["positive"] * 50)[1] == 0
    assert learned(questions, questions)[1] == 4
    assert learned([], []) == (set(), 0)
