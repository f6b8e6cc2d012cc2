"""A new model: its tokenizer, its shape, its training, and the folder that comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch

import tinsmith
from tests.train import tiny_training
from tinsmith import models
from tinsmith.data.readers import Example
from tinsmith.errors import DataError, InputError
from tinsmith.spec import Spec
from tinsmith.train.batches.sequences import TokenSequence, text_sequences
from tinsmith.train.beginning import scratch
from tinsmith.train.beginning.shape import parameters, shape
from tinsmith.train.beginning.vocabulary import CONTROL, LEAST, train_tokenizer
from tinsmith.train.events import Step
from tinsmith.train.options import ScratchOptions, TrainOptions
from tinsmith.train.quantized import importance

TINY = ScratchOptions(vocabulary=320, context=64, layers=2, hidden=32)
OPTIONS = TrainOptions(
    epochs=4, learning_rate=1e-2, batch_tokens=300, weight_decay=0.01, qat=None, renew=2, threads=1
)
TEXTS = [
    "the lamp in the kitchen is on, and the door of the garage is open",
    "12 lamps & 3 doors: ü, 漢字, 🙂\n\nend",
]


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def start() -> Spec:
    examples = [Example(f"turn lamp {n} on", f"lamp {n % 7}") for n in range(30)]
    return scratch.start(TINY, examples, TEXTS, "home", 0, "tiny")


@pytest.fixture(scope="module")
def encode(start: Spec, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[int]]:
    folder = tmp_path_factory.mktemp("start")
    models.save_hf(start, folder)
    model = tinsmith.load(folder, threads=1)
    return lambda text: model.tokenize(text, special=True)


def test_a_trained_tokenizer_gives_the_ids_of_its_library_and_every_text_back(
    start: Spec, tmp_path: Path
) -> None:
    models.save_hf(start, tmp_path)
    ours = tinsmith.load(tmp_path, threads=1)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    texts = [*TEXTS, "", " ", "  two  spaces ", "it's 1984\r\n\tlamp", "a<|im_end|>b", "\x00\x7f", "naïve ﬁ"]
    for text in texts:
        ids = ours.tokenize(text, special=True)
        assert ids == theirs.encode(text, add_special_tokens=False).ids, text
        plain = ours.tokenize(text, special=False)
        assert ours.detokenize(plain) == text
    assert len(ours.tokenize("turn lamp")) < len("turn lamp")


def test_a_tokenizer_is_the_same_for_the_same_texts_and_has_the_size_asked_for() -> None:
    texts = ["".join(chr(ord("a") + ord(char) % 26) for char in f"{n * n:x}") for n in range(3000)]
    one, two = (train_tokenizer(texts, 512) for _ in range(2))
    assert one == two
    assert len(one.tokens) == 512
    assert tuple(one.tokens[:3]) == CONTROL
    few = train_tokenizer(["ab"], 512)
    assert len(few.tokens) == 288
    assert few.types.count("unused") == 288 - LEAST - 1


@pytest.mark.parametrize("wanted", [300_000, 1_000_000, 5_000_000, 15_000_000])
def test_the_shape_has_about_the_parameters_asked_for(wanted: int) -> None:
    hyper = shape(ScratchOptions(parameters=wanted), 2048)
    assert abs(parameters(hyper) - wanted) < 0.03 * wanted
    assert all(width % 32 == 0 for width in (hyper.dim, hyper.ffn_dim))
    assert hyper.heads % hyper.kv_heads == 0
    assert hyper.tied


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ScratchOptions(parameters=50_000),
            r"parameters = 50,000 are too few for a vocabulary of 2,048 tokens",
        ),
        (
            ScratchOptions(parameters=900_000_000),
            r"parameters = 900,000,000 are more than a shape is chosen for, some \d+ million; give fewer",
        ),
    ],
)
def test_a_shape_that_cannot_be(given: ScratchOptions, message: str) -> None:
    with pytest.raises(InputError, match=message):
        shape(given, 2048)


def test_first_weights_follow_from_the_seed(start: Spec) -> None:
    examples = [Example(f"turn lamp {n} on", f"lamp {n % 7}") for n in range(30)]
    again, other = (scratch.start(TINY, examples, TEXTS, "home", seed, "tiny") for seed in (0, 1))
    assert again == start
    assert other.tensors["embed"] != start.tensors["embed"]
    assert start.parameters == parameters(shape(TINY, len(start.tokenizer.tokens)))
    drawn = np.frombuffer(start.tensors["layers.0.down"].data, np.float32)
    assert abs(float(drawn.std()) * 96**0.5 - 1) < 0.1


def train(start: Spec, encode: Any, folder: Path, options: TrainOptions = OPTIONS, tell: Any = None) -> Any:
    examples = [Example(f"turn lamp {n} on", f"lamp {n % 7}") for n in range(30)]
    return train_from(start, encode, examples, folder, options, *([tell] if tell else []))


def train_from(
    start: Spec, encode: Any, examples: list[Example], folder: Path, options: TrainOptions, *tell: Any
) -> Any:
    more = {"encode": encode, "texts": TEXTS, "is_new": True}
    return tiny_training.train("full", start, examples, examples[:6], options, folder, *tell, **more)


def test_it_learns_and_leaves_a_model(start: Spec, encode: Callable[[str], list[int]], tmp_path: Path) -> None:
    result = train(start, encode, tmp_path, replace(OPTIONS, epochs=12))
    losses = [point.loss for point in result.curve]
    assert losses[0] > 4
    assert losses[-1] < 0.3 * losses[0]
    assert result.folder == tmp_path / "trained"
    assert [path.name for path in tmp_path.iterdir()] == ["trained"]
    weights = importance.load(result.folder)
    parts = ("q", "k", "v", "o", "gate", "up", "down")
    assert set(weights) == {f"layers.{i}.{part}" for i in (0, 1) for part in parts}
    assert {len(weights[f"layers.0.{part}"]) // 4 for part in ("q", "down")} == {32, 96}


def test_the_folder_loads_in_transformers_with_the_same_logits(
    start: Spec, encode: Callable[[str], list[int]], tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = train(start, encode, tmp_path, replace(OPTIONS, epochs=1)).folder
    theirs = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert theirs.config.tie_word_embeddings
    messages = [{"role": "user", "content": "turn lamp 3 on"}]
    ours = tinsmith.load(folder, threads=1)
    ids = ours.render(messages)
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert tokenizer(prompt, add_special_tokens=False).input_ids == ids
    with torch.no_grad():
        expected = theirs(torch.tensor([ids])).logits[0].numpy()
    computed = np.asarray(ours.logits(ids)).reshape(expected.shape)
    assert np.abs(computed - expected).max() < 1e-2 * np.abs(expected).max()


@pytest.mark.parametrize("stop", [2, 6])
def test_a_killed_run_ends_with_the_same_bits(
    start: Spec, encode: Callable[[str], list[int]], tmp_path: Path, stop: int
) -> None:
    whole = train(start, encode, tmp_path / "whole")

    def kill(event: Any) -> None:
        if isinstance(event, Step) and event.step == stop + 1:
            raise Killed

    with pytest.raises(Killed):
        train(start, encode, tmp_path / "killed", tell=kill)
    seen: list[Any] = []
    resumed = train(start, encode, tmp_path / "killed", tell=seen.append)
    assert seen[0].step == stop
    assert resumed.curve == whole.curve
    assert resumed.validations == whole.validations
    ours, theirs = ((tmp_path / name / "trained") for name in ("killed", "whole"))
    for path in theirs.iterdir():
        assert (ours / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_step_walks_through_its_own_batch_and_no_other(
    start: Spec, encode: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step told how long the rest takes by adding up the plan: of 190,000 sequences, half of the time."""
    measured, steps, length = 0, [], TokenSequence.__len__

    def counted(sequence: TokenSequence) -> int:
        nonlocal measured
        measured += 1
        return length(sequence)

    def tell(event: Any) -> None:
        if isinstance(event, Step):
            steps.append((event, measured))

    monkeypatch.setattr(TokenSequence, "__len__", counted)
    train(start, encode, tmp_path, replace(OPTIONS, epochs=12), tell)
    assert steps[1][1] - steps[0][1] < 12 * 30 / 2  # of the sequences in the plan


def test_plain_texts_are_cut_so_that_every_token_is_learned_once(start: Spec) -> None:
    def encode(text: str) -> list[int]:
        return [ord(char) for char in text]

    pieces = text_sequences(["abcdefg", "h"], encode, start.tokenizer, 3)
    assert [(piece.prompt, piece.answer) for piece in pieces] == [
        ((97,), (98, 99, 100)),
        ((100,), (101, 102, 103)),
        ((103,), (0,)),
        ((104,), (0,)),
    ]
    assert max(map(len, pieces)) == 3
    assert text_sequences([""], encode, start.tokenizer, 3) == []


def test_an_example_longer_than_the_context(start: Spec, encode: Any, tmp_path: Path) -> None:
    long = [Example("turn " * 200, "on")]
    with pytest.raises(DataError, match="more than context = 64; shorten it or raise context"):
        train_from(start, encode, long, tmp_path, OPTIONS)
