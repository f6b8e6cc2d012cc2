"""Constraints in the C core: what must come next is cut into tokens as the tokenizer cuts it."""

from __future__ import annotations

import json
import random

import pytest

from tests.constraint.oracle import one_byte
from tests.kernels.constraint_reference import INTEGER, LETTER, STRING, Vocabulary, grammar, ids
from tinsmith import _core
from tinsmith.constraint import makers
from tinsmith.constraint.grammar import (
    Repeat,
    choice,
    sequence,
    text,
    token,
)

WORDS = ["living room", "kitchen", "naïve", "x", "日本", "a b", "don't", "true", "12", "3.5", "turn_on", "Temp"]
TAILS = ["", " ", "  ", "-", "\n", "'", "'s", "s", "es", "ing", "é", "1", " \n\t", "  x", "\u3000y", "\u00a0"]


def check_forced(vocabulary: Vocabulary, data: bytes, answers: list[tuple[str, str]]) -> tuple[int, int]:
    """Walks each (prompt, answer) by its canonical tokens; forced ones must be those. Counts of both."""
    constraint = _core.Constraint(vocabulary.model, data)
    forced = whole = 0
    for prompt, answer in answers:
        before, tokens = vocabulary.canonical(prompt), vocabulary.canonical(answer)
        constraint.begin()
        at = 0
        while at < len(tokens):
            must = constraint.forced(before + tokens[:at])
            assert must == tokens[at : at + len(must)], (answer, at)
            for number in must:
                constraint.accept(number)
            at += len(must)
            forced += len(must)
            if at < len(tokens):
                assert tokens[at] in ids(constraint.mask())
                constraint.accept(tokens[at])
                at += 1
        assert constraint.state() != _core.CONSTRAINT_OPEN
        whole += len(tokens)
    return forced, whole


@pytest.mark.parametrize(("comma", "colon"), [(",", ":"), (", ", ": ")])
def test_forced_tokens_of_calls_are_the_tokenizers_own(smol: Vocabulary, comma: str, colon: str) -> None:
    rng = random.Random(1)
    names = choice(text(json.dumps(word, ensure_ascii=False)) for word in WORDS)
    flag = choice((text("true"), text("false")))
    parts = ('{"name"', names, '"arguments"', '{"room_name"', STRING, '"value"', INTEGER, '"on"', flag, "}}")
    marks = ("", colon, comma, colon, colon, comma, colon, comma, colon, "")
    exprs = [text(mark + part) if isinstance(part, str) else sequence((text(mark), part))
             for mark, part in zip(marks, parts, strict=True)]  # fmt: skip
    answers = []
    for _ in range(40):
        inner = {"room_name": rng.choice(WORDS) + rng.choice(TAILS), "value": rng.randrange(99), "on": True}
        whole = {"name": rng.choice(WORDS), "arguments": inner}
        answers.append(("a word.\n\n", json.dumps(whole, ensure_ascii=False, separators=(comma, colon))))
    forced, tokens = check_forced(smol, grammar(sequence(exprs)), answers)
    assert forced > tokens / 2


@pytest.mark.parametrize("seed", range(12))
def test_forced_tokens_of_choices_are_the_tokenizers_own(smol: Vocabulary, seed: int) -> None:
    rng = random.Random(seed)
    first = [rng.choice(WORDS) + rng.choice(TAILS) + rng.choice(WORDS) for _ in range(6)]
    options = sorted({word + tail for word in first for tail in rng.sample(TAILS, 3)})
    answers = [(rng.choice(["", "Q: ", "the ", "don"]), option) for option in options]
    forced, _ = check_forced(smol, grammar(choice(map(text, options))), answers)
    assert forced


@pytest.mark.parametrize("seed", range(12))
def test_forced_tokens_between_free_text_are_the_tokenizers_own(smol: Vocabulary, seed: int) -> None:
    rng = random.Random(seed)
    free = {"letters": LETTER, "blanks": one_byte((32, 32), (65, 70), (97, 110))}
    pieces = [(rng.choice(WORDS) + rng.choice(TAILS), rng.choice(list(free))) for _ in range(6)]
    data = grammar(sequence([part for word, kind in pieces for part in (text(word), Repeat(free[kind], 0, 4))]))

    def answer() -> str:
        letters = {"letters": "aeintrxz", "blanks": "  AEaein"}
        return "".join(word + "".join(rng.choices(letters[kind], k=rng.randrange(5))) for word, kind in pieces)

    check_forced(smol, data, [(rng.choice(["", "the ", "x  "]), answer()) for _ in range(25)])


def test_text_behind_a_control_token_is_cut_for_itself(smol: Vocabulary) -> None:
    """Not behind the text before that: there the apostrophe would be a part of the sign's word."""
    before, behind = smol.canonical("a ¤"), smol.canonical("'s thing")
    assert smol.canonical("a ¤'s thing") != [*before, *behind]
    constraint = _core.Constraint(smol.model, grammar(sequence((token(5), text("'s thing")))))
    assert constraint.forced(before) == [5, *behind]
    assert constraint.forced(before, 1 + len(behind)) == [5, *behind]


def test_forced_tokens_go_on_after_what_was_chosen_otherwise(smol: Vocabulary) -> None:
    """After tokens that the tokenizer would not have chosen, the run is cut for itself."""
    constraint = _core.Constraint(smol.model, makers.regex('\\{"name":[0-9]').data)
    (brace,) = smol.canonical("{")
    assert smol.canonical('{"name":')[0] != brace
    constraint.accept(brace)
    assert constraint.forced([brace]) == smol.canonical('"name":')
    assert constraint.forced([brace, 10**9, -5]) == smol.canonical('"name":')
