"""Model.infill_prompt: the tokens of a text with a hole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import tinsmith
from tests.models.tiny_models import with_controls
from tinsmith import _core, cli
from tinsmith.compiler import build_image, build_tin
from tinsmith.errors import UnsupportedError
from tinsmith.models import Spec
from tinsmith.runtime import Model
from tinsmith.runtime.loaded import INFILL_MARKS

BEFORE, BEHIND = "in the <|im_end|>", " thin"


def filling(spec: Spec, marks: tuple[str, str, str] = INFILL_MARKS[0]) -> Spec:
    return replace(spec, tokenizer=with_controls(spec.tokenizer, marks))


def loaded(spec: Spec) -> Model:
    image = build_image(spec)
    return Model(_core.Model(image), image, threads=1)


@pytest.mark.parametrize("marks", INFILL_MARKS)
def test_the_texts_stand_behind_their_marks(spec: Spec, marks: tuple[str, str, str]) -> None:
    model = loaded(filling(spec, marks))
    first, second, third = marks
    plain = model.infill_prompt("in the", BEHIND)
    assert plain == model.tokenize(f"{first}in the{second}{BEHIND}{third}", special=True)
    prompt = model.infill_prompt(BEFORE, BEHIND)
    assert sum(model.core.token(token)[1] for token in prompt) == 3  # what a text says is no control token
    assert model.detokenize(prompt) == BEFORE + BEHIND
    assert model.infill_prompt("", "")[-1] == model.tokenize(third, special=True)[0]


def test_a_text_begins_as_the_vocabulary_has_it(spec: Spec) -> None:
    plain = filling(spec)
    begun = loaded(replace(plain, tokenizer=replace(plain.tokenizer, add_bos=True)))
    assert begun.infill_prompt("a", "b") == [1, *loaded(plain).infill_prompt("a", "b")]


def test_a_model_that_did_not_learn_it_says_so(model: Model) -> None:
    with pytest.raises(UnsupportedError, match="can't fill in a middle: its vocabulary has none of"):
        model.infill_prompt("a", "b")


def test_run_fills_in(spec: Spec, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "filling.tin"
    build_tin(filling(spec), path)
    asked = ["run", str(path), "in the", "--suffix", BEHIND, "--max-tokens", "4"]
    assert cli.main([*asked, "--raw", "--json"]) == 0
    model = tinsmith.load(path)
    expected = model.generate(model.infill_prompt("in the", BEHIND), max_tokens=4).token_ids
    assert json.loads(capsys.readouterr().out)["token_ids"] == expected
    assert cli.main(asked) == 2
    assert "--suffix needs --raw" in capsys.readouterr().err
