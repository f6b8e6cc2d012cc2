"""Words of questions, and what a new one that an answer leaves out is worth."""

from __future__ import annotations

import math

import pytest

from tinsmith.constraint.coverage import learned, values, words


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
    known, nats, _ = learned(questions, answers)
    assert known == words("turn on off the lamp heater fan please radio")
    share = 5 / 7  # lamp, heater, fan and radio of these and "please", and one more either way
    assert nats == pytest.approx(4 * math.log(share / (1 - share)))


def test_it_is_worth_nothing_where_answers_do_not_copy_and_never_more_than_a_bound() -> None:
    questions = [f"word{n} word{n + 100}" for n in range(50)]
    assert learned(questions, ["positive"] * 50).nats == 0
    assert learned(questions, questions).nats == 4
    assert learned([], []) == (set(), 0, {})


def test_values_are_of_the_key_before_them_and_its_depth() -> None:
    found = list(values(b'say {"a" : "x y", "b": ["x", "z"], "c": {"a": "x", "d": 1}} "e"'))
    (a, first), (b, second), (same, third), (deep, fourth), (last, fifth) = found
    assert (b, a) == (same, next(values(b'{"a":""}'))[0])
    assert len({a, b, deep, last}) == 4
    x, y, z, e = (next(iter(words(one))) for one in "xyze")
    assert [first, second, third, fourth, fifth] == [[x, y], [x], [z], [x], [e]]


def test_an_escape_a_long_text_and_an_open_one_are_not_judged() -> None:
    long = " ".join(map(str, range(33)))
    found = list(values(('{"a":"x\\"y","b":"' + long + '","c":"x').encode()))
    assert [value for _, value in found] == [None, None]


def test_a_key_is_copied_whose_values_all_stand_in_their_questions() -> None:
    rows = [
        ("Turn on the Kitchen lamp", '{"name":"turn","arguments":{"name":"kitchen lamp","state":"on"}}'),
        ("turn it off in the den", '{"name":"turn","arguments":{"name":"den","state":"off"}}'),
        ("switch the den off", '{"name":"turn","arguments":{"name":"den","state":"off"}}'),
        ("the lamp in the kitchen: out", '{"name":"turn","arguments":{"name":"lamp","state":"off"}}'),
    ]
    copies = learned(*zip(*rows, strict=True)).copies
    (_, _), (name, _), (state, _) = values(rows[0][1].encode())
    assert copies == {name: pytest.approx(math.log(5))} and state not in copies
    many = learned(*zip(*rows * 50, strict=True)).copies
    assert many == {name: 4}
