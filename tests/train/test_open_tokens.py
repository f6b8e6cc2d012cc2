from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_models import tiny_tokenizer
from tiny_training import make_spec, train

import tinsmith
from tinsmith import models
from tinsmith.constraint import makers
from tinsmith.data.readers import Example
from tinsmith.errors import DataError
from tinsmith.runtime.forced import Forced
from tinsmith.runtime.model import Model
from tinsmith.train.batches.packing import pack, pad
from tinsmith.train.batches.sequences import Tokenization, TokenSequence
from tinsmith.train.job import Job
from tinsmith.train.methods.lora import AdapterTrainee
from tinsmith.train.model import network
from tinsmith.train.options import TrainOptions

VOCAB = 272
SPEC = replace(make_spec(vocab=VOCAB), tokenizer=tiny_tokenizer(VOCAB))  # a token a byte, but for a few words
END = 2


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("base") / "base.gguf"
    models.save_gguf(SPEC, path)
    return tinsmith.load(path)


def places(model: Model, pattern: str, answer: str) -> list[int]:
    forced = Forced(model, makers.regex(pattern).data)
    return list(forced(model.tokenize("?"), [*model.tokenize(answer), END]))


def tokenization(model: Model, forced: Forced | None = None) -> Tokenization:
    return Tokenization(SPEC, encoder(model), "classify", "", 512, forced=forced)


def encoder(model: Model) -> Callable[[str], list[int]]:
    return lambda text: model.tokenize(text, special=True)


def test_what_the_constraint_allows_one_token_for_is_forced(model: Model) -> None:
    pattern = "state: (on|off)"
    assert places(model, pattern, "state: on") == [*range(8), 9]  # all but the n, the end with it
    assert places(model, pattern, "state: off") == [*range(8), 9, 10]
    assert places(model, "a+b?", "aaa") == [0]  # it may end, or go on
    assert places(model, "a|b", "b") == [1]
    assert places(model, "[a-c]{2}", "ab") == [2]


def test_from_where_an_answer_departs_all_of_it_is_open(model: Model) -> None:
    assert places(model, "at (hall|kitchen) now", "at hall now") == [0, 1, 2, *range(4, 12)]
    assert places(model, "at (hall|kitchen) now", "at attic now") == [0, 1, 2]
    assert places(model, "at (hall|kitchen) now", "at hatch now") == [0, 1, 2, 4]


def test_the_same_walk_serves_answer_after_answer(model: Model) -> None:
    forced = Forced(model, makers.regex("state: (on|off)").data)
    given = [forced((), [*model.tokenize(text), END]) for text in ("state: on", "nonsense", "state: on")]
    assert given[0] == given[2] != ()
    assert given[1] == ()


def test_a_longer_token_that_the_runtime_would_take_is_forced(model: Model) -> None:
    """The constraint would allow its first letter alone, too."""
    answer = model.tokenize("the a")
    assert len(answer) == 3
    assert places(model, "the (a|b)", "the a") == [0, 1, 3]


@pytest.mark.parametrize("lay", [lambda batch: pack(batch, 1), pad])
def test_forced_tokens_are_read_and_have_no_label(lay: object) -> None:
    plain = [TokenSequence((5, 6), (7, 8, 2)), TokenSequence((5, 9, 9), (8, 8, 2))]
    some = [TokenSequence((5, 6), (7, 8, 2), (0, 2)), TokenSequence((5, 9, 9), (8, 8, 2))]
    assert some[0].learned == [1]
    whole, part = lay(plain), lay(some)  # type: ignore[operator]
    kept = torch.tensor([1, 3, 4, 5])
    assert torch.equal(part.tokens, whole.tokens)
    for name in ("labelled", "targets", "owner"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[kept]), name


def test_the_loss_is_that_of_open_tokens(model: Model) -> None:
    forced = Forced(model, makers.regex("state: (on|off)").data)
    torch.manual_seed(1)
    built = network.build(SPEC, torch.float32, 4, 8.0, 0.0)
    examples = [Example("lamp", "state: on"), Example("fan", "state: off")]
    plain = tokenization(model)(examples)
    some = tokenization(model, forced)(examples)
    assert [one.learned for one in some] == [[8], [8]]
    whole, _ = built.answer_losses(built.pack(plain, 0))
    part, _ = built.answer_losses(built.pack(some, 0))
    lengths = [len(one.answer) for one in plain]
    torch.testing.assert_close(part, whole[torch.tensor([8, lengths[0] + 8])])


def test_training_leaves_out_answers_without_an_open_token(model: Model, tmp_path: Path) -> None:
    examples = [Example(word, "on") for word in ("lamp", "fan", "door")]
    options = TrainOptions(
        task="classify", epochs=1, rank=2, batch_tokens=60, rough=None, threads=1, learning_rate=1e-2
    )
    given = {"encode": encoder(model)}
    open_on = Forced(model, makers.regex("o(n|ff)").data)
    result = train("lora", SPEC, examples, examples, options, tmp_path, **given, forced=open_on)
    plain = train("lora", SPEC, examples, examples, options, tmp_path / "plain", **given)
    assert result.steps == plain.steps and result.curve != plain.curve
    only_on = Forced(model, makers.regex("on").data)
    said = "leaves no token open in any of 3 answers; leave out open_tokens_only"
    with pytest.raises(DataError, match=said):
        train("lora", SPEC, examples, examples, options, tmp_path, **given, forced=only_on)
    some = tokenization(model, only_on).fitting(examples)
    assert some == []


def test_what_is_replayed_is_measured_by_its_open_tokens(model: Model, tmp_path: Path) -> None:
    options = TrainOptions(task="classify", epochs=1, rank=2, batch_tokens=60, rough=None, threads=1)
    examples = [Example(word, "on") for word in ("lamp", "fan", "door")]
    open_on = Forced(model, makers.regex("o(n|ff)").data)
    job = Job(SPEC, examples, examples, options, tmp_path, encoder(model), forced=open_on, known=examples)
    trainee = AdapterTrainee(job)
    assert trainee.replay
    losses = trainee.sample_losses(trainee.replay)
    assert sum(losses) / 3 == pytest.approx(trainee.validate()[0], rel=1e-4)
    # One that has nothing to learn is not replayed, and the others keep their own labels.
    known = [Example("lamp", "on"), Example("fan", "dim")]
    only_on = Forced(model, makers.regex("on").data)
    trainee = AdapterTrainee(replace(job, examples=known, validation=known, known=known, forced=only_on))
    assert trainee.replay
    assert (len(trainee.replay.sequences), trainee.replay.labels) == (1, ["dim"])
