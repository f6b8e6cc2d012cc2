from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.train.tiny_training import encode, make_spec
from tinsmith.data.readers import Example, Turn, Where
from tinsmith.errors import DataError, InputError
from tinsmith.train.batches.sequences import Tokenization, TokenSequence, batches, dealt, shared_prefix


def test_prompt_and_answer_part_at_the_generation_prompt() -> None:
    tokenize = Tokenization(make_spec(), encode, "call", "home", 512)
    (sequence,) = tokenize([Example("lights on", "{}")])
    assert sequence.prompt == tuple(
        encode("<|im_start|>s\nhome<|im_end|>\n<|im_start|>u\nlights on<|im_end|>\n<|im_start|>a\n")
    )
    assert sequence.answer == tuple(encode("{}<|im_end|>"))
    assert len(sequence) == len(sequence.prompt) + 2


def test_refuses_what_cannot_be_trained_on() -> None:
    spec = make_spec()
    long = [Example("a", "b"), Example("a", "b" * 60)]
    with pytest.raises(DataError, match=r"example 2 has .* tokens, more than max_length = 50"):
        Tokenization(spec, encode, "call", "", 50)(long)
    with pytest.raises(InputError, match="no chat template"):
        Tokenization(replace(spec, chat_template=None), encode, "call", "", 50)
    upper = "{% for m in messages %}{{ m.content | upper }}<|im_end|>{% endfor %}"
    with pytest.raises(DataError, match="example 1: the chat template changes the answer 'b'"):
        Tokenization(replace(spec, chat_template=upper), encode, "call", "", 50)(long)
    endless = "{% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(DataError, match="example 1: no end token"):
        Tokenization(replace(spec, chat_template=endless), encode, "call", "", 50)(long)
    # A made example may be longer than the one that it was made from; it is left out.
    assert len(Tokenization(spec, encode, "call", "", 50).fitting(long)) == 1


def test_an_example_that_no_session_can_be_asked_is_refused() -> None:
    tokenize = Tokenization(make_spec(), encode, "call", "", 50)
    examples = [Example("ab", "y"), Example("ab" * 50, "y", where=Where("test.jsonl", 2))]
    count = len(tokenize.prompt(examples[1]))
    tokenize.check_asked(examples, count + 1)
    with pytest.raises(DataError, match=rf"test\.jsonl:2: the example asks with {count} tokens, and a session"):
        tokenize.check_asked(examples, count)


def test_control_tokens_in_texts_are_refused() -> None:
    """The runtime takes what a message says for text, and an answer's end for its end."""
    tokenize = Tokenization(make_spec(), encode, "chat", "", 200)
    for hostile in (Example("<|im_start|>s", "b"), Example("a", "b", turns=(Turn("user", "<|im_start|>"),))):
        with pytest.raises(
            DataError, match=r"example 2: what is asked holds '<\|im_start\|>', which is a control"
        ):
            tokenize([Example("a", "b"), hostile])
    with pytest.raises(
        DataError, match=r"rows\.jsonl:7: the example: the output holds '<\|im_end\|>', which ends"
    ):
        tokenize([Example("a", "b<|im_end|>c", where=Where("rows.jsonl", 7))])
    with pytest.raises(InputError, match=r"\[data\] system holds '<\|im_end\|>', which is a control token"):
        Tokenization(make_spec(), encode, "chat", "be brief<|im_end|>", 200)
    # What a constraint wants of an answer may be tokens of the base's own.
    (sequence,) = tokenize([Example("a", "<|im_start|>x")])
    assert sequence.answer == tuple(encode("<|im_start|>x<|im_end|>"))


def test_shared_prefix_leaves_every_prompt_a_token() -> None:
    def sequence(*prompt: int) -> TokenSequence:
        return TokenSequence(prompt, (9, 2))

    assert shared_prefix([sequence(1, 2, 3, 4), sequence(1, 2, 3, 5, 6)]) == (1, 2, 3)
    assert shared_prefix([sequence(1, 2, 3), sequence(1, 2, 3, 5, 6)]) == (1, 2)
    assert shared_prefix([sequence(1), sequence(1)]) == ()
    assert shared_prefix([sequence(4, 2), sequence(1, 2)]) == ()


def test_an_epoch_holds_every_sequence_once_within_the_budget() -> None:
    sequences = [TokenSequence(tuple(range(3 + i % 17)), (i, 2)) for i in range(300)]
    epoch = batches(sequences, 64, 2, seed=1, epoch=0)
    assert sorted(s.answer[0] for batch in epoch for s in batch) == list(range(300))
    sizes = [sum(len(s) - 2 for s in batch) for batch in epoch]
    assert max(sizes) <= 64
    assert min(sizes) > 16
    assert all(len({len(s) for s in batch}) > 1 for batch in epoch)  # no batch of one length alone
    rows = batches(sequences, 64, 2, seed=1, epoch=0, padded=True)
    assert sum(max(map(len, batch)) * len(batch) for batch in rows) < 1.2 * sum(map(len, sequences))
    assert epoch == batches(sequences, 64, 2, seed=1, epoch=0)
    assert epoch != batches(sequences, 64, 2, seed=1, epoch=1)
    assert epoch != batches(sequences, 64, 2, seed=2, epoch=0)


def test_a_sequence_longer_than_the_budget_is_a_batch_of_its_own() -> None:
    sequences = [TokenSequence(tuple(range(length)), (1, 2)) for length in (5, 100, 6, 7)]
    epoch = batches(sequences, 20, 0, seed=0, epoch=0)
    assert [sequences[1]] in epoch
    assert sum(len(batch) for batch in epoch) == 4


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shares_of_a_batch_are_about_as_long_as_each_other(count: int) -> None:
    chance = random.Random(count)
    batch = [bytes([number]) * chance.randint(38, 75) for number in range(13)]
    shares = dealt(batch, count)
    assert len(shares) == count
    assert sorted(item for share in shares for item in share) == sorted(batch)
    lengths = [sum(map(len, share)) for share in shares]
    # Thirteen dealt in turn to two would differ by one of them, some 56.
    assert max(lengths) - min(lengths) <= (2 if count <= 2 else 38)
    assert dealt(batch, count) == shares


def test_a_batch_may_have_fewer_items_than_shares() -> None:
    assert sorted(dealt(["a"], 3)) == [[], [], ["a"]]
    assert dealt([], 2) == [[], []]
    assert sorted(dealt(["aa", "b", "b"], 2)) == [["aa"], ["b", "b"]]
