"""Plain text by an adapter: all of it but what is held out is learned, and the loss of that is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.train.tiny_training import encode, killed_and_resumed, train
from tinsmith import cli
from tinsmith.data.readers import Example
from tinsmith.errors import InputError, RecipeError
from tinsmith.pipeline import recipe
from tinsmith.spec import Spec
from tinsmith.train import methods
from tinsmith.train.job import Job
from tinsmith.train.options import TrainOptions

OPTIONS = TrainOptions(
    epochs=2, rank=8, learning_rate=1e-2, batch_tokens=120, max_length=40, renew=2, threads=1
)
TEXTS = ["the lamp in the kitchen is on and the door of the garage is shut " * 12, "a short one"]


def test_text_is_learned_and_examples_beside_it(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    options = replace(OPTIONS, epochs=12)
    result = train("continue", spec, examples, examples[:6], options, tmp_path, texts=TEXTS)
    losses = [row.text_loss for row in result.validations]
    assert losses[0] is not None and losses[-1] is not None
    assert losses[-1] < 0.5 * losses[0]
    assert result.validations[-1].loss < result.validations[0].loss
    assert "2 of 21 pieces of text held out" in result.note
    alone = train("continue", spec, (), examples[:6], options, tmp_path / "alone", texts=TEXTS)
    assert alone.validations[-1].text_loss is not None
    assert alone.validations[-1].text_loss < 0.5 * losses[0]
    assert alone.validations[-1].loss > result.validations[-1].loss


def test_every_token_is_learned_once_an_epoch_or_held_out(spec: Spec, tmp_path: Path) -> None:
    trainee: Any = methods.by_name("continue").trainee(
        Job(spec, (), [Example("a", "b")], OPTIONS, tmp_path, encode, texts=TEXTS)
    )
    held = [one for batch in trainee.held_out for one in batch]
    for epoch in trainee.epochs:
        learned = [one for batch in epoch for one in batch]
        assert sum(len(one.answer) for one in [*learned, *held]) == sum(len(encode(text)) for text in TEXTS)
        assert not set(held) & set(learned) or len({*held, *learned}) < len(held) + len(learned)


def test_a_killed_run_ends_with_the_same_bits(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    killed_and_resumed("continue", spec, examples, examples[:6], OPTIONS, tmp_path, texts=TEXTS)


def test_too_little_text(spec: Spec, examples: list[Example], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\[data\] text: gives 1 piece of max_length = 40 tokens, and one is"):
        train("continue", spec, examples, examples[:6], OPTIONS, tmp_path, texts=["short"])
    with pytest.raises(InputError, match='method "continue" learns from text'):
        train("continue", spec, examples, examples[:6], OPTIONS, tmp_path)


def test_a_recipe_learns_text(small_recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = small_recipe.parent
    text = small_recipe.read_text().replace("[train]", '[train]\nmethod = "continue"\nmax_length = 64')
    small_recipe.write_text(text)
    with pytest.raises(RecipeError, match=r'\[data\] text: missing; method "continue" learns from it'):
        recipe.load(small_recipe)
    small_recipe.write_text(text.replace("[train]", 'text = "t.txt"\n[train]'))
    (folder / "t.txt").write_text("\n \n")
    assert cli.main(["make", "--until", "train", str(small_recipe), "--out", str(folder / "run")]) != 0
    assert "t.txt: holds no text; write some" in capsys.readouterr().err
    (folder / "t.txt").write_text("\n\n".join(TEXTS))
    assert cli.main(["make", str(small_recipe), "--out", str(folder / "run")]) == 0
    assert ": text loss " in capsys.readouterr().err
    report = json.loads((folder / "run" / "report.json").read_text())
    assert report["train"]["validations"][0]["text_loss"] > 0
    assert "dashed that of the held-out text" in (folder / "run" / "report.html").read_text()
